#include <doctest/doctest.h>

#include <cmath>
#include <limits>

#include <milkit/report/colour_map.hpp>

using namespace milkit::report;

namespace {

/// Relative luminance of sRGB (IEC 61966-2-1).
double luminance(rgb c) {
  const auto linear = [](double v) {
    v /= 255;
    return v <= 0.04045 ? v / 12.92 : std::pow((v + 0.055) / 1.055, 2.4);
  };
  return 0.2126 * linear(c.red) + 0.7152 * linear(c.green) + 0.0722 * linear(c.blue);
}

}  // namespace

TEST_CASE("lightness grows with the value, in nearly equal steps") {
  double before = std::cbrt(luminance(colour_of(0)));
  for (int i = 5; i <= 255; i += 5) {  // single steps are as small as the rounding to eight bits
    const double now = std::cbrt(luminance(colour_of(i / 255.0)));
    CHECK(now - before > 0.007);
    CHECK(now - before < 0.020);
    before = now;
  }
  CHECK(luminance(colour_of(0)) < 0.05);
  CHECK(luminance(colour_of(1)) > 0.6);
}

TEST_CASE("values outside are clamped and NaN is grey") {
  constexpr double infinity = std::numeric_limits<double>::infinity();
  CHECK(colour_of(-3) == colour_of(0));
  CHECK(colour_of(7) == colour_of(1));
  CHECK(colour_of(infinity) == colour_of(1));
  CHECK(colour_of(-infinity) == colour_of(0));
  const rgb grey = colour_of(std::nan(""));
  CHECK(grey.red == grey.green);
  CHECK(grey.green == grey.blue);
}

TEST_CASE("a colour bar has the largest value on top") {
  auto picture = blank_picture(60, 60);
  draw_colour_bar(picture, {5, 2, 10, 50}, "0", "", "1");
  const auto is = [&](std::int64_t y, rgb c) { return milkit::pixel(picture, y, 9)[1] == c.green; };
  CHECK(is(3, colour_of(1 - 1 / 49.0)));
  CHECK(is(50, colour_of(1 / 49.0)));
  for (std::int64_t y = 3; y < 51; ++y)  // nothing left of the bar, and a frame around it
    CHECK((*milkit::pixel(picture, y, 4) == 255 && *milkit::pixel(picture, y, 5) == 40));
}

TEST_CASE("a colour bar one pixel high is its frame, and one without pixels is nothing") {
  auto picture = blank_picture(20, 60);
  draw_colour_bar(picture, {5, 2, 10, 1}, "", "", "");
  const auto touched = [](const milkit::rgb_image& drawn) {
    std::int64_t count = 0;
    for (std::int64_t y = 0; y < drawn.extent(0); ++y)
      for (std::int64_t x = 0; x < drawn.extent(1); ++x) count += *milkit::pixel(drawn, y, x) != 255;
    return count;
  };
  CHECK(touched(picture) == 10);
  for (std::int64_t x = 5; x < 15; ++x) CHECK(*milkit::pixel(picture, 2, x) == 40);
  auto none = blank_picture(20, 60);
  draw_colour_bar(none, {5, 2, 0, 0}, "", "", "");
  CHECK(touched(none) == 0);
}

TEST_CASE("short numbers have three digits") {
  CHECK(short_number(0.0123456) == "0.0123");
  CHECK(short_number(1) == "1");
  CHECK(short_number(1.5e-7) == "1.5e-07");
}
