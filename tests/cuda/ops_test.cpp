// labels: emulated
#include <milkit/ops/bags/gate_cpu.hpp>
#include <milkit/ops/bags/gate_cuda.cuh>
#include <milkit/ops/products/linear_cpu.hpp>
#include <milkit/ops/products/linear_cuda.cuh>
#include <milkit/ops/rows/activation_cpu.hpp>
#include <milkit/ops/rows/activation_cuda.cuh>
#include <milkit/ops/rows/dropout_cpu.hpp>
#include <milkit/ops/rows/dropout_cuda.cuh>
#include <milkit/ops/rows/fill_cpu.hpp>
#include <milkit/ops/rows/reduce_cpu.hpp>
#include <milkit/ops/rows/reduce_cuda.cuh>
#include <milkit/ops/training/cross_entropy_cpu.hpp>
#include <milkit/ops/training/cross_entropy_cuda.cuh>
#include <milkit/ops/training/optimizer_step_cpu.hpp>
#include <milkit/ops/training/optimizer_step_cuda.cuh>

#include <support/backends.hpp>
#include <support/floats.hpp>

using namespace milkit;
using test::agree, test::normals;

// Every op on the CPU, which its own tests hold against an oracle, and on the emulated card.
namespace {
const std::vector<std::int64_t> sizes{0, 1, 31, 32, 33, 255, 257, 1000};
template <class T>
constexpr double bound = sizeof(T) == 4 ? 2e-6 : 1e-14;
}  // namespace

TEST_CASE("cuda: fill and copy_rows") {
  for (const std::int64_t n : sizes)
    agree(
        0,
        [](auto& b, auto x, auto y, auto z) {
          ops::fill(b, x, 2.5f), ops::copy_rows(b, z, y), ops::copy_rows(b, x, z, true);
        },
        normals<float>(shape{n, 7}, 1), normals<float>(shape{n, 7}, 2), normals<float>(shape{n, 7}, 3));
  agree(
      0, [](auto& b, auto x) { ops::fill(b, x, 1.5); }, normals<double>(shape{65537}, 1));
  for (const std::int64_t first : {1, 2, 4})  // without gaps, but not all at multiples of 16 bytes
    agree(
        0, [=](auto& b, auto x, auto y) { ops::copy_rows(b, x.rows(first, 990), y.rows(4, 990)); },
        normals<float>(shape{1000}, 1), normals<float>(shape{1000}, 2));
}

TEST_CASE_TEMPLATE("cuda: activations", T, MILKIT_FLOATS) {
  const auto each = [](auto f) {
    for (const std::int64_t n : sizes)
      agree(
          bound<T>,
          [f](auto& b, auto x, auto y, auto dy, auto dx) {
            ops::activate(b, f, x, y);
            if constexpr (decltype(f)::slope_from_output) ops::activate_backward(b, f, y, dy, dx);
            else ops::activate_backward(b, f, x, dy, dx);
          },
          normals<T>(shape{n, 5}, 1), normals<T>(shape{n, 5}, 2), normals<T>(shape{n, 5}, 3),
          normals<T>(shape{n, 5}, 4));
  };
  each(ops::relu_function{}), each(ops::tanh_function{}), each(ops::sigmoid_function{}), each(ops::gelu_function{});
}

TEST_CASE("cuda: dropout makes the CPU's masks, bit for bit") {
  for (const std::int64_t n : sizes)
    agree(
        0,
        [](auto& b, auto mask, auto x, auto y) {
          ops::dropout_mask(b, random_stream(3, 4, 5), 1000, 0.3, mask);
          ops::apply_mask(b, x, mask, 0.3, y);
        },
        tensor<std::uint8_t, 2>(shape{n, 13}), normals<float>(shape{n, 13}, 2), normals<float>(shape{n, 13}, 3));
}

TEST_CASE_TEMPLATE("cuda: matrix products and linear layers", T, MILKIT_FLOATS) {
  for (const std::int64_t n : sizes)
    agree(
        bound<T>,
        [](auto& b, auto x, auto w, auto bias, auto y, auto dx, auto dw, auto db) {
          ops::linear(b, x, w, bias, y);
          ops::linear_backward(b, x, w, y, dx, dw, db);
        },
        normals<T>(shape{n, 33}, 1), normals<T>(shape{17, 33}, 2), normals<T>(shape{17}, 3),
        normals<T>(shape{n, 17}, 4), normals<T>(shape{n, 33}, 5), normals<T>(shape{17, 33}, 6),
        normals<T>(shape{17}, 7));
  for (const bool ta : {false, true})
    for (const bool tb : {false, true})
      for (const bool add : {false, true})
        agree(
            bound<T>,
            [=](auto& b, auto x, auto y, auto z) {
              ops::matmul(b, x, y, z, {.transpose_a = ta, .transpose_b = tb, .accumulate = add});
            },
            normals<T>(ta ? shape{19, 6} : shape{6, 19}, 1), normals<T>(tb ? shape{5, 19} : shape{19, 5}, 2),
            normals<T>(shape{6, 5}, 3));
  agree(
      0, [](auto& b, auto x, auto y, auto z) { ops::matmul(b, x, y, z); }, tensor<T, 2>(shape{3, 0}),
      tensor<T, 2>(shape{0, 4}), normals<T>(shape{3, 4}, 3));
}

TEST_CASE("cuda: products of about one size share a choice, wherever their arrays lie") {
  milkit::cuda gpu;
  auto& library = emulation::the_matmul_library();
  device_tensor<float, 1> memory(shape{std::int64_t{60000}});
  const auto searches_of = [&](std::int64_t n, std::int64_t offset) {
    const auto at = [&](std::int64_t first, std::int64_t rows, std::int64_t cols) {
      return device_matrix<float>(memory.data() + first + offset, {rows, cols});
    };
    const std::size_t before = library.searches;
    ops::matmul(gpu, at(0, n, 16), at(20000, 16, 8), at(40000, n, 8));
    return library.searches - before;
  };
  CHECK(searches_of(1000, 0) == 1);
  CHECK(library.last.alignment[0] == 16);
  CHECK(library.last.extents[1] == 1024);
  for (const std::int64_t offset : {4, 16, 64}) CHECK(searches_of(1000, offset) == 0);
  for (const std::int64_t n : {1000, 897, 999, 1024}) CHECK(searches_of(n, 0) == 0);
  CHECK(searches_of(1000, 1) == 1);  // no load of 16 bytes there
  CHECK(searches_of(1000, 2) == 1);
  std::size_t all = 0;
  for (std::int64_t n = 1; n <= 1000; n += 3) all += searches_of(n, 0);
  CHECK(all <= 32);  // four for each power of two
}

TEST_CASE("cuda: a product that the choice for its size does not fit gets one of its own") {
  auto& library = emulation::the_matmul_library();
  library.exact_only = true;
  milkit::cuda gpu;
  const auto x = normals<float>(shape{9, 33}, 1), y = normals<float>(shape{33, 9}, 2);
  test::on_card a(gpu, x, 0), b(gpu, y, 0), c(gpu, tensor<float, 2>(shape{9, 9}), 0);
  for (const std::size_t searches : {2u, 1u}) {
    const std::size_t before = library.searches;
    ops::matmul(gpu, a.view(), b.view(), c.view());
    CHECK(library.searches - before == searches);
    CHECK(library.last.extents[0] == 9);
    CHECK(library.last.extents[2] == 33);
  }
  library.exact_only = false;
  cpu host;
  tensor<float, 2> want(shape{9, 9});
  ops::matmul(host, x.view(), y.view(), want.view());
  CHECK(test::relative_error(c.back(gpu), want) <= bound<float>);
}

TEST_CASE("cuda: a bias is added by the product in float32, by a pass of its own in double") {
  const auto kernels = []<class T>(T) {
    milkit::cuda gpu;
    test::on_card x(gpu, normals<T>(shape{9, 33}, 1), 0), w(gpu, normals<T>(shape{5, 33}, 2), 0),
        y(gpu, tensor<T, 2>(shape{9, 5}), 0);
    test::on_card bias(gpu, normals<T>(shape{5}, 3), 0);
    const std::size_t before = emulation::the_card().launches;
    ops::linear(gpu, x.view(), w.view(), bias.view(), y.view());
    return emulation::the_card().launches - before;
  };
  CHECK(kernels(float()) == 0);
  CHECK(kernels(double()) == 1);
  emulation::the_matmul_library().biases = false;
  CHECK(kernels(float()) == 1);
  emulation::the_matmul_library().biases = true;
  agree(
      0, [](auto& b, auto x, auto w, auto bias, auto y) { ops::linear(b, x, w, bias, y); },
      tensor<float, 2>(shape{3, 0}), tensor<float, 2>(shape{4, 0}), normals<float>(shape{4}, 1),
      normals<float>(shape{3, 4}, 2));  // no terms
}

TEST_CASE("cuda: tensor cores get 32 MiB of memory, products in float32 8 MiB") {
  for (const precision p : {precision::float32, precision::tf32, precision::bf16}) {
    milkit::cuda gpu({.precision = p});
    device_tensor<float, 2> x(shape{8, 8}), y(shape{8, 8});
    ops::matmul(gpu, x.view(), x.view(), y.view());
    CHECK(emulation::the_matmul_library().last.workspace == (p == precision::float32 ? 8u : 32u) << 20);
  }
}

TEST_CASE("cuda: TF32 and bfloat16 only where they are asked for") {
  const auto x = normals<float>(shape{8, 64}, 1), y = normals<float>(shape{64, 8}, 2);
  const auto product = [&](precision p) {
    milkit::cuda gpu({.precision = p});
    test::on_card a(gpu, x, 0), b(gpu, y, 0), c(gpu, tensor<float, 2>(shape{8, 8}), 0);
    ops::matmul(gpu, a.view(), b.view(), c.view());
    return c.back(gpu);
  };
  const auto full = product(precision::float32);
  const double tf32 = test::relative_error(product(precision::tf32), full),
               bf16 = test::relative_error(product(precision::bf16), full);
  CHECK(tf32 > 1e-5);
  CHECK(tf32 < 1e-3);
  CHECK(bf16 > 1e-4);
  CHECK(bf16 < 1e-2);
}

TEST_CASE_TEMPLATE("cuda: gates", T, MILKIT_FLOATS) {
  const auto each = [](auto f, int branches, int heads, bool dropout, std::int64_t n, std::int64_t width) {
    const ops::gate_shape gate{.width = width, .branches = branches, .heads = heads};
    tensor<std::uint8_t, 2> mask(dropout ? shape{n, gate.columns()} : shape{std::int64_t{0}, std::int64_t{0}});
    for (std::int64_t i = 0; i < mask.size(); ++i) mask.data()[i] = i % 3 != 0;
    agree(
        20 * bound<T>,
        [=](auto& b, auto v, auto vb, auto w, auto wb, auto kept, auto z, auto dw, auto db) {
          using none = decltype(kept);
          ops::gate(b, gate, f, v, vb, w, wb, dropout ? kept : none(), 1.5, z);
          ops::gate_backward(b, gate, f, v, w, dropout ? kept : none(), 1.5, z, dw, db);
        },
        normals<T>(shape{n, gate.columns()}, 1), normals<T>(shape{gate.columns()}, 2),
        normals<T>(shape{std::int64_t{heads}, width}, 3), normals<T>(shape{std::int64_t{heads}}, 4), mask,
        normals<T>(shape{n, std::int64_t{heads}}, 5), normals<T>(shape{std::int64_t{heads}, width}, 6),
        normals<T>(shape{std::int64_t{heads}}, 7));
  };
  for (const std::int64_t n : sizes) each(ops::tanh_function{}, 2, 1, false, n, 33);
  each(ops::tanh_function{}, 1, 1, true, 300, 64);
  each(ops::gelu_function{}, 2, 2, true, 77, 31);
  each(ops::relu_function{}, 1, 2, false, 5, 1);
}

TEST_CASE_TEMPLATE("cuda: optimizer steps", T, MILKIT_FLOATS) {
  for (const std::int64_t n : {0, 1, 3, 4, 5, 1000, 65537}) {
    agree(
        bound<T>,
        [](auto& b, auto w, auto g, auto m, auto v, auto w2, auto w3) {
          using constant = view<const T, 1, typename std::remove_reference_t<decltype(b)>::space>;
          ops::adam_step(
              b, w, constant(g), m, v,
              {.step = 3, .learning_rate = 0.01, .weight_decay = 0.1, .decoupled = true, .gradient_scale = 0.5});
          ops::sgd_step(b, w2, constant(g), m, {.learning_rate = 0.1, .momentum = 0.9, .weight_decay = 0.01});
          ops::sgd_step(b, w3, constant(g), {}, {.learning_rate = 0.1});
          if (w.extent(0) > 1)  // not aligned to 16 bytes
            ops::adam_step(b, w.rows(1, w.extent(0) - 1), constant(g).rows(1, w.extent(0) - 1),
                           m.rows(1, w.extent(0) - 1), v.rows(1, w.extent(0) - 1),
                           {.step = 4, .learning_rate = 0.01, .weight_decay = 0.1});
        },
        normals<T>(shape{n}, 1), normals<T>(shape{n}, 2), normals<T>(shape{n}, 3),
        [&] {
          auto v = normals<T>(shape{n}, 4);
          for (std::int64_t i = 0; i < n; ++i) v.data()[i] *= v.data()[i];
          return v;
        }(),
        normals<T>(shape{n}, 5), normals<T>(shape{n}, 6));
  }
}

TEST_CASE_TEMPLATE("cuda: norms and counts of what is not finite", T, MILKIT_FLOATS) {
  for (const std::int64_t n : {0, 1, 33, 1000, 16384, 65537}) {
    auto x = normals<T>(shape{n}, 1);
    agree(
        1e-14, [](auto& b, auto v, auto norm) { ops::l2_norm(b, v, norm); }, x,
        tensor<double, 1>(shape{std::int64_t{1}}));
    for (std::int64_t i = 0; i < n; i += 7)
      x.data()[i] = i % 2 ? std::numeric_limits<T>::infinity() : std::numeric_limits<T>::quiet_NaN();
    agree(
        0, [](auto& b, auto v, auto count) { ops::count_nonfinite(b, v, count); }, x,
        tensor<std::int64_t, 1>(shape{std::int64_t{1}}));
  }
}

TEST_CASE_TEMPLATE("cuda: cross-entropies", T, MILKIT_FLOATS) {
  for (const std::int64_t n : {0, 1, 33, 257})
    for (const std::int64_t classes : {2, 3, 40}) {
      tensor<std::int64_t, 1> labels(shape{n});
      tensor<double, 1> weight = normals<double>(shape{classes}, 9);
      for (std::int64_t i = 0; i < n; ++i) labels.data()[i] = i * 7 % classes;
      agree(
          bound<T>,
          [](auto& b, auto z, auto l, auto w, auto losses, auto dz) {
            ops::cross_entropy(b, z, l, w, 0.5, losses, dz);
          },
          normals<T>(shape{n, classes}, 1), labels, weight, tensor<double, 1>(shape{n}),
          normals<T>(shape{n, classes}, 2));
      for (std::int64_t i = 0; i < n; ++i) labels.data()[i] %= 2;
      agree(
          bound<T>,
          [](auto& b, auto z, auto l, auto losses, auto dz) {
            ops::binary_cross_entropy(b, z, l, 3.0, 0.5, losses, dz);
          },
          normals<T>(shape{n}, 1), labels, tensor<double, 1>(shape{n}), normals<T>(shape{n}, 2));
    }
}
