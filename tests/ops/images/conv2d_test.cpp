#include <doctest/doctest.h>

#include <cmath>
#include <limits>

#include <milkit/ops/images/conv2d_cpu.hpp>

#include <support/floats.hpp>
#include <support/golden.hpp>
#include <support/images.hpp>

using namespace milkit;
using test::relative_error;

namespace {

struct geometry {
  shape<4> x;
  std::int64_t out, kernel_height, kernel_width;
  ops::conv2d_options options = {};
};

reference::steps steps_of(const ops::conv2d_options& o) {
  return {static_cast<int>(o.stride[0]), static_cast<int>(o.stride[1]), static_cast<int>(o.padding[0]),
          static_cast<int>(o.padding[1])};
}

template <class T>
struct outcome {
  tensor<T, 4> y, dx, dweight;
  tensor<T, 1> dbias;
};

template <class T>
outcome<T> convolve(cpu& backend, view<const T, 4> x, const tensor<T, 4>& weight, const tensor<T, 1>& bias,
                    const tensor<T, 4>& dy, const ops::conv2d_options& options) {
  outcome<T> r{tensor<T, 4>(ops::conv2d_shape(x.shape(), weight.shape(), options)), tensor<T, 4>(x.shape()),
               tensor<T, 4>(weight.shape()), tensor<T, 1>(bias.shape())};
  ops::conv2d(backend, x, weight.view(), bias.view(), r.y.view(), options);
  ops::conv2d_backward(backend, x, weight.view(), dy.view(), r.dx.view(), r.dweight.view(), r.dbias.view(), options);
  return r;
}

const geometry geometries[] = {
    {{3, 3, 27, 27}, 36, 4, 4},
    {{5, 36, 12, 12}, 48, 3, 3},
    {{2, 3, 7, 10}, 4, 3, 3, {.padding = {1, 1}}},
    {{1, 2, 11, 13}, 3, 5, 3, {.stride = {2, 3}, .padding = {2, 0}}},
    {{2, 4, 5, 8}, 3, 1, 1, {.stride = {2, 2}}},
    {{9, 4, 6, 7}, 3, 1, 1},
    {{2, 2, 5, 4}, 3, 1, 1, {.padding = {1, 2}}},
    {{1, 1, 1, 1}, 1, 1, 1},
    {{1, 2, 1, 1}, 2, 3, 3, {.padding = {1, 1}}},
    {{2, 1, 3, 2}, 2, 2, 5, {.padding = {0, 4}}},
    {{1, 1, 9, 4}, 1, 2, 1, {.stride = {5, 7}, .padding = {3, 3}}},
    {{0, 3, 8, 8}, 4, 3, 3},
    {{33, 1, 5, 5}, 2, 2, 2},
    {{1, 32, 40, 70}, 5, 3, 3, {.padding = {1, 1}}},
    {{2, 24, 37, 41}, 5, 5, 5, {.stride = {2, 2}, .padding = {2, 2}}},
    // rows that fill vectors of any width, in one and in many bands; more terms than a block has
    {{2, 70, 16, 16}, 13, 3, 3, {.padding = {1, 1}}},
    {{1, 3, 63, 95}, 8, 7, 7, {.stride = {2, 2}, .padding = {3, 3}}},
    {{1, 600, 9, 32}, 7, 1, 1},
    {{2, 5, 31, 64}, 6, 1, 1, {.stride = {2, 2}}},
    {{1, 40, 21, 46}, 3, 2, 3, {.stride = {1, 3}, .padding = {1, 2}}},
    // vectors along output channels: whole and odd numbers of them, one and two at a time; several bands, several blocks of
    // terms; images smaller than the kernel, more zeros than the kernel reaches
    {{2, 32, 27, 27}, 32, 3, 3, {.padding = {1, 1}}},
    {{2, 3, 27, 27}, 32, 7, 7, {.padding = {3, 3}}},
    {{1, 5, 27, 26}, 33, 3, 3, {.padding = {1, 1}}},
    {{2, 33, 9, 11}, 48, 3, 5, {.padding = {1, 2}}},
    {{1, 12, 150, 23}, 16, 3, 3, {.padding = {1, 1}}},
    {{1, 200, 5, 6}, 16, 3, 3, {.padding = {1, 1}}},
    {{2, 4, 2, 2}, 16, 5, 5, {.padding = {2, 2}}},
    {{2, 16, 1, 3}, 16, 3, 3, {.padding = {1, 1}}},
    {{1, 16, 4, 4}, 32, 2, 2, {.padding = {3, 1}}},
    {{2, 16, 9, 9}, 32, 3, 3, {.stride = {2, 2}, .padding = {1, 1}}},
    {{2, 16, 7, 7}, 16, 1, 1},
    {{1, 1, 40, 90}, 1, 3, 3, {.padding = {1, 1}}},
};

/// A library of plain loops, so that convolutions are products with one.
template <class T>
void plain_product(bool transpose_a, bool transpose_b, std::int64_t m, std::int64_t n, std::int64_t k, const T* a,
                   std::int64_t lda, const T* b, std::int64_t ldb, T beta, T* c, std::int64_t ldc) {
  for (std::int64_t i = 0; i < m; ++i)
    for (std::int64_t j = 0; j < n; ++j) {
      T sum = beta == T(0) ? T(0) : beta * c[i * ldc + j];
      for (std::int64_t p = 0; p < k; ++p)
        sum += a[transpose_a ? p * lda + i : i * lda + p] * b[transpose_b ? j * ldb + p : p * ldb + j];
      c[i * ldc + j] = sum;
    }
}
constexpr gemm_library plain_gemm{.single = plain_product<float>, .double_ = plain_product<double>};

}  // namespace

TEST_CASE_TEMPLATE("conv2d and its gradients agree with plain loops", T, MILKIT_FLOATS) {
  cpu backend{.threads = 2};
  const double tolerance = sizeof(T) == 8 ? 1e-12 : 1e-5;
  for (const geometry& g : geometries) {
    CAPTURE(to_string(g.x));
    const auto x = test::normals<T>(g.x, 1);
    const auto weight = test::normals<T>(shape<4>{g.out, g.x[1], g.kernel_height, g.kernel_width}, 2);
    const auto bias = test::normals<T>(shape<1>{g.out}, 3);
    const auto dy = test::normals<T>(ops::conv2d_shape(g.x, weight.shape(), g.options), 4);
    const auto got = convolve<T>(backend, x.view(), weight, bias, dy, g.options);
    const auto y = reference::conv2d(test::plain(x), test::plain(weight), test::elements(bias), steps_of(g.options));
    const auto want =
        reference::conv2d_backward(test::plain(x), test::plain(weight), test::plain(dy), steps_of(g.options));
    CHECK(relative_error(got.y, y.values) <= tolerance);
    CHECK(relative_error(got.dx, want.x.values) <= tolerance);
    CHECK(relative_error(got.dweight, want.weight.values) <= tolerance);
    CHECK(relative_error(got.dbias, want.bias) <= tolerance);
  }
}

TEST_CASE_TEMPLATE("conv2d_relu: every implementation -> convolution, residual, relu", T, float, double) {
  const double tolerance = sizeof(T) == 8 ? 1e-12 : 1e-5;
  for (const geometry& g : geometries) {
    CAPTURE(to_string(g.x));
    const auto x = test::normals<T>(g.x, 1);
    const auto weight = test::normals<T>(shape<4>{g.out, g.x[1], g.kernel_height, g.kernel_width}, 2);
    const auto bias = test::normals<T>(shape<1>{g.out}, 3);
    const auto residual = test::normals<T>(ops::conv2d_shape(g.x, weight.shape(), g.options), 4);
    for (const bool adds : {false, true}) {
      auto want =
          reference::conv2d(test::plain(x), test::plain(weight), test::elements(bias), steps_of(g.options)).values;
      for (std::size_t i = 0; i < want.size(); ++i) {
        if (adds) want[i] += static_cast<double>(residual.data()[i]);
        want[i] = want[i] < 0 ? 0 : want[i];
      }
      tensor<T, 4> y(residual.shape());
      const view<const T, 4> shortcut = adds ? residual.view() : view<const T, 4>();
      for (const gemm_library& gemm : {gemm_library{}, plain_gemm}) {
        cpu backend{.threads = 2, .gemm = gemm};
        std::fill_n(y.data(), y.size(), T(9));
        ops::conv2d_relu(backend, x.view(), weight.view(), bias.view(), shortcut, y.view(), g.options);
        CHECK(relative_error(y, want) <= tolerance);
      }
    }
  }
}

TEST_CASE("conv2d_relu keeps NaN, and refuses a residual of another shape") {
  cpu backend;
  auto x = test::normals<float>(shape<4>{1, 2, 8, 16}, 1);
  const auto weight = test::normals<float>(shape<4>{3, 2, 1, 1}, 2);
  x.view()(0, 1, 2, 3) = std::numeric_limits<float>::quiet_NaN();
  tensor<float, 4> y(shape<4>{1, 3, 8, 16});
  const view<const float, 4> none;
  const vector_view<const float> no_bias;
  ops::conv2d_relu(backend, x.view(), weight.view(), no_bias, none, y.view());
  for (std::int64_t i = 0; i < y.size(); ++i) CHECK(std::isnan(y.data()[i]) == (i % 128 == 2 * 16 + 3));
  const tensor<float, 4> narrow(shape<4>{1, 3, 8, 15});
  CHECK_THROWS_WITH_AS(ops::conv2d_relu(backend, x.view(), weight.view(), no_bias, narrow.view(), y.view()),
                       "milkit::ops::conv2d_relu: residual is [1, 3, 8, 15], expected [1, 3, 8, 16]", shape_error);
}

TEST_CASE("conv2d gradients agree with central differences") {
  cpu backend{.threads = 2};
  const ops::conv2d_options options{.stride = {2, 1}, .padding = {1, 2}};
  auto x = test::normals<double>(shape<4>{2, 2, 6, 5}, 1), weight = test::normals<double>(shape<4>{3, 2, 3, 2}, 2);
  auto bias = test::normals<double>(shape<1>{3}, 3);
  const auto dy = test::normals<double>(ops::conv2d_shape(x.shape(), weight.shape(), options), 4);
  const auto got = convolve<double>(backend, x.view(), weight, bias, dy, options);
  const auto loss = [&] {
    tensor<double, 4> y(dy.shape());
    ops::conv2d(backend, x.view(), weight.view(), bias.view(), y.view(), options);
    double total = 0;
    for (std::int64_t i = 0; i < y.size(); ++i) total += y.data()[i] * dy.data()[i];
    return total;
  };
  const auto differences = [&](double* values, std::int64_t count) {
    std::vector<double> result;
    for (std::int64_t i = 0; i < count; ++i) {
      const double before = values[i], h = 1e-4;
      values[i] = before + h;
      const double above = loss();
      values[i] = before - h;
      result.push_back((above - loss()) / (2 * h));
      values[i] = before;
    }
    return result;
  };
  CHECK(relative_error(got.dx, differences(x.data(), x.size())) <= 1e-8);
  CHECK(relative_error(got.dweight, differences(weight.data(), weight.size())) <= 1e-8);
  CHECK(relative_error(got.dbias, differences(bias.data(), bias.size())) <= 1e-8);
}

TEST_CASE_TEMPLATE("conv2d agrees with the golden cases", T, MILKIT_FLOATS) {
  cpu backend{.threads = 2};
  for (const char* name : {"core_conv2d", "core_conv2d_stride", "core_conv2d_mixed", "core_conv2d_valid",
                           "core_conv2d_pointwise", "core_conv2d_same_size"}) {
    CAPTURE(name);
    const test::golden_case golden(name);
    const auto x = golden.get<T, 4>("x"), weight = golden.get<T, 4>("weight"), dy = golden.get<T, 4>("grad_output");
    const bool biased = golden.has("bias");
    const auto bias = biased ? golden.get<T, 1>("bias") : tensor<T, 1>();
    const ops::conv2d_options options{
        .stride = {golden.option<std::int64_t>("stride", 0), golden.option<std::int64_t>("stride", 1)},
        .padding = {golden.option<std::int64_t>("padding", 0), golden.option<std::int64_t>("padding", 1)}};
    tensor<T, 4> y(ops::conv2d_shape(x.shape(), weight.shape(), options)), dx(x.shape()), dweight(weight.shape());
    tensor<T, 1> dbias(bias.shape());
    const vector_view<const T> b = biased ? bias.view() : vector_view<const T>();
    const vector_view<T> db = biased ? dbias.view() : vector_view<T>();
    ops::conv2d(backend, x.view(), weight.view(), b, y.view(), options);
    ops::conv2d_backward(backend, x.view(), weight.view(), dy.view(), dx.view(), dweight.view(), db, options);
    CHECK(golden.error("output", y) <= test::golden_tolerance<T>);
    CHECK(golden.error("grad.x", dx) <= test::golden_tolerance<T>);
    CHECK(golden.error("grad.weight", dweight) <= test::golden_tolerance<T>);
    if (biased) CHECK(golden.error("grad.bias", dbias) <= test::golden_tolerance<T>);
  }
}

TEST_CASE_TEMPLATE("conv2d gives the same bits with 1, 2 and 5 threads, and allocates once", T, MILKIT_FLOATS) {
  for (const geometry& g : geometries) {
    CAPTURE(to_string(g.x));
    const auto x = test::normals<T>(g.x.with_rows(g.x[0] * 9), 1);
    const auto weight = test::normals<T>(shape<4>{g.out, g.x[1], g.kernel_height, g.kernel_width}, 2);
    const auto bias = test::normals<T>(shape<1>{g.out}, 3);
    const auto dy = test::normals<T>(ops::conv2d_shape(x.shape(), weight.shape(), g.options), 4);
    cpu one{.threads = 1};
    const auto want = convolve<T>(one, x.view(), weight, bias, dy, g.options);
    for (const int threads : {2, 5}) {
      cpu many{.threads = threads};
      const auto got = convolve<T>(many, x.view(), weight, bias, dy, g.options);
      const auto reserved = many.workspace.reserved_bytes();
      CHECK(many.workspace.bytes_in_use() == 0);
      CHECK(test::elements(got.y) == test::elements(want.y));
      CHECK(test::elements(got.dx) == test::elements(want.dx));
      CHECK(test::elements(got.dweight) == test::elements(want.dweight));
      CHECK(test::elements(got.dbias) == test::elements(want.dbias));
      convolve<T>(many, x.view(), weight, bias, dy, g.options);
      CHECK(many.workspace.reserved_bytes() == reserved);
    }
  }
}

TEST_CASE_TEMPLATE("conv2d: images apart, absent views -> read in place, left out; gradients added", T, float, double) {
  cpu backend{.threads = 2};
  const ops::conv2d_options options{.padding = {1, 1}};
  const shape<4> xs{5, 2, 6, 7};
  const auto x = test::normals<T>(xs, 1), weight = test::normals<T>(shape<4>{3, 2, 3, 3}, 2);
  const auto bias = test::normals<T>(shape<1>{3}, 3);
  const auto dy = test::normals<T>(ops::conv2d_shape(xs, weight.shape(), options), 4);
  const auto want = convolve<T>(backend, x.view(), weight, bias, dy, options);

  const std::int64_t gap = 11;
  tensor<T, 2> x_apart(shape<2>{5, x.view().row_size() + gap}), y_apart(shape<2>{5, dy.view().row_size() + gap});
  std::fill_n(x_apart.data(), x_apart.size(), std::numeric_limits<T>::quiet_NaN());
  std::fill_n(y_apart.data(), y_apart.size(), T(7));
  for (std::int64_t i = 0; i < 5; ++i) std::copy_n(x.view().row(i), x.view().row_size(), x_apart.view().row(i));
  const view<T, 4> xa(x_apart.data(), xs, x_apart.view().stride()),
      ya(y_apart.data(), dy.shape(), y_apart.view().stride());
  ops::conv2d(backend, xa, weight.view(), bias.view(), ya, options);
  CHECK(test::elements(ya) == test::elements(want.y));
  for (std::int64_t i = 0; i < 5; ++i)
    for (std::int64_t j = 0; j < gap; ++j) CHECK(y_apart.view().row(i)[dy.view().row_size() + j] == T(7));

  tensor<T, 4> dweight(weight.shape());
  std::fill_n(dweight.data(), dweight.size(), T(1));
  ops::conv2d_backward(backend, xa, weight.view(), dy.view(), view<T, 4>(), dweight.view(), vector_view<T>(), options);
  std::vector<double> plus_one = test::elements(want.dweight);
  for (double& each : plus_one) each += 1;
  CHECK(relative_error(dweight, plus_one) <= (sizeof(T) == 8 ? 1e-14 : 1e-6));
}

TEST_CASE("conv2d: a NaN stays within the windows that see it") {
  cpu backend{.threads = 1};
  auto x = test::normals<float>(shape<4>{2, 1, 6, 6}, 1);
  const auto weight = test::normals<float>(shape<4>{1, 1, 3, 3}, 2);
  x.view()(0, 0, 0, 0) = std::numeric_limits<float>::quiet_NaN();
  tensor<float, 4> y(shape<4>{2, 1, 4, 4});
  ops::conv2d(backend, x.view(), weight.view(), vector_view<const float>(), y.view());
  for (std::int64_t i = 0; i < y.size(); ++i) CHECK(std::isnan(y.data()[i]) == (i == 0));
}

TEST_CASE("conv2d: NaN, vectors along channels -> stays in its windows and channels") {
  cpu backend{.threads = 1};
  const ops::conv2d_options options{.padding = {1, 1}};
  auto x = test::normals<float>(shape<4>{2, 3, 9, 9}, 1);
  const auto weight = test::normals<float>(shape<4>{16, 3, 3, 3}, 2),
             dy = test::normals<float>(shape<4>{2, 16, 9, 9}, 4);
  const auto bias = test::normals<float>(shape<1>{16}, 3);
  x.view()(1, 2, 4, 7) = std::numeric_limits<float>::quiet_NaN();
  const auto got = convolve<float>(backend, x.view(), weight, bias, dy, options);
  for (std::int64_t i = 0; i < got.y.size(); ++i) {
    const std::int64_t row = i / 9 % 9, column = i % 9;
    CHECK(std::isnan(got.y.data()[i]) == (i >= 16 * 81 && row >= 3 && row <= 5 && column >= 6));
  }
  for (std::int64_t i = 0; i < got.dx.size(); ++i) CHECK(!std::isnan(got.dx.data()[i]));
  for (std::int64_t i = 0; i < got.dweight.size(); ++i) CHECK(std::isnan(got.dweight.data()[i]) == (i / 9 % 3 == 2));
}

TEST_CASE("conv2d: a planning backend counts what a real one uses") {
  const tensor<float, 4> x(shape<4>{7, 3, 27, 27}), weight(shape<4>{36, 3, 4, 4}), dy(shape<4>{7, 36, 24, 24});
  tensor<float, 4> y(dy.shape()), dx(x.shape()), dweight(weight.shape());
  cpu real{.threads = 2};
  cpu planner = real.planner();
  for (cpu* backend : {&planner, &real}) {
    ops::conv2d(*backend, x.view(), weight.view(), vector_view<const float>(), y.view());
    ops::conv2d_backward(*backend, x.view(), weight.view(), dy.view(), dx.view(), dweight.view(), vector_view<float>());
  }
  CHECK(planner.workspace.peak_bytes() == real.workspace.peak_bytes());
  CHECK(planner.workspace.peak_bytes() > 0);
}

TEST_CASE("conv2d refuses what does not fit") {
  cpu backend{.threads = 1};
  const tensor<float, 4> x(shape<4>{1, 3, 4, 9}), weight(shape<4>{2, 3, 5, 5}), other(shape<4>{2, 4, 3, 3});
  tensor<float, 4> y(shape<4>{1, 2, 1, 5});
  const vector_view<const float> none;
  CHECK_THROWS_AS(ops::conv2d(backend, x.view(), weight.view(), none, y.view()), shape_error);
  CHECK_THROWS_AS(ops::conv2d(backend, x.view(), other.view(), none, y.view()), shape_error);
  CHECK_THROWS_AS(ops::conv2d(backend, x.view(), weight.view(), none, y.view(), {.padding = {1, 0}}), shape_error);
  CHECK_THROWS_AS(ops::conv2d(backend, x.view(), weight.view(), none, y.view(), {.stride = {0, 1}}), value_error);
  CHECK_THROWS_AS(ops::conv2d(backend, x.view(), weight.view(), none, y.view(), {.padding = {-1, 1}}), value_error);
  CHECK_THROWS_WITH_AS(
      ops::conv2d(backend, x.view(), weight.view(), none, y.view()),
      "milkit::ops::conv2d: an image's extent is 4 and its padding 0, expected at least 5 together on both sides, the "
      "kernel's extent",
      shape_error);
}

TEST_CASE("conv2d refuses kernels that lie apart: they are read as one matrix") {
  cpu backend{.threads = 1};
  const tensor<float, 4> x(shape<4>{1, 1, 4, 4});
  tensor<float, 2> memory({2, 10});
  const view<float, 4> apart(memory.data(), {2, 1, 3, 3}, 10), packed(memory.data(), {2, 1, 3, 3});
  tensor<float, 4> y(shape<4>{1, 2, 2, 2});
  const vector_view<const float> none;
  CHECK_NOTHROW(ops::conv2d(backend, x.view(), packed, none, y.view()));
  CHECK_THROWS_WITH_AS(ops::conv2d(backend, x.view(), apart, none, y.view()),
                       "milkit::ops::conv2d: rows of weight lie 10 elements apart, expected 9", shape_error);
  const auto backward = [&](view<float, 4> weight, view<float, 4> dweight) {
    ops::conv2d_backward(backend, x.view(), weight, std::as_const(y).view(), view<float, 4>(), dweight,
                         vector_view<float>());
  };
  CHECK_THROWS_WITH_AS(backward(apart, packed),
                       "milkit::ops::conv2d_backward: rows of weight lie 10 elements apart, expected 9", shape_error);
  CHECK_THROWS_WITH_AS(backward(packed, apart),
                       "milkit::ops::conv2d_backward: rows of dweight lie 10 elements apart, expected 9", shape_error);
}
