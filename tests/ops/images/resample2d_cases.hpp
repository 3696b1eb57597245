#pragma once

#include <milkit/ops/images/resample2d.hpp>

#include <reference/resample2d.hpp>
#include <support/floats.hpp>
#include <support/golden.hpp>
#include <support/images.hpp>
#include <support/on_backend.hpp>
#include <support/unoptimised.hpp>

MILKIT_UNOPTIMISED_BEGIN

namespace milkit::test::resample2d_cases {

enum class way { area, linear };

template <class T>
tensor<T, 4> resampled(backend_type& backend, way how, const tensor<T, 4>& x, std::int64_t height, std::int64_t width) {
  const auto from = put(x);
  resident<T, 4> to(shape<4>{x.extent(0), x.extent(1), height, width});
  if (how == way::area) ops::area_average(backend, from.view(), to.view());
  else ops::bilinear(backend, from.view(), to.view());
  return fetch(to);
}
template <class T>
tensor<T, 4> gradient(backend_type& backend, way how, const tensor<T, 4>& dy, const shape<4>& x) {
  const auto from = put(dy);
  resident<T, 4> to(x);
  if (how == way::area) ops::area_average_backward(backend, from.view(), to.view());
  else ops::bilinear_backward(backend, from.view(), to.view());
  return fetch(to);
}

struct sizes {
  shape<4> x;
  std::int64_t height, width;
};
inline const sizes cases[] = {
    {{2, 3, 20, 18}, 5, 6}, {{2, 3, 17, 23}, 5, 9}, {{1, 2, 33, 31}, 33, 31}, {{1, 1, 257, 129}, 1, 1},
    {{3, 1, 1, 1}, 1, 1},   {{1, 2, 1, 40}, 1, 7},  {{1, 1, 40, 1}, 9, 1},    {{2, 1, 5, 7}, 10, 21},
    {{1, 1, 5, 7}, 8, 9},   {{1, 1, 1, 1}, 3, 2},   {{1, 2, 60, 60}, 30, 7},  {{1, 1, 64, 64}, 2, 2},
    {{0, 3, 8, 8}, 4, 4},   {{1, 1, 7, 9}, 3, 20},
};

TEST_CASE_TEMPLATE("resampling: odd sizes -> plain loops' values, gradients from the same weights", T, MILKIT_FLOATS) {
  for (const sizes& each : cases)
    for (const way how : {way::area, way::linear}) {
      CAPTURE(to_string(each.x));
      CAPTURE(each.height);
      CAPTURE(how == way::area);
      const auto x = normals<T>(each.x, 1);
      const auto dy = normals<T>(shape<4>{each.x[0], each.x[1], each.height, each.width}, 2);
      const auto plainly = how == way::area ? reference::area_average : reference::bilinear;
      const auto h = static_cast<int>(each.height), w = static_cast<int>(each.width);
      backend_type backend = make_backend();
      CHECK(relative_error(resampled(backend, how, x, each.height, each.width), plainly(plain(x), h, w).values) <=
            tolerance_of<T>(1e-12, 2e-6));
      // The map is linear: its weights are what it makes of single pixels.
      reference::images one(1, 1, static_cast<int>(each.x[2]), static_cast<int>(each.x[3]));
      if (one.values.size() > 2000) continue;
      std::vector<double> want(static_cast<std::size_t>(x.size()));
      for (std::size_t p = 0; p < one.values.size(); ++p) {
        one.values[p] = 1;
        const reference::images weights = plainly(one, h, w);
        one.values[p] = 0;
        for (std::size_t plane = 0; plane < static_cast<std::size_t>(each.x[0] * each.x[1]); ++plane)
          for (std::size_t q = 0; q < weights.values.size(); ++q)
            want[plane * one.values.size() + p] +=
                weights.values[q] * static_cast<double>(dy.data()[plane * weights.values.size() + q]);
      }
      CHECK(relative_error(gradient(backend, how, dy, each.x), want) <= tolerance_of<T>(1e-12, 2e-6));
    }
}

TEST_CASE("area average and bilinear sampling keep constants, area average the mean") {
  backend_type backend = make_backend();
  const shape<4> size{2, 1, 26, 35};
  tensor<double, 4> flat(size);
  std::fill_n(flat.data(), flat.size(), 3.25);
  const auto x = normals<double>(size, 5);
  for (const std::int64_t h : {1, 2, 13, 17, 26, 40})
    for (const std::int64_t w : {1, 5, 11, 35, 70}) {
      for (const way how : {way::area, way::linear})
        for (const double each : elements(resampled(backend, how, flat, h, w))) CHECK(std::abs(each - 3.25) <= 1e-14);
      const auto y = resampled(backend, way::area, x, h, w);
      for (std::int64_t n = 0; n < 2; ++n) {
        double before = 0, after = 0;
        for (std::int64_t i = 0; i < size.row_size(); ++i) before += x.view().row(n)[i];
        for (std::int64_t i = 0; i < h * w; ++i) after += y.view().row(n)[i];
        CHECK(std::abs(before / static_cast<double>(size.row_size()) - after / static_cast<double>(h * w)) <= 1e-14);
      }
    }
}

TEST_CASE_TEMPLATE("resampling: any thread count, gaps between images -> the same bits", T, float, double) {
  for (const sizes& each : {sizes{{3, 3, 90, 70}, 30, 14}, {{3, 3, 91, 70}, 30, 14}}) {
    const auto x = normals<T>(each.x, 1);
    const shape<4> small{3, 3, each.height, each.width};
    const auto dy = normals<T>(small, 2);
    for (const way how : {way::area, way::linear}) {
      backend_type one = make_backend(1);
      const auto y = resampled(one, how, x, each.height, each.width), dx = gradient(one, how, dy, each.x);
      in_every_way([&](backend_type& backend) {
        CHECK(same_bits(resampled(backend, how, x, each.height, each.width), y));
        CHECK(same_bits(gradient(backend, how, dy, each.x), dx));
      });
      rows_apart<T, 4> from(x), to((tensor<T, 4>(small)));
      if (how == way::area) ops::area_average(one, from.rows(), to.rows());
      else ops::bilinear(one, from.rows(), to.rows());
      CHECK(same_bits(to.values(), elements(y)));
      CHECK(to.untouched());
    }
  }
}

TEST_CASE("area average of more than a thousand pixels in float keeps its digits") {
  backend_type backend = make_backend();
  tensor<float, 4> x(shape<4>{1, 1, 512, 512});
  for (std::int64_t i = 0; i < x.size(); ++i) x.data()[i] = 1000.0f + static_cast<float>(i % 7);
  double sum = 0;
  for (const double each : elements(x)) sum += each;
  CHECK(std::abs(static_cast<double>(resampled(backend, way::area, x, 1, 1).data()[0]) - sum / 262144) <= 1e-4);
}

TEST_CASE("resampling: NaN -> the pixels that it has a share in, and no other") {
  backend_type backend = make_backend();
  auto x = normals<double>(shape<4>{1, 1, 6, 6}, 1);
  x.view()(0, 0, 2, 2) = std::nan("");
  for (const std::int64_t size : {2, 3, 4}) {
    const auto y = resampled(backend, way::area, x, size, size);
    int hit = 0;
    for (const double each : elements(y)) hit += std::isnan(each);
    CHECK(hit == 1);
  }
  int hit = 0;
  for (const double each : elements(resampled(backend, way::linear, x, 2, 2))) hit += std::isnan(each);
  CHECK(hit == 0);  // factor 3: the centres alone
}

TEST_CASE_TEMPLATE("area average and bilinear sampling agree with the golden tensors", T, MILKIT_FLOATS) {
  backend_type backend = make_backend();
  for (const char* name : {"zoom_in_downscale_integer", "zoom_in_downscale_fractional", "zoom_in_downscale_bilinear"}) {
    CAPTURE(name);
    const golden_case golden(name);
    const way how = std::string(name).ends_with("bilinear") ? way::linear : way::area;
    const auto image = golden.get<T, 3>("image"), upstream = golden.get<T, 3>("grad_output");
    tensor<T, 4> x(shape<4>{1, image.extent(0), image.extent(1), image.extent(2)}),
        dy(shape<4>{1, upstream.extent(0), upstream.extent(1), upstream.extent(2)});
    std::copy_n(image.data(), image.size(), x.data());
    std::copy_n(upstream.data(), upstream.size(), dy.data());
    const auto height = golden.option<std::int64_t>("view_size", 0),
               width = golden.option<std::int64_t>("view_size", 1);
    CHECK(golden.error("view", resampled(backend, how, x, height, width)) <= golden_tolerance<T>);
    CHECK(golden.error("grad.image", gradient(backend, how, dy, x.shape())) <= golden_tolerance<T>);
  }
}

TEST_CASE("resampling: no pixels, or other channels -> refused") {
  backend_type backend = make_backend();
  const tensor<float, 4> x(shape<4>{1, 2, 0, 4});
  CHECK_THROWS_WITH_AS(
      resampled(backend, way::area, x, 1, 1),
      "milkit::ops::area_average: x is [1, 2, 0, 4] and y [1, 2, 1, 1], expected at least one pixel each", shape_error);
  CHECK_THROWS_AS(gradient(backend, way::linear, tensor<float, 4>(shape<4>{1, 2, 3, 3}), {1, 3, 6, 6}), shape_error);
}

}  // namespace milkit::test::resample2d_cases

MILKIT_UNOPTIMISED_END
