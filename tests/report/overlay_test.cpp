#include <doctest/doctest.h>

#include <vector>

#include <milkit/report/overlay.hpp>

using namespace milkit::report;
using milkit::pixel;

namespace {

rgb at(const milkit::rgb_image& picture, std::int64_t y, std::int64_t x) {
  const auto* p = pixel(picture, y, x);
  return {p[0], p[1], p[2]};
}

}  // namespace

TEST_CASE("tissue is outlined inside its edge, from a mask of any size") {
  const rgb ground{240, 230, 240}, line{1, 2, 3};
  const auto thumbnail = blank_picture(40, 80, ground);
  milkit::tensor<std::uint8_t, 2> mask({4, 8});
  mask.view()(1, 2) = mask.view()(1, 3) = mask.view()(2, 2) = mask.view()(2, 3) = 1;
  const auto picture = draw_overlay(thumbnail, mask.view(), {}, {.outline_colour = line, .outline_thickness = 2});
  for (std::int64_t y = 0; y < 40; ++y)
    for (std::int64_t x = 0; x < 80; ++x) {
      const bool inside = y >= 10 && y < 30 && x >= 20 && x < 40;
      const bool deep = y >= 12 && y < 28 && x >= 22 && x < 38;
      CHECK(at(picture, y, x) == (inside && !deep ? line : ground));
    }
}

TEST_CASE("tissue at the border of the picture is closed, and no mask draws none") {
  const auto thumbnail = blank_picture(10, 10);
  milkit::tensor<std::uint8_t, 2> mask({1, 1});
  mask.data()[0] = 255;
  const auto picture = draw_overlay(thumbnail, mask.view(), {}, {.outline_colour = {1, 2, 3}, .outline_thickness = 1});
  CHECK(at(picture, 0, 5) == rgb{1, 2, 3});
  CHECK(at(picture, 9, 9) == rgb{1, 2, 3});
  CHECK(at(picture, 5, 5) == rgb{255, 255, 255});
  CHECK(at(draw_overlay(thumbnail, {}, {}), 0, 0) == rgb{255, 255, 255});
}

TEST_CASE("tiles are drawn as a grid") {
  const auto thumbnail = blank_picture(10, 10);
  const std::vector<pixel_rectangle> tiles = {{0, 0, 5, 5}, {5, 0, 5, 5}};
  const auto picture = draw_overlay(thumbnail, {}, tiles, {.tile_colour = {9, 9, 9}, .tile_opacity = 1});
  CHECK(at(picture, 0, 0) == rgb{9, 9, 9});
  CHECK(at(picture, 4, 7) == rgb{9, 9, 9});
  CHECK(at(picture, 2, 2) == rgb{255, 255, 255});
  CHECK(at(picture, 5, 2) == rgb{255, 255, 255});
}
