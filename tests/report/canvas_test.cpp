#include <doctest/doctest.h>

#include <milkit/report/canvas.hpp>

using namespace milkit::report;
using milkit::pixel;
using milkit::rgb_image;

namespace {

rgb at(const rgb_image& picture, std::int64_t y, std::int64_t x) {
  const auto* p = pixel(picture, y, x);
  return {p[0], p[1], p[2]};
}

std::int64_t count(const rgb_image& picture, rgb colour) {
  std::int64_t found = 0;
  for (std::int64_t y = 0; y < picture.extent(0); ++y)
    for (std::int64_t x = 0; x < picture.extent(1); ++x) found += at(picture, y, x) == colour;
  return found;
}

constexpr rgb white{255, 255, 255}, red{200, 0, 0};

}  // namespace

TEST_CASE("an area is filled and cut off at the picture's edges") {
  auto picture = blank_picture(10, 20);
  CHECK(count(picture, white) == 200);
  fill(picture, {2, 3, 4, 5}, red);
  CHECK(count(picture, red) == 20);
  CHECK(at(picture, 3, 2) == red);
  CHECK(at(picture, 7, 5) == red);
  CHECK(at(picture, 8, 5) == white);
  fill(picture, {-5, -5, 7, 7}, {1, 2, 3});
  CHECK(count(picture, {1, 2, 3}) == 4);
  fill(picture, {18, 8, 100, 100}, {4, 5, 6});
  CHECK(count(picture, {4, 5, 6}) == 4);
  fill(picture, {30, 30, 5, 5}, red);
  fill(picture, {5, 5, -3, 2}, red);
  CHECK(count(picture, red) == 20);
}

TEST_CASE("blend: opacity -> both colours mixed in its proportion") {
  auto picture = blank_picture(1, 3, {100, 0, 200});
  blend(pixel(picture, 0, 0), {200, 100, 0}, 0.25);
  blend(pixel(picture, 0, 1), {200, 100, 0}, 0);
  blend(pixel(picture, 0, 2), {200, 100, 0}, 1);
  CHECK(at(picture, 0, 0) == rgb{125, 25, 150});
  CHECK(at(picture, 0, 1) == rgb{100, 0, 200});
  CHECK(at(picture, 0, 2) == rgb{200, 100, 0});
}

TEST_CASE("an outline lies inside its area and covers each pixel once") {
  for (const pixel_rectangle area :
       {pixel_rectangle{1, 1, 6, 4}, {0, 0, 1, 1}, {2, 2, 1, 5}, {2, 2, 5, 1}, {1, 1, 2, 2}}) {
    for (const std::int64_t thickness : {1, 2}) {
      auto picture = blank_picture(10, 10, {0, 0, 0});
      outline(picture, area, {200, 200, 200}, 0.5, thickness);
      const std::int64_t inner = (std::max)(std::int64_t{0}, area.width - 2 * thickness) *
                                 (std::max)(std::int64_t{0}, area.height - 2 * thickness);
      CHECK(count(picture, {100, 100, 100}) == area.width * area.height - inner);
      CHECK(count(picture, {0, 0, 0}) == 100 - area.width * area.height + inner);
    }
  }
}

TEST_CASE("a picture is pasted where it fits") {
  auto onto = blank_picture(4, 4);
  paste(onto, blank_picture(3, 3, red), -1, 2);
  CHECK(count(onto, red) == 4);
  CHECK(at(onto, 3, 1) == red);
  paste(onto, blank_picture(2, 2, red), 9, -9);
  CHECK(count(onto, red) == 4);
}
