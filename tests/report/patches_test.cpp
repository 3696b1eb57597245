#include <doctest/doctest.h>

#include <limits>
#include <vector>

#include <milkit/report/patches.hpp>

using namespace milkit::report;
using milkit::pixel;

TEST_CASE("patches are as bright as their weights, and the rest is black") {
  const auto picture = blank_picture(10, 30, {200, 100, 50});
  const std::vector<pixel_rectangle> patches = {
      {0, 0, 5, 5}, {10, 0, 5, 5}, {20, 0, 5, 5}, {22, 2, 5, 5}, {5, 5, 2, 2}};
  const std::vector<double> weights = {0.1, 0.2, 0.3, 0.2, std::numeric_limits<double>::quiet_NaN()};
  const auto weighted = draw_weighted_patches(picture, patches, weights);
  CHECK(pixel(weighted, 2, 2)[0] == 0);
  CHECK(pixel(weighted, 2, 12)[0] == 100);
  CHECK(pixel(weighted, 2, 12)[2] == 25);
  CHECK(pixel(weighted, 3, 23)[0] == 200);
  CHECK(pixel(weighted, 6, 26)[0] == 100);
  CHECK(pixel(weighted, 5, 5)[0] == 0);
  CHECK(pixel(weighted, 9, 29)[0] == 0);
  CHECK(pixel(picture, 9, 29)[0] == 200);
}

TEST_CASE("equal weights show every patch, and patches are cut off at the edges") {
  const auto picture = blank_picture(4, 4, {200, 100, 50});
  const std::vector<pixel_rectangle> patches = {{-2, -2, 4, 4}, {3, 3, 9, 9}};
  const auto weighted = draw_weighted_patches(picture, patches, std::vector<double>{0.5, 0.5});
  CHECK(pixel(weighted, 1, 1)[0] == 200);
  CHECK(pixel(weighted, 3, 3)[0] == 200);
  CHECK(pixel(weighted, 2, 2)[0] == 0);
  CHECK_THROWS_AS(draw_weighted_patches(picture, patches, std::vector<double>{1}), milkit::shape_error);
}

TEST_CASE("pictures stand side by side below their captions") {
  const auto one = blank_picture(10, 100, {1, 1, 1}), two = blank_picture(30, 20, {2, 2, 2});
  const std::vector<captioned_picture> pictures = {{&one, "one"}, {&two, "a long caption"}};
  const auto row = draw_side_by_side(pictures);
  const std::int64_t top = 24 + 14;
  CHECK(row.shape() == milkit::shape<3>{top + 30 + 12, 12 + 100 + 12 + text_width("a long caption", 2) + 12, 3});
  CHECK(pixel(row, top, 12)[0] == 1);
  CHECK(pixel(row, top + 29, 12 + 100 + 12)[0] == 2);
  CHECK(draw_side_by_side({}).size() > 0);
}
