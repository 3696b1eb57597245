#include <doctest/doctest.h>

#include <milkit/core/image.hpp>
#include <milkit/core/random.hpp>
#include <milkit/ops/images/area_average_rgb.hpp>
#include <milkit/ops/images/resample2d_cpu.hpp>

#include <reference/area_average.hpp>
#include <support/floats.hpp>
#include <support/golden.hpp>
#include <support/gradient_check.hpp>

using namespace milkit;
using test::relative_error;

namespace {

rgb_image picture(std::int64_t height, std::int64_t width) {
  rgb_image image(shape<3>{height, width, 3});
  const random_stream stream(4, 0, 0x726762);
  for (std::int64_t i = 0; i < image.size(); ++i)
    image.data()[i] = static_cast<std::uint8_t>(255 * stream.uniform<double>(static_cast<std::uint64_t>(i), 0) + 0.5);
  return image;
}

struct part {
  ops::pixel_rectangle area;
  std::int64_t height, width;
};
const part parts[] = {
    {{0, 0, 40, 30}, 10, 6},  {{3, 5, 20, 21}, 5, 7},   {{3, 5, 20, 21}, 6, 5}, {{-7, -4, 30, 20}, 6, 5},
    {{33, 22, 24, 20}, 6, 5}, {{-5, -5, 60, 60}, 7, 9}, {{50, 0, 8, 8}, 2, 2},  {{0, -9, 6, 9}, 3, 3},
    {{0, 0, 40, 30}, 1, 1},   {{7, 7, 1, 1}, 1, 1},     {{2, 2, 3, 4}, 5, 8},   {{-400, -300, 1200, 900}, 3, 2},
    {{0, 0, 40, 30}, 40, 30}, {{12, 29, 4, 2}, 2, 2},
};

}  // namespace

TEST_CASE_TEMPLATE("area_average_rgb: any rectangle -> its mean, zeros outside, at any thread count", T,
                   MILKIT_FLOATS) {
  const rgb_image image = picture(40, 30);
  const auto at = [&](std::int64_t x, std::int64_t y, std::int64_t c) {
    const bool inside = x >= 0 && y >= 0 && x < 30 && y < 40;
    return inside ? static_cast<double>(pixel(image, y, x)[c]) / 255 : 0.0;
  };
  for (const part& each : parts) {
    CAPTURE(each.area.row);
    CAPTURE(each.area.rows);
    CAPTURE(each.height);
    cpu one{.threads = 1};
    tensor<T, 3> got(shape<3>{3, each.height, each.width});
    ops::area_average_rgb(one, image.view(), each.area, got.view());
    const double down = static_cast<double>(each.area.rows) / static_cast<double>(each.height),
                 across = static_cast<double>(each.area.columns) / static_cast<double>(each.width);
    std::vector<double> want;
    for (std::int64_t c = 0; c < 3; ++c)
      for (std::int64_t i = 0; i < each.height; ++i)
        for (std::int64_t j = 0; j < each.width; ++j)
          want.push_back(test::mean_over(at, static_cast<double>(each.area.column) + static_cast<double>(j) * across,
                                         static_cast<double>(each.area.row) + static_cast<double>(i) * down, across,
                                         down, c));
    CHECK(relative_error(got, want) <= test::tolerance_of<T>(1e-12, 1e-6));
    for (const int threads : {2, 3, 8}) {
      cpu many{.threads = threads};
      tensor<T, 3> again(got.shape());
      ops::area_average_rgb(many, image.view(), each.area, again.view());
      CHECK(test::same_bits(again, got));
    }
  }
}

TEST_CASE("area_average_rgb: into a batch of tiles -> the area average of the float picture") {
  const rgb_image image = picture(24, 36);
  tensor<float, 4> planes(shape<4>{1, 3, 24, 36}), want(shape<4>{1, 3, 8, 9}), batch(shape<4>{3, 3, 8, 9});
  for (std::int64_t c = 0; c < 3; ++c)
    for (std::int64_t p = 0; p < 24 * 36; ++p)
      planes.data()[c * 24 * 36 + p] = static_cast<float>(image.data()[3 * p + c]) / 255.0f;
  cpu backend{.threads = 2};
  ops::area_average(backend, planes.view(), want.view());
  ops::area_average_rgb(backend, image.view(), {0, 0, 24, 36}, view<float, 3>(batch.view().row(1), {3, 8, 9}));
  CHECK(relative_error(batch.view().rows(1, 1), want) <= 1e-6);
  for (const double each : test::elements(batch.view().rows(2, 1))) CHECK(each == 0);
}

TEST_CASE("area_average_rgb: a sum of more bytes than 32 bits hold; nothing without pixels") {
  cpu backend{.threads = 2};
  rgb_image white(shape<3>{5, 7, 3});
  std::fill_n(white.data(), white.size(), std::uint8_t{255});
  tensor<double, 3> one(shape<3>{3, 1, 1});
  ops::area_average_rgb(backend, white.view(), {0, 0, 5000, 7000}, one.view());
  for (const double each : test::elements(one)) CHECK(std::abs(each - 1e-6) <= 1e-18);
  CHECK_THROWS_WITH_AS(ops::area_average_rgb(backend, white.view(), {0, 0, 0, 7}, one.view()),
                       "milkit::ops::area_average_rgb: the rectangle has 0 rows and 7 columns and out is [3, 1, 1], "
                       "expected at least one pixel each",
                       shape_error);
  rgb_image none(shape<3>{0, 0, 3});
  ops::area_average_rgb(backend, none.view(), {-1, 2, 3, 4}, one.view());
  for (const double each : test::elements(one)) CHECK(each == 0);
}
