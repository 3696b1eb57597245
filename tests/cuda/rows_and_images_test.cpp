// labels: emulated
#include <milkit/ops/images/conv2d_cpu.hpp>
#include <milkit/ops/images/conv2d_cuda.cuh>
#include <milkit/ops/images/normalise_colours_cpu.hpp>
#include <milkit/ops/images/normalise_colours_cuda.cuh>
#include <milkit/ops/images/pool2d_cpu.hpp>
#include <milkit/ops/images/pool2d_cuda.cuh>
#include <milkit/ops/rows/fill_cpu.hpp>
#include <milkit/ops/rows/fill_cuda.cuh>
#include <milkit/ops/rows/layer_norm_cpu.hpp>
#include <milkit/ops/rows/layer_norm_cuda.cuh>
#include <milkit/ops/rows/softmax_cpu.hpp>
#include <milkit/ops/rows/softmax_cuda.cuh>

#include <support/backends.hpp>
#include <support/floats.hpp>

using namespace milkit;
using test::agree, test::normals;

namespace {
template <class T>
constexpr double bound = sizeof(T) == 4 ? 5e-6 : 1e-13;
constexpr double infinity = std::numeric_limits<double>::infinity(),
                 nan_value = std::numeric_limits<double>::quiet_NaN();
using extents = shape<4>;
}  // namespace

TEST_CASE_TEMPLATE("cuda: softmax of rows and segments", T, MILKIT_FLOATS) {
  for (const std::int64_t n : {0, 1, 33})
    for (const std::int64_t m : {1, 31, 257, 1000})
      agree(
          bound<T>,
          [](auto& b, auto x, auto y, auto l, auto dy, auto dl, auto dx) {
            ops::softmax(b, x, y, l);
            ops::softmax_backward(b, y, dy, dl, dx);
          },
          normals<T>(shape{n, m}, 1), normals<T>(shape{n, m}, 2), normals<T>(shape{n}, 3), normals<T>(shape{n, m}, 4),
          normals<T>(shape{n}, 5), normals<T>(shape{n, m}, 6));
  agree(
      bound<T>,
      [](auto& b, auto x, auto y, auto dy, auto dx) {  // by blocks
        using none = view<T, 1, typename std::remove_reference_t<decltype(b)>::space>;
        ops::softmax(b, x, y, none());
        ops::softmax_backward(b, y, dy, none(), dx);
      },
      normals<T>(shape<2>{2, 1500}, 1), normals<T>(shape<2>{2, 1500}, 2), normals<T>(shape<2>{2, 1500}, 3),
      normals<T>(shape<2>{2, 1500}, 4));
  for (const std::vector<std::int64_t>& ends :
       {std::vector<std::int64_t>{0, 1, 1, 300, 301, 1000}, {0, 0, 128, 128, 256, 256}, {0, 0, 0}, {0}}) {
    const auto segments = static_cast<std::int64_t>(ends.size()) - 1;
    const shape<1> n{ends.back()}, sums{segments};
    tensor<std::int64_t, 1> offsets(shape<1>{segments + 1});
    std::copy(ends.begin(), ends.end(), offsets.data());
    agree(
        bound<T>,
        [](auto& b, auto o, auto x, auto y, auto l, auto dy, auto dl, auto dx) {
          ops::segment_softmax(b, o, x, y, l);
          ops::segment_softmax_backward(b, o, y, dy, dl, dx);
        },
        offsets, normals<T>(n, 1), normals<T>(n, 2), normals<T>(sums, 3), normals<T>(n, 4), normals<T>(sums, 5),
        normals<T>(n, 6));
  }
}

TEST_CASE("cuda: softmax of rows without mass, with infinity, with NaN") {
  tensor<double, 2> x(shape<2>{4, 3}), y(shape<2>{4, 3});
  tensor<double, 1> sums(shape<1>{4});
  const double values[4][3] = {
      {-infinity, -infinity, -infinity}, {1, infinity, 2}, {1, nan_value, infinity}, {-infinity, 1, 2}};
  std::copy_n(&values[0][0], 12, x.data());
  milkit::cuda gpu;
  cpu host;
  test::on_card a(gpu, x, 0), b(gpu, y, 0);
  test::on_card c(gpu, sums, 0);
  ops::softmax(gpu, a.view(), b.view(), c.view());
  ops::softmax(host, x.view(), y.view(), sums.view());
  const auto got = b.back(gpu);
  const auto got_sums = c.back(gpu);
  const auto same = [](double p, double q) {
    return std::isnan(p) ? std::isnan(q) : test::close(p, q, {.relative = 1e-14});
  };
  for (int i = 0; i < 12; ++i) CHECK(same(y.data()[i], got.data()[i]));
  for (int i = 0; i < 4; ++i) CHECK(same(sums.data()[i], got_sums.data()[i]));

  tensor<std::int64_t, 1> offsets(shape<1>{5});  // the same rows as segments
  for (int i = 0; i < 5; ++i) offsets.data()[i] = 3 * i;
  test::on_card o(gpu, offsets, 0);
  const auto flat = [](auto m) { return device_vector<double>(m.data(), {12}); };
  ops::segment_softmax(gpu, o.view(), flat(a.view()), flat(b.view()), c.view());
  const auto in_segments = b.back(gpu);
  const auto sums_of_segments = c.back(gpu);
  for (int i = 0; i < 12; ++i) CHECK(same(y.data()[i], in_segments.data()[i]));
  for (int i = 0; i < 4; ++i) CHECK(same(sums.data()[i], sums_of_segments.data()[i]));
}

TEST_CASE_TEMPLATE("cuda: layer norm", T, MILKIT_FLOATS) {
  for (const std::int64_t n : {0, 1, 33, 257, 1000})
    for (const std::int64_t d : {1, 32, 100})
      agree(
          5 * bound<T>,
          [](auto& b, auto x, auto w, auto bias, auto y, auto m, auto dy, auto dx, auto dw, auto db) {
            ops::layer_norm(b, x, w, bias, 1e-5, y, m);
            ops::layer_norm_backward(b, x, m, w, dy, dx, dw, db);
            if (x.cols() == 1)
              ops::copy_rows(b, dy, dx, true);  // a row of one has the gradient 0, but for rounding: compared with dy
          },
          normals<T>(shape{n, d}, 1), normals<T>(shape{d}, 2), normals<T>(shape{d}, 3), normals<T>(shape{n, d}, 4),
          tensor<double, 2>(shape<2>{n, 2}), normals<T>(shape{n, d}, 5), normals<T>(shape{n, d}, 6),
          normals<T>(shape{d}, 7), normals<T>(shape{d}, 8));
}

TEST_CASE_TEMPLATE("cuda: pooling of images", T, MILKIT_FLOATS) {
  for (const ops::pool2d_options o : {ops::pool2d_options{2, 2, 0}, {3, 1, 1}, {3, 2, 0}, {2, 3, 1}})
    for (const extents x : {extents{2, 3, 8, 8}, {1, 2, 7, 9}, {0, 2, 8, 8}, {3, 1, 5, 33}}) {
      const extents y = ops::pool2d_shape(x, o);
      auto values = normals<T>(x, 1);
      for (std::int64_t i = 0; i < values.size(); ++i) values.data()[i] = std::round(values.data()[i]);  // ties
      agree(
          bound<T>,
          [o](auto& b, auto image, auto pooled, auto where, auto dy, auto dx, auto averaged, auto dx2) {
            ops::max_pool2d(b, image, pooled, where, o);
            ops::max_pool2d_backward(b, where, dy, dx, o);
            ops::avg_pool2d(b, image, averaged, o);
            ops::avg_pool2d_backward(b, dy, dx2, o);
          },
          values, normals<T>(y, 2), tensor<ops::window_position, 4>(y), normals<T>(y, 3), normals<T>(x, 4),
          normals<T>(y, 5), normals<T>(x, 6));
      agree(
          bound<T>,
          [](auto& b, auto image, auto mean, auto dimage) {
            ops::global_average_pool(b, image, mean);
            ops::global_average_pool_backward(b, mean, dimage);
          },
          normals<T>(x, 1), normals<T>(shape<2>{x[0], x[1]}, 2), normals<T>(x, 3));
    }
}

/// Kernels [out, in, height, width] from their numbers in one row: `agree` puts gaps between rows, and kernels have none.
template <class Flat>
auto kernels(Flat flat, const extents& w) {
  return view<typename Flat::element_type, 4, typename Flat::space>(flat.data(), w);
}

TEST_CASE_TEMPLATE("cuda: convolutions", T, MILKIT_FLOATS) {
  const auto check = [](extents x, extents w, ops::conv2d_options o) {
    const extents y = ops::conv2d_shape(x, w, o);
    const shape<1> flat{w.size()}, out{w[0]};
    agree(
        20 * bound<T>,
        [o, w](auto& b, auto image, auto weight, auto bias, auto result, auto dy, auto dx, auto dw, auto db) {
          ops::conv2d(b, image, kernels(weight, w), bias, result, o);
          ops::conv2d_backward(b, image, kernels(weight, w), dy, dx, kernels(dw, w), db, o);
        },
        normals<T>(x, 1), normals<T>(flat, 2), normals<T>(out, 3), normals<T>(y, 4), normals<T>(y, 5), normals<T>(x, 6),
        normals<T>(flat, 7), normals<T>(out, 8));
  };
  check({2, 3, 9, 11}, {5, 3, 4, 4}, {});
  check({2, 3, 9, 11}, {5, 3, 3, 3}, {.stride = {2, 2}, .padding = {1, 1}});
  check({1, 2, 8, 8}, {3, 2, 1, 1}, {});
  check({3, 1, 13, 5}, {70, 1, 3, 2}, {.stride = {1, 3}, .padding = {0, 2}});
  check({0, 3, 9, 11}, {5, 3, 4, 4}, {});
  check({2, 2, 64, 64}, {2, 2, 3, 3}, {.padding = {1, 1}});  // dweight in parts
}

TEST_CASE_TEMPLATE("cuda: convolutions with a residual and a relu", T, MILKIT_FLOATS) {
  const extents x{2, 3, 9, 11}, w{5, 3, 3, 3};
  const ops::conv2d_options o{.stride = {2, 1}, .padding = {1, 1}};
  const extents y = ops::conv2d_shape(x, w, o);
  agree(
      20 * bound<T>,
      [o, w](auto& b, auto image, auto weight, auto bias, auto residual, auto with, auto without) {
        ops::conv2d_relu(b, image, kernels(weight, w), bias, residual, with, o);
        ops::conv2d_relu(b, image, kernels(weight, w), bias, decltype(residual)(), without, o);
      },
      normals<T>(x, 1), normals<T>(shape<1>{w.size()}, 2), normals<T>(shape<1>{w[0]}, 3), normals<T>(y, 4),
      normals<T>(y, 5), normals<T>(y, 6));
}

TEST_CASE("cuda: pictures become normalised images, with the bits of the CPU") {
  for (const extents s : {extents{3, 7, 5, 3}, {0, 4, 4, 3}, {2, 33, 40, 3}}) {
    tensor<std::uint8_t, 4> pictures(s);
    for (std::int64_t i = 0; i < pictures.size(); ++i) pictures.data()[i] = static_cast<std::uint8_t>(i * 37);
    agree(
        0, [](auto& b, auto from, auto to) { ops::normalise_colours(b, from, to); }, pictures,
        normals<float>(extents{s[0], 3, s[1], s[2]}, 1));
  }
}

TEST_CASE("cuda: maxima without their positions") {
  agree(
      0,
      [](auto& b, auto image, auto pooled) {
        ops::max_pool2d(b, image, pooled,
                        view<ops::window_position, 4, typename std::remove_reference_t<decltype(b)>::space>(),
                        {3, 2, 1});
      },
      normals<float>(extents{2, 3, 9, 12}, 1), normals<float>(extents{2, 3, 5, 6}, 2));
}

TEST_CASE("cuda: convolutions count in 64 bits where they must, with the same bits") {
  const extents x{2, 3, 9, 11}, w{5, 3, 3, 3};
  const ops::conv2d_options o{.stride = {2, 1}, .padding = {1, 2}};
  const extents y = ops::conv2d_shape(x, w, o);
  milkit::cuda gpu;
  const auto results = [&]<class Index>(Index) {
    test::on_card image(gpu, normals<float>(x, 1), 0), weight(gpu, normals<float>(w, 2), 0),
        dy(gpu, normals<float>(y, 3), 0), out(gpu, tensor<float, 4>(y), 0);
    test::on_card dx(gpu, tensor<float, 4>(x), 0), dw(gpu, tensor<float, 4>(w), 0);
    using forward = ops::detail::conv2d_impl<milkit::cuda>;
    using backward = ops::detail::conv2d_backward_impl<milkit::cuda>;
    using images = device_images<const float>;
    forward::multiply<Index, float>(gpu, images(image.view()), images(weight.view()), device_vector<const float>(),
                                    out.view(), o);
    const auto scope = gpu.workspace.scope();
    const auto memory = backward::scratch(gpu, images(image.view()), images(weight.view()), images(dy.view()));
    backward::multiply<Index, float>(gpu, memory, images(image.view()), images(weight.view()), images(dy.view()),
                                     dx.view(), dw.view(), o);
    return std::vector<std::vector<double>>{test::elements(out.back(gpu)), test::elements(dx.back(gpu)),
                                            test::elements(dw.back(gpu))};
  };
  CHECK(results(std::int32_t()) == results(std::int64_t()));
}

TEST_CASE("cuda: a convolution of many terms does not add them in one chain of float32") {
  const std::int64_t terms = 20000;
  tensor<float, 4> x(extents{1, terms, 1, 1}), w(x.shape()), y(extents{1, 1, 1, 1});
  std::fill_n(x.data(), terms, 0.1f);
  std::fill_n(w.data(), terms, 1.0f);
  milkit::cuda gpu;
  test::on_card image(gpu, x, 0), weight(gpu, w, 0), out(gpu, y, 0);
  ops::conv2d(gpu, image.view(), weight.view(), device_vector<const float>(), out.view());
  CHECK(test::close(static_cast<double>(out.back(gpu).data()[0]),
                    static_cast<double>(terms) * static_cast<double>(0.1f), {.relative = 2e-5}));  // in one chain 2e-4
}

TEST_CASE("cuda: the parts of a weight's gradient take at most 8 MiB, or one part") {
  using backward = ops::detail::conv2d_backward_impl<milkit::cuda>;
  CHECK(backward::parts(1 << 20, 512, 512 * 9) == 1);
  CHECK(backward::parts(1 << 20, 64, 64 * 9) == 28);
  CHECK(backward::parts(1 << 20, 8, 27) == 512);
  CHECK(backward::parts(2000, 8, 27) == 2);
  CHECK(backward::parts(0, 8, 27) == 1);
}
