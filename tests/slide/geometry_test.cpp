#include <milkit/slide/geometry.hpp>

#include <random>
#include <type_traits>

#include <doctest/doctest.h>

#include <support/close.hpp>

using namespace milkit::slide;
using milkit::test::close;

static_assert(!std::is_convertible_v<level_point, level0_point> && !std::is_constructible_v<level0_point, level_point>);
static_assert(!std::is_convertible_v<micron_rectangle, level0_rectangle>);
static_assert(!std::is_convertible_v<mpp, magnification> && !std::is_convertible_v<double, mpp>);
static_assert(!std::is_constructible_v<level0_rectangle, level0_point, level_extent>);

TEST_CASE("whole pixels convert to levels and microns by their factors") {
  const level0_rectangle area(level0_point(401.6, 803.2), level0_extent(4.016, 8.032));
  const level_rectangle at_level = to_level(area, downsample{4.016});
  CHECK(close(at_level.origin.x, 100, {1e-12, 0}));
  CHECK(close(at_level.origin.y, 200, {1e-12, 0}));
  CHECK(close(at_level.size.height, 2, {1e-12, 0}));
  const micron_extent microns = to_microns(level0_extent(10, 10), pixel_microns{0.25, 0.5});
  CHECK(microns == micron_extent(2.5, 5));
}

TEST_CASE("every conversion and back gives the same place") {
  std::mt19937_64 random(11);
  for (int i = 0; i < 1000; ++i) {
    const auto number = [&](double below) { return below * std::uniform_real_distribution<double>()(random); };
    const level0_rectangle area(level0_point(number(2e5) - 1e5, number(2e5) - 1e5),
                                level0_extent(number(1e4), number(1e4)));
    const downsample factor{1 + number(64)};
    const pixel_microns pixel{0.1 + number(2), 0.1 + number(2)};
    const milkit::test::tolerance tiny{1e-9, 1e-14};
    for (const level0_rectangle& back :
         {to_level0(to_level(area, factor), factor), to_level0(to_microns(area, pixel), pixel)}) {
      CHECK(close(back.origin.x, area.origin.x, tiny));
      CHECK(close(back.origin.y, area.origin.y, tiny));
      CHECK(close(back.size.width, area.size.width, tiny));
      CHECK(close(back.size.height, area.size.height, tiny));
    }
    const mpp asked{0.1 + number(8)};
    CHECK(close(to_mpp(to_magnification(asked)).value, asked.value, {0, 1e-15}));
  }
}

TEST_CASE("20x is half a micron a pixel") {
  CHECK(to_mpp(magnification{20}).value == 0.5);
  CHECK(to_mpp(magnification{40}).value == 0.25);
  CHECK(to_magnification(mpp{8}).value == 1.25);
}

TEST_CASE("a rectangle holds its top left border and not its bottom right one") {
  const level0_rectangle area(level0_point(1, 2), level0_extent(3, 4));
  CHECK(area.contains(level0_point(1, 2)));
  CHECK_FALSE(area.contains(level0_point(4, 2)));
  CHECK_FALSE(area.contains(level0_point(1, 6)));
  CHECK(area.centre() == level0_point(2.5, 4));
}
