#include <milkit/slide/slide.hpp>

#include <algorithm>
#include <cmath>
#include <random>
#include <thread>

#include <doctest/doctest.h>

#include <reference/area_average.hpp>
#include <support/close.hpp>
#include <support/paths.hpp>
#include <support/tiff_pyramid.hpp>

using namespace milkit::slide;
using milkit::test::close;
using milkit::test::data_file;
using milkit::test::mean_over;
using milkit::test::picture;
using milkit::test::write_tiff_pyramid;

namespace {

picture noise(std::int64_t width, std::int64_t height, unsigned seed) {
  picture made(width, height);
  std::mt19937 random(seed);
  for (auto& value : made.values) value = static_cast<std::uint8_t>(random() >> 24);
  return made;
}

/// Ramps whose steps do not fall in with the pixels of any level, so that rounding to 8 bits evens out.
picture ramps(std::int64_t width, std::int64_t height) {
  picture made(width, height);
  for (std::int64_t y = 0; y < height; ++y)
    for (std::int64_t x = 0; x < width; ++x) {
      made.at(x, y, 0) = static_cast<std::uint8_t>(10.5 + 0.1937 * static_cast<double>(x));
      made.at(x, y, 1) = static_cast<std::uint8_t>(10.5 + 0.2243 * static_cast<double>(y));
      made.at(x, y, 2) = static_cast<std::uint8_t>(240.5 - 0.1937 * static_cast<double>(x));
    }
  return made;
}

picture reduced(const picture& full, std::int64_t width, std::int64_t height) {
  picture made(width, height);
  const double x_step = static_cast<double>(full.width) / static_cast<double>(width);
  const double y_step = static_cast<double>(full.height) / static_cast<double>(height);
  const auto at = [&](std::int64_t x, std::int64_t y, std::int64_t c) {
    return x < full.width && y < full.height ? full.at(x, y, c) : 0;
  };
  for (std::int64_t y = 0; y < height; ++y)
    for (std::int64_t x = 0; x < width; ++x)
      for (std::int64_t c = 0; c < 3; ++c)
        made.at(x, y, c) = static_cast<std::uint8_t>(
            mean_over(at, static_cast<double>(x) * x_step, static_cast<double>(y) * y_step, x_step, y_step, c) + 0.5);
  return made;
}

/// What a region should show: the mean of `source`, white around it, over each target pixel.
struct oracle {
  const picture& source;
  double downsample = 1;

  double operator()(const level0_rectangle& area, pixel_size size, std::int64_t x, std::int64_t y,
                    std::int64_t c) const {
    const double width = area.size.width / static_cast<double>(size.width) / downsample;
    const double height = area.size.height / static_cast<double>(size.height) / downsample;
    const auto at = [&](std::int64_t px, std::int64_t py, std::int64_t channel) {
      const bool inside = px >= 0 && py >= 0 && px < source.width && py < source.height;
      return inside ? source.at(px, py, channel) : 255;
    };
    return mean_over(at, area.origin.x / downsample + static_cast<double>(x) * width,
                     area.origin.y / downsample + static_cast<double>(y) * height, width, height, c);
  }
};

struct differences {
  double largest = 0;
  double mean[3] = {};  // of each channel
};

differences compare(const milkit::rgb_image& got, const oracle& want, const level0_rectangle& area,
                    std::int64_t stride = 1) {
  differences found;
  double count = 0;
  const pixel_size size = size_of(got.view());
  for (std::int64_t y = 0; y < size.height; y += stride)
    for (std::int64_t x = 0; x < size.width; x += stride, ++count)
      for (std::int64_t c = 0; c < 3; ++c) {
        const double off = milkit::pixel(got, y, x)[c] - want(area, size, x, y, c);
        found.largest = std::max(found.largest, std::abs(off));
        found.mean[c] += off;
      }
  for (double& mean : found.mean) mean /= count;
  return found;
}

// Half a step of the 8-bit values, and the rounding of the float sums.
constexpr double half = 0.5 + 1e-3;

}  // namespace

TEST_CASE("a region is the exact area average of the level below it, at any scale and start") {
  const milkit::test::temporary_directory folder;
  const picture full = noise(210, 170, 5), small = noise(105, 85, 6);
  write_tiff_pyramid(folder.path() / "noise.tiff", {full, small});
  const whole_slide slide(folder.path() / "noise.tiff");
  REQUIRE(slide.levels().size() == 2);
  REQUIRE(slide.levels()[1].factor.value == 2);
  for (const double scale : {1.0, 1.25, 1.9, 2.0, 2.6, 7.3, 170.0})
    for (const double start : {0.0, 31.0, 12.375, -9.5, 150.0}) {
      CAPTURE(scale);
      CAPTURE(start);
      const pixel_size size{scale > 100 ? 2 : 33, scale > 100 ? 1 : 17};
      const level0_rectangle area(
          level0_point(start, start / 2),
          level0_extent(static_cast<double>(size.width) * scale, static_cast<double>(size.height) * scale));
      const auto want = scale < 2 ? oracle{full, 1} : oracle{small, 2};
      CHECK(compare(slide.read_region(area, size), want, area).largest <= half);
    }
}

TEST_CASE("non-integer pyramids agree with the average of level 0 through every level") {
  const milkit::test::temporary_directory folder;
  const picture full = ramps(1004, 1004);
  write_tiff_pyramid(folder.path() / "ramps.tiff", {full, reduced(full, 250, 250), reduced(full, 100, 100)});
  const whole_slide slide(folder.path() / "ramps.tiff");
  REQUIRE(slide.levels()[1].factor.value == 4.016);
  REQUIRE(slide.levels()[2].factor.value == 10.04);
  for (const double scale : {1.0, 2.3, 5.5, 7.0, 13.0})
    for (const double start : {0.0, 1.0, 2.0, 3.0, 67.0, 80.4}) {
      CAPTURE(scale);
      CAPTURE(start);
      const auto side = static_cast<std::int64_t>(900 / scale);
      const double length = scale * static_cast<double>(side);
      const level0_rectangle area(level0_point(start, start), level0_extent(length, length));
      const differences found = compare(slide.read_region(area, {side, side}), oracle{full}, area);
      // Half a step each for the level's, OpenSlide's and our rounding, and a quarter for a ramp within a level's
      // pixel.
      CHECK(found.largest <= 1.75);
      // Half of what a shift by one level-0 pixel makes.
      for (const double mean : found.mean) CHECK(std::abs(mean) <= 0.1937 / 2);
    }
}

TEST_CASE("read_region: starts between pixels of a level -> weighted by their share") {
  const milkit::test::temporary_directory folder;
  const picture full = noise(502, 502, 3), small = noise(125, 125, 4);
  write_tiff_pyramid(folder.path() / "noise.tiff", {full, small});
  const whole_slide slide(folder.path() / "noise.tiff");
  for (const double start : {0.0, 1.0, 2.0, 3.0, 67.0, 251.0, 400.0}) {
    CAPTURE(start);
    const level0_rectangle area(level0_point(start, start / 2 - std::fmod(start / 2, 1)),
                                level0_extent(60 * 4.016, 60 * 4.016));
    // OpenSlide weights in 8 bits, along both axes.
    CHECK(compare(slide.read_region(area, {60, 60}), oracle{small, 4.016}, area).largest <= 3);
  }
}

TEST_CASE("regions larger than a block, and pixels larger than a block, have no seams") {
  const milkit::test::temporary_directory folder;
  const picture full = noise(2500, 2300, 7);
  write_tiff_pyramid(folder.path() / "large.tiff", {full}, {.tile = 256});
  const whole_slide slide(folder.path() / "large.tiff");
  const pixel_size size{1700, 1500};
  const level0_rectangle area(level0_point(3.25, 5), level0_extent(1700 * 1.4, 1500 * 1.4));
  CHECK(compare(slide.read_region(area, size), oracle{full}, area, 7).largest <= half);
  CHECK(compare(slide.read_region(slide.area(), {1, 1}), oracle{full}, slide.area()).largest <= half);
}

TEST_CASE("outside the slide all is white") {
  const milkit::test::temporary_directory folder;
  write_tiff_pyramid(folder.path() / "dark.tiff", {picture(100, 80, 3, 0)});
  const whole_slide slide(folder.path() / "dark.tiff");
  for (const double scale : {1.0, 1.5}) {
    const level0_rectangle beside(level0_point(1000, -5000), level0_extent(8 * scale, 8 * scale));
    const auto outside = slide.read_region(beside, {8, 8});
    CHECK(std::all_of(outside.data(), outside.data() + outside.size(), [](std::uint8_t v) { return v == 255; }));
    const auto corner = slide.read_region(level0_rectangle(level0_point(-6, -6), level0_extent(12, 12)), {8, 8});
    CHECK(milkit::pixel(corner, 3, 3)[0] == 255);
    CHECK(milkit::pixel(corner, 4, 4)[0] == 0);
  }
}

TEST_CASE("transparent pixels are laid over white") {
  const milkit::test::temporary_directory folder;
  picture glass(64, 64, 4);
  for (std::int64_t y = 0; y < 64; ++y)
    for (std::int64_t x = 0; x < 64; ++x)
      glass.at(x, y, 0) = 200, glass.at(x, y, 1) = 100, glass.at(x, y, 3) = static_cast<std::uint8_t>(4 * x);
  write_tiff_pyramid(folder.path() / "glass.tiff", {glass});
  const auto got = whole_slide(folder.path() / "glass.tiff").read_region(level0_point(0, 0), native{}, {64, 64});
  for (std::int64_t x = 0; x < 64; ++x)
    for (std::int64_t c = 0; c < 3; ++c) {
      const double alpha = static_cast<double>(4 * x) / 255, colour = c == 0 ? 200 : c == 1 ? 100 : 0;
      CHECK(close(milkit::pixel(got, 7, x)[c], alpha * colour + (1 - alpha) * 255, {1, 0}));
    }
}

TEST_CASE("scale_for: microns, magnifications -> a near level of the slide, else exact") {
  const milkit::test::temporary_directory folder;
  const picture full = noise(256, 256, 9);
  write_tiff_pyramid(folder.path() / "s.tiff", {full, noise(128, 128, 10)}, {.mpp = 0.2505});
  const whole_slide slide(folder.path() / "s.tiff");
  CHECK(slide.resolution().source == resolution_source::tiff_resolution);
  CHECK(close(slide.resolution().pixel.x, 0.2505, {1e-6, 0}));
  CHECK(slide.scale_for(magnification{40}).x == 1);
  CHECK(slide.scale_for(mpp{0.5}).x == 2);
  CHECK(close(slide.scale_for(mpp{0.5}, {.snap = 0}).x, 0.5 / 0.2505, {1e-6, 0}));
  CHECK(close(slide.scale_for(mpp{1}).y, 1 / 0.2505, {1e-6, 0}));
  CHECK(slide.scale_for(native{}).x == 1);
  const auto got = slide.read_region(level0_point(10, 20), magnification{20}, {16, 16});
  CHECK(size_of(got.view()) == pixel_size{16, 16});

  CHECK_THROWS_WITH_AS(slide.scale_for(mpp{0.1}), doctest::Contains("finer than level 0"), milkit::value_error);
  const auto enlarged = slide.read_region(level0_point(0, 0), mpp{0.2505 / 2}, {8, 8}, {.upsample = true});
  CHECK(milkit::pixel(enlarged, 3, 5)[1] == full.at(2, 1, 1));
  CHECK_THROWS_AS(slide.scale_for(mpp{0}), milkit::value_error);
  CHECK_THROWS_AS(slide.scale_for(magnification{-20}), milkit::value_error);
}

TEST_CASE("a region that is not one is refused") {
  const milkit::test::temporary_directory folder;
  write_tiff_pyramid(folder.path() / "s.tiff", {picture(64, 64)});
  const whole_slide slide(folder.path() / "s.tiff");
  CHECK_THROWS_AS(slide.read_region(level0_rectangle(level0_point(0, 0), level0_extent(0, 4)), {4, 4}),
                  milkit::value_error);
  CHECK_THROWS_AS(slide.read_region(level0_rectangle(level0_point(std::nan(""), 0), level0_extent(4, 4)), {4, 4}),
                  milkit::value_error);
  CHECK_THROWS_AS(slide.thumbnail(0), milkit::value_error);
  CHECK(slide.read_region(level0_rectangle(level0_point(0, 0), level0_extent(4, 4)), {0, 4}).size() == 0);
}

TEST_CASE("several threads read one slide and get the same pixels") {
  const whole_slide slide(data_file("slides/CMU-1-Small-Region.svs"));
  const auto region = [&](std::int64_t i) {
    return slide.read_region(level0_point(static_cast<double>(137 * (i % 11)), static_cast<double>(211 * (i / 11))),
                             i % 2 ? target_resolution(native{}) : target_resolution(mpp{0.8}), {200, 150});
  };
  std::vector<milkit::rgb_image> wanted;
  for (std::int64_t i = 0; i < 40; ++i) wanted.push_back(region(i));
  std::vector<int> wrong(4, 0);
  std::vector<std::jthread> threads;
  for (std::size_t t = 0; t < wrong.size(); ++t)
    threads.emplace_back([&, t] {
      for (std::int64_t i = 0; i < 40; ++i) {
        const auto got = region(i);
        const auto& want = wanted[static_cast<std::size_t>(i)];
        wrong[t] += !std::equal(got.data(), got.data() + got.size(), want.data());
      }
    });
  threads.clear();
  CHECK(std::count(wrong.begin(), wrong.end(), 0) == 4);
}

TEST_CASE("a real slide tells its levels, its resolution and its bounds") {
  const whole_slide slide(data_file("slides/CMU-1-Small-Region.svs"));
  CHECK(slide.levels().size() == 1);
  CHECK(slide.size() == level0_extent(2220, 2967));
  CHECK(slide.resolution().source == resolution_source::mpp_property);
  CHECK(slide.resolution().pixel.x == 0.499);
  CHECK(slide.bounds() == slide.area());
  CHECK(slide.properties().at("openslide.vendor") == "aperio");
  const whole_slide told(slide.path(), {.given_mpp = mpp{3}});
  CHECK(told.resolution().pixel.x == 3);
  CHECK(told.resolution_note() == "the mpp property says 0.499 microns a pixel, but 3 was given and is used");
  const auto small = slide.thumbnail(100);
  CHECK(size_of(small.view()) == pixel_size{75, 100});
}

TEST_CASE("slide: without mpp -> reads by pixels, microns only by the user's word") {
  const whole_slide slide(data_file("slides/boxes.tiff"));
  CHECK_FALSE(slide.known_resolution());
  CHECK_THROWS_WITH_AS(slide.resolution(), doctest::Contains("boxes.tiff"), resolution_error);
  CHECK_THROWS_AS(slide.read_region(level0_point(0, 0), mpp{0.5}, {8, 8}), resolution_error);
  CHECK(close(slide.levels()[2].factor.value, 4.016, {1e-3, 0}));
  CHECK(close(slide.levels()[3].factor.value, 8.086, {1e-3, 0}));
  const whole_slide told(data_file("slides/boxes.tiff"), {.given_mpp = mpp{0.25}});
  CHECK(told.resolution().source == resolution_source::user);
  CHECK(told.scale_for(mpp{1}).x == told.levels()[2].factor.value);
  for (const double at : {0.5, 0.7, 1.0, 2.0, 4.0})
    CHECK(size_of(told.read_region(level0_point(0, 0), mpp{at}, {30, 20}).view()) == pixel_size{30, 20});
}

TEST_CASE("read_region: every level, narrow ones too -> the same colours of the boxes") {
  const whole_slide slide(data_file("slides/boxes.tiff"));
  for (const double scale : {1.0, 2.0, slide.levels()[2].factor.value, 6.5, slide.levels()[3].factor.value, 11.0}) {
    CAPTURE(scale);
    const auto colour = [&](double x, double y) {
      const auto got = slide.read_region(level0_rectangle(level0_point(x, y), level0_extent(scale, scale)), {1, 1});
      return milkit::pixel(got, 0, 0)[0] * 65536 + milkit::pixel(got, 0, 0)[1] * 256 + milkit::pixel(got, 0, 0)[2];
    };
    CHECK(colour(40, 60) == 0xff0000);
    CHECK(colour(120, 120) == 0x0000ff);
    CHECK(colour(240, 160) == 0x00ff00);
    CHECK(colour(275, 20) == 0xffffff);
  }
}

TEST_CASE("whole_slide: levels smaller than their tiles -> right pixels, or refused") {
  const milkit::test::temporary_directory folder;
  struct extents {
    std::int64_t width, height;
  };
  for (const extents of : {extents{512, 48}, extents{48, 512}, extents{24, 24}, extents{512, 100}, extents{100, 512}}) {
    CAPTURE(of.width);
    CAPTURE(of.height);
    const picture small = noise(of.width, of.height, 4);
    picture full(of.width * 4, of.height * 4);
    for (std::int64_t y = 0; y < full.height; ++y)
      for (std::int64_t x = 0; x < full.width; ++x)
        for (std::int64_t c = 0; c < 3; ++c) full.at(x, y, c) = small.at(x / 4, y / 4, c);
    write_tiff_pyramid(folder.path() / "pyramid.tiff", {full, small});
    const whole_slide slide(folder.path() / "pyramid.tiff");
    CHECK(compare(slide.read_region(slide.area(), {of.width, of.height}), oracle{full}, slide.area()).largest <= half);
    write_tiff_pyramid(folder.path() / "alone.tiff", {small});
    try {
      const whole_slide alone(folder.path() / "alone.tiff");
      CHECK(compare(alone.read_region(alone.area(), {of.width, of.height}), oracle{small}, alone.area()).largest <=
            half);
    } catch (const milkit::io_error& error) {
      CHECK(std::string(error.what()).find("alone.tiff: level 0 has") != std::string::npos);
    }
  }
}

TEST_CASE("whole_slide: nearly the asked resolution -> enlarged; half of it -> refused") {
  const milkit::test::temporary_directory folder;
  for (const double at : {0.506, 0.55}) {
    write_tiff_pyramid(folder.path() / "s.tiff", {picture(128, 128)}, {.mpp = at});
    const whole_slide slide(folder.path() / "s.tiff");
    CHECK(close(slide.scale_for(magnification{20}, {.snap = 0}).x, 0.5 / at, {1e-6, 0}));
    CHECK_THROWS_WITH_AS(slide.scale_for(magnification{40}),
                         doctest::Contains(("finer than level 0 with " + micron_text(at)).c_str()),
                         milkit::value_error);
  }
}

TEST_CASE("a 16 x 16 slide reads") {
  const whole_slide slide(data_file("slides/small.svs"));
  const auto got = slide.read_region(slide.area(), {16, 16});
  CHECK(milkit::pixel(got, 0, 0)[0] == 0xf5);
  CHECK(milkit::pixel(got, 0, 0)[2] == 0xfc);
}
