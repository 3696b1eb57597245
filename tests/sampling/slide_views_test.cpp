#include <algorithm>
#include <cmath>
#include <filesystem>
#include <vector>

#include <doctest/doctest.h>

#include <milkit/core/parallel_for.hpp>
#include <milkit/ops/images/resample2d_cpu.hpp>
#include <milkit/sampling/slide_views.hpp>

#include <support/paths.hpp>
#include <support/tiff_pyramid.hpp>

using namespace milkit;
using sampling::area;
using sampling::pixel_frame;
using sampling::place;

namespace {

constexpr std::int64_t width = 384, height = 256;

test::picture halved(const test::picture& full) {
  test::picture half(full.width / 2, full.height / 2);
  for (std::int64_t y = 0; y < half.height; ++y)
    for (std::int64_t x = 0; x < half.width; ++x)
      for (std::int64_t c = 0; c < 3; ++c)
        half.at(x, y, c) =
            static_cast<std::uint8_t>((full.at(2 * x, 2 * y, c) + full.at(2 * x + 1, 2 * y, c) +
                                       full.at(2 * x, 2 * y + 1, c) + full.at(2 * x + 1, 2 * y + 1, c) + 2) /
                                      4);
  return half;
}

/// A slide of three levels on disk, and its pixels: rough ones, or such that neighbours differ by a byte or none, so
/// that it does not matter which whole pixels of a level a view is made of.
struct small_slide {
  test::temporary_directory folder;
  test::picture full;
  std::filesystem::path path;

  explicit small_slide(bool rough = true) : full(width, height), path(folder.path() / "small.tiff") {
    for (std::int64_t y = 0; y < height; ++y)
      for (std::int64_t x = 0; x < width; ++x)
        for (std::int64_t c = 0; c < 3; ++c)
          full.at(x, y, c) = static_cast<std::uint8_t>(rough ? (x * (3 + c) + y * (5 - c) + x * y / 7 * (c == 1)) % 256
                                                             : 40 + (x * (1 + c) + y * (3 - c)) / 8);
    const auto half = halved(full);
    test::write_tiff_pyramid(path, {full, half, halved(half)});
  }

  /// The mean of a rectangle of whole pixels, those outside as 0.
  double mean(place<pixel_frame> at, area<pixel_frame> of, std::int64_t c) const {
    double sum = 0;
    for (std::int64_t y = (std::max)(at.row, std::int64_t{0}); y < (std::min)(at.row + of.rows, height); ++y)
      for (std::int64_t x = (std::max)(at.column, std::int64_t{0}); x < (std::min)(at.column + of.columns, width); ++x)
        sum += full.at(x, y, c);
    return sum / 255 / static_cast<double>(of.size());
  }
};

/// A view is the mean of the pixels that each of its own covers, but for the bytes that levels and regions are
/// rounded to.
void check(const small_slide& slide, const sampling::slide_source<>& source, place<pixel_frame> at,
           area<pixel_frame> extent, area<pixel_frame> view, double tolerance) {
  CAPTURE(at.row);
  CAPTURE(at.column);
  CAPTURE(extent.rows);
  CAPTURE(view.rows);
  cpu backend{.threads = 1};
  tensor<float, 4> out({1, 3, view.rows, view.columns});
  source.read(backend, at, extent, out.view());
  const std::int64_t down = extent.rows / view.rows, across = extent.columns / view.columns;
  double worst = 0;
  for (std::int64_t c = 0; c < 3; ++c)
    for (std::int64_t y = 0; y < view.rows; ++y)
      for (std::int64_t x = 0; x < view.columns; ++x) {
        const double expected = slide.mean({at.row + y * down, at.column + x * across}, {down, across}, c);
        const double off = std::abs(double{out.view()(0, c, y, x)} - expected);
        worst = off <= worst ? worst : off;  // NaN is worse than all
      }
  CHECK(worst <= tolerance);
}

}  // namespace

TEST_CASE("views of a slide are means of its pixels") {
  const small_slide slide;
  const slide::whole_slide file(slide.path);
  const sampling::slide_source<> source(file);
  CHECK(source.size() == area<pixel_frame>{height, width});
  const double exact = 1e-6, rounded = 1.01 / 255;  // one byte of a level, and half of one of the region
  check(slide, source, {0, 0}, {height, width}, {height, width}, exact);
  check(slide, source, {17, 33}, {27, 31}, {27, 31}, exact);
  check(slide, source, {64, 128}, {64, 64}, {32, 32}, rounded);
  check(slide, source, {0, 0}, {height, width}, {height / 4, width / 4}, rounded);
  check(slide, source, {32, 64}, {96, 96}, {12, 12}, rounded);
  const small_slide smooth(false);
  const slide::whole_slide smooth_file(smooth.path);
  check(smooth, sampling::slide_source<>(smooth_file), {5, 7}, {90, 60}, {30, 20}, 2 * rounded);
}

TEST_CASE("what lies outside a slide counts as zeros") {
  const small_slide slide;
  const slide::whole_slide file(slide.path);
  const sampling::slide_source<> source(file);
  const double exact = 1e-6, rounded = 1.51 / 255;
  check(slide, source, {-10, -6}, {27, 27}, {27, 27}, exact);
  check(slide, source, {height - 9, width - 20}, {27, 27}, {27, 27}, exact);
  check(slide, source, {height + 5, 3}, {16, 16}, {16, 16}, exact);
  check(slide, source, {-200, -200}, {128, 128}, {32, 32}, exact);
  check(slide, source, {192, 320}, {128, 128}, {32, 32},
        rounded);  // a tile beyond the border, in whole pixels of its view
  const small_slide smooth(false);
  const slide::whole_slide smooth_file(smooth.path);
  const sampling::slide_source<> own(smooth_file);
  check(smooth, own, {-6, -6}, {64, 64}, {16, 16}, 2 * rounded);  // the border within a pixel of the view
  check(smooth, own, {height - 30, width - 30}, {64, 64}, {16, 16}, 2 * rounded);
}

TEST_CASE("views of a slide do not depend on the threads that read them") {
  const small_slide slide;
  const slide::whole_slide file(slide.path);
  const sampling::slide_source<> source(file);
  constexpr std::int64_t count = 40;
  const auto origin = [](std::int64_t i) { return place<pixel_frame>{i * 37 % 260 - 20, i * 53 % 400 - 20}; };
  const auto views = [&](cpu& backend) {
    return sampling::read_views(backend, source, count, origin, {48, 48}, {24, 24});
  };
  cpu one{.threads = 1}, four{.threads = 4};
  const auto a = views(one), b = views(four);
  CHECK(std::equal(a.data(), a.data() + a.size(), b.data()));
}

TEST_CASE("a plan of views counts what reading them takes") {
  const small_slide slide;
  const slide::whole_slide file(slide.path);
  const sampling::slide_source<> source(file);
  cpu backend{.threads = 1};
  cpu planner = backend.planner();
  const auto origin = [](std::int64_t) { return place<pixel_frame>{}; };
  sampling::read_views(backend, source, 3, origin, {48, 48}, {24, 24});
  sampling::read_views(planner, source, 3, origin, {48, 48}, {24, 24});
  CHECK(planner.peak_bytes() == backend.peak_bytes());
  CHECK(planner.peak_bytes() > 3 * 3 * 24 * 24 * sizeof(float));
}
