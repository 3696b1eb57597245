#include <doctest/doctest.h>

#include <cmath>
#include <filesystem>
#include <limits>
#include <vector>

#include <milkit/report/heatmap.hpp>
#include <support/paths.hpp>

using namespace milkit::report;
using milkit::pixel;
namespace ms = milkit::slide;

namespace {

constexpr double nan_value = std::numeric_limits<double>::quiet_NaN();
constexpr double infinity = std::numeric_limits<double>::infinity();

ms::level0_rectangle tile(double x, double y, double width, double height) {
  return ms::level0_rectangle(ms::level0_point(x, y), ms::level0_extent(width, height));
}
rgb at(const milkit::rgb_image& picture, std::int64_t y, std::int64_t x) {
  const auto* p = pixel(picture, y, x);
  return {p[0], p[1], p[2]};
}

}  // namespace

TEST_CASE("linear values run from the smallest to the largest") {
  const auto v = normalised(std::vector<double>{2, 6, 3, nan_value, infinity, 2});
  CHECK(v[0] == 0);
  CHECK(v[1] == 1);
  CHECK(v[2] == 0.25);
  CHECK(std::isnan(v[3]));
  CHECK(std::isnan(v[4]));
  CHECK(v[5] == 0);
  const auto wide = normalised(std::vector<double>{-1.7e308, 1.7e308, 0});
  CHECK(wide[1] == 1);
  CHECK(wide[2] == 0.5);
}

TEST_CASE("ranks share their mean where values tie") {
  const auto v = normalised(std::vector<double>{1000, 1, 2, 2, 5}, colour_scale::rank);
  CHECK(v == std::vector<double>{1, 0, 0.375, 0.375, 0.75});
}

TEST_CASE("one value, equal values and no values have a documented outcome") {
  CHECK(normalised(std::vector<double>{7}) == std::vector<double>{0.5});
  CHECK(normalised(std::vector<double>{7, 7}, colour_scale::rank) == std::vector<double>{0.5, 0.5});
  CHECK(normalised(std::vector<double>{}).empty());
  CHECK(std::isnan(normalised(std::vector<double>{nan_value})[0]));
}

TEST_CASE("tiles are coloured where they lie, and the rest stays as it was") {
  const auto thumbnail = blank_picture(100, 200, {90, 90, 90});
  const std::vector<ms::level0_rectangle> tiles = {tile(0, 0, 400, 400), tile(400, 0, 400, 400),
                                                   tile(1000, 500, 400, 400)};
  const std::vector<double> raw = {1, 3, nan_value};
  const auto picture = draw_heatmap(thumbnail, {2000, 1000}, tiles, raw, {.opacity = 1});
  CHECK(picture.extent(0) >= 100);
  CHECK(picture.extent(1) > 200);
  CHECK(at(picture, 0, 0) == colour_of(0));
  CHECK(at(picture, 39, 39) == colour_of(0));
  CHECK(at(picture, 20, 40) == colour_of(1));
  CHECK(at(picture, 39, 79) == colour_of(1));
  CHECK(at(picture, 40, 79) == rgb{90, 90, 90});
  CHECK(at(picture, 60, 110) == rgb{90, 90, 90});
}

TEST_CASE("overlapping tiles are averaged and tiny ones keep a pixel") {
  const auto thumbnail = blank_picture(10, 10);
  const std::vector<ms::level0_rectangle> tiles = {tile(0, 0, 1000, 500), tile(0, 0, 1000, 500), tile(905, 905, 1, 1)};
  const auto picture = draw_heatmap(thumbnail, {1000, 1000}, tiles, std::vector<double>{0, 1, 1}, {.opacity = 1});
  CHECK(at(picture, 2, 2) == colour_of(0.5));
  CHECK(at(picture, 9, 9) == colour_of(1));
  CHECK(at(picture, 8, 9) == rgb{255, 255, 255});
}

TEST_CASE("tiles beyond the slide are cut off, no tiles leave the thumbnail") {
  const auto thumbnail = blank_picture(10, 10);
  const std::vector<ms::level0_rectangle> outside = {tile(-500, -500, 600, 600), tile(5000, 0, 10, 10)};
  CHECK(at(draw_heatmap(thumbnail, {1000, 1000}, outside, std::vector<double>{1, 1}, {.opacity = 1}), 0, 0) ==
        colour_of(0.5));
  CHECK(at(draw_heatmap(thumbnail, {1000, 1000}, {}, {}), 5, 5) == rgb{255, 255, 255});
  CHECK_THROWS_AS(draw_heatmap(thumbnail, {1000, 1000}, outside, std::vector<double>{1}), milkit::shape_error);
  CHECK_THROWS_AS(draw_heatmap(thumbnail, {0, 1000}, {}, {}), milkit::value_error);
}

TEST_CASE("the table beside a heatmap keeps raw and normalised values") {
  const milkit::test::temporary_directory folder;
  const std::vector<ms::level0_rectangle> tiles = {tile(0, 10.5, 256, 128), tile(256, 0, 256, 256)};
  write_heatmap_csv(folder.path() / "a.csv", tiles, std::vector<double>{0.1, 0.3});
  const auto table = milkit::data::read_csv(folder.path() / "a.csv");
  CHECK(table.header == std::vector<std::string>{"x", "y", "width", "height", "raw", "normalised"});
  CHECK(table.number(0, 1) == 10.5);
  CHECK(table.number(1, 4) == 0.3);
  CHECK(table.number(1, 5) == 1);
  CHECK_THROWS_AS(write_heatmap_csv(folder.path() / "b.csv", tiles, std::vector<double>{1}), milkit::shape_error);
}
