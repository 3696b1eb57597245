#include <milkit/report/zoom_path.hpp>

#include <doctest/doctest.h>

using namespace milkit;
using namespace milkit::report;
using milkit::slide::level0_extent;
using milkit::slide::level0_point;
using milkit::slide::level0_rectangle;

namespace {

rgb at(const rgb_image& picture, std::int64_t y, std::int64_t x) {
  const std::uint8_t* p = pixel(picture, y, x);
  return {p[0], p[1], p[2]};
}
level0_rectangle area(double x, double y, double side) {
  return level0_rectangle(level0_point(x, y), level0_extent(side, side));
}

/// A slide of 1000 x 800 on a thumbnail of 500 x 400: two tiles at the lowest magnification, of which the second is
/// zoomed into, and four below it.
std::vector<zoom_step> steps() {
  std::vector<zoom_step> made(2);
  made[0] = {"5x", {area(0, 0, 400), area(400, 0, 400)}, {1}, {}};
  made[1] = {"10x", {area(400, 0, 200), area(600, 0, 200), area(400, 200, 200), area(600, 200, 200)}, {}, {}};
  return made;
}

}  // namespace

TEST_CASE("draw_zoom_path: a path -> zoomed tiles outlined, the highest ones shaded") {
  const rgb_image thumbnail = blank_picture(400, 500);
  const rgb_image made = draw_zoom_path(thumbnail, {1000, 800}, steps(), {.pale = 0});
  REQUIRE(made.extent(0) >= 400);
  CHECK(made.extent(1) == 500);
  CHECK(at(made, 100, 100) == rgb{255, 255, 255});  // the tile that was not selected, and its border
  CHECK(at(made, 100, 0) == rgb{255, 255, 255});
  CHECK(at(made, 100, 450) == rgb{255, 255, 255});  // outside all tiles
  rgb_image shaded = blank_picture(1, 1);
  fill(shaded, {0, 0, 1, 1}, zoom_colour(1), 0.25);
  CHECK(at(made, 50, 250) == at(shaded, 0, 0));
  const rgb border = at(made, 100, 200);  // the outline of the selected tile lies below the shade
  rgb_image mixed = blank_picture(1, 1, zoom_colour(0));
  fill(mixed, {0, 0, 1, 1}, zoom_colour(1), 0.25);
  CHECK(border == at(mixed, 0, 0));
}

TEST_CASE("draw_zoom_path: insets -> to the right, framed in their magnification's colour") {
  auto with_insets = steps();
  with_insets[0].insets.push_back(blank_picture(32, 32, {10, 200, 30}));
  with_insets[0].insets.push_back(blank_picture(64, 64, {1, 2, 3}));
  with_insets[1].insets.push_back(blank_picture(32, 32, {90, 20, 30}));
  const rgb_image made = draw_zoom_path(blank_picture(400, 500), {1000, 800}, with_insets, {.inset = 100});
  CHECK(made.extent(1) > 500 + 200);
  std::int64_t green = 0, dark = 0, red = 0, frames[2] = {};
  for (std::int64_t y = 0; y < made.extent(0); ++y)
    for (std::int64_t x = 500; x < made.extent(1); ++x) {
      green += at(made, y, x) == rgb{10, 200, 30};
      dark += at(made, y, x) == rgb{1, 2, 3};
      red += at(made, y, x) == rgb{90, 20, 30};
      for (std::size_t m = 0; m < 2; ++m) frames[m] += at(made, y, x) == zoom_colour(m);
    }
  const std::int64_t inside = 94 * 94, frame = 100 * 100 - inside;
  CHECK(green == inside);
  CHECK(dark == inside);
  CHECK(red == inside);
  CHECK(frames[0] > 2 * frame);  // and the text
  CHECK(frames[1] > frame);
}

TEST_CASE("draw_zoom_path: nothing to draw, and tiles that are not there") {
  CHECK(draw_zoom_path(blank_picture(40, 50), {1000, 800}, {}).extent(0) >= 40);
  auto wrong = steps();
  wrong[0].selected = {2};
  CHECK_THROWS_WITH_AS(draw_zoom_path(blank_picture(40, 50), {1000, 800}, wrong),
                       doctest::Contains("tile 2 of magnification 5x is selected, expected 0 to 1"), value_error);
  CHECK_THROWS_WITH_AS(draw_zoom_path(blank_picture(40, 50), {0, 800}, steps()), doctest::Contains("0 x 800"),
                       value_error);
}
