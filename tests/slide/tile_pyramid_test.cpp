#include <milkit/slide/tile_pyramid.hpp>

#include <set>

#include <doctest/doctest.h>

#include <support/close.hpp>
#include <support/paths.hpp>
#include <support/tiff_pyramid.hpp>

using namespace milkit::slide;
using milkit::test::close;
using milkit::test::data_file;

namespace {

/// A slide of 1004 x 502 pixels of 0.25 microns whose colour tells the place, with a level of downsample 4.016.
struct synthetic {
  milkit::test::temporary_directory folder;
  whole_slide slide;
  static whole_slide write(const std::filesystem::path& path) {
    milkit::test::picture finest(1004, 502);
    for (std::int64_t y = 0; y < 502; ++y)
      for (std::int64_t x = 0; x < 1004; ++x) {
        finest.at(x, y, 0) = static_cast<std::uint8_t>(x / 8);
        finest.at(x, y, 1) = static_cast<std::uint8_t>(y / 4);
      }
    milkit::test::picture coarse(250, 125);
    for (std::int64_t y = 0; y < 125; ++y)
      for (std::int64_t x = 0; x < 250; ++x) {
        coarse.at(x, y, 0) = static_cast<std::uint8_t>(static_cast<double>(x) * 4.016 / 8);
        coarse.at(x, y, 1) = static_cast<std::uint8_t>(static_cast<double>(y) * 4.016 / 4);
      }
    milkit::test::write_tiff_pyramid(path, {finest, coarse}, {.mpp = 0.25});
    return whole_slide(path);
  }
  synthetic() : slide(write(folder.path() / "ramp.tiff")) {}
};

tissue_mask mask_of(const whole_slide& slide, auto&& is_tissue) {
  mask_image mask(milkit::shape{251, 502});
  for (std::int64_t y = 0; y < 251; ++y)
    for (std::int64_t x = 0; x < 502; ++x) mask.view()(y, x) = is_tissue(2 * x, 2 * y);
  return tissue_mask(std::move(mask), slide.size(), 0);
}
tissue_mask everywhere(const whole_slide& slide) {
  return mask_of(slide, [](auto, auto) { return true; });
}

/// What holds for every pyramid.
void check_structure(const tile_pyramid& made, const whole_slide& slide) {
  REQUIRE(made.offsets.size() + 1 == made.levels.size());
  REQUIRE(made.widths.size() == made.offsets.size());
  std::int64_t tiles = 0;
  for (std::size_t m = 0; m < made.levels.size(); ++m) {
    CAPTURE(m);
    const tile_grid& grid = made.levels[m];
    tiles += static_cast<std::int64_t>(grid.tiles.size());
    std::set<std::pair<std::int64_t, std::int64_t>> places;
    for (const tile& one : grid.tiles) {
      CHECK(one.area.origin.x == std::round(one.area.origin.x));
      CHECK(one.area.origin.y == std::round(one.area.origin.y));
      CHECK(close(one.area.size.width, static_cast<double>(grid.tile_size) * grid.scale.x, {0, 1e-12}));
      CHECK((one.column >= 0 && one.column < grid.columns && one.row >= 0 && one.row < grid.rows));
      places.insert({one.row, one.column});
    }
    CHECK(places.size() == grid.tiles.size());
    if (m + 1 == made.levels.size()) break;
    const auto& starts = made.offsets[m];
    const tile_grid& finer = made.levels[m + 1];
    REQUIRE(starts.size() == grid.tiles.size() + 1);
    CHECK(starts.front() == 0);
    CHECK(starts.back() == static_cast<std::int64_t>(finer.tiles.size()));
    const double step = std::sqrt(static_cast<double>(made.widths[m]));
    CHECK(close(grid.scale.x, finer.scale.x * step, {0, 1e-12}));
    for (std::size_t n = 0; n < grid.tiles.size(); ++n) {
      CHECK(starts[n + 1] - starts[n] <= made.widths[m]);
      for (std::int64_t q = starts[n]; q < starts[n + 1]; ++q) {
        const auto& child = finer.tiles[static_cast<std::size_t>(q)].area;
        const auto& parent = grid.tiles[n].area;
        // to the pixel that rounding the origins moves them
        CHECK(child.origin.x >= parent.origin.x - 1);
        CHECK(child.origin.y >= parent.origin.y - 1);
        CHECK(child.right() <= parent.right() + 1);
        CHECK(child.bottom() <= parent.bottom() + 1);
      }
    }
  }
  CHECK(made.tiles() == tiles);
  const auto& lowest = made.levels[0];
  const double width = static_cast<double>(lowest.columns * lowest.tile_size) * lowest.scale.x;
  CHECK(width >= slide.size().width - 0.02 * lowest.scale.x);
  CHECK(width < slide.size().width + static_cast<double>(lowest.tile_size) * lowest.scale.x);
}

}  // namespace

TEST_CASE("make_pyramid: a slide -> centred grids, every tile with all its children") {
  const synthetic made;
  for (const std::int64_t step : {2, 4, 8}) {
    CAPTURE(step);
    const tile_pyramid tiles =
        make_pyramid(made.slide, everywhere(made.slide),
                     {.resolutions = {mpp{0.25 * static_cast<double>(step)}, mpp{0.25}}, .tile_size = 32});
    check_structure(tiles, made.slide);
    CHECK(tiles.widths == std::vector<std::int64_t>{step * step});
    CHECK(tiles.levels[1].scale.x == 1);  // level 0 as it is
    CHECK(tiles.levels[1].tiles.size() == tiles.levels[0].tiles.size() * static_cast<std::size_t>(step * step));
    const auto& lowest = tiles.levels[0];
    CHECK(lowest.columns == (1004 + 32 * step - 1) / (32 * step));
    // centred: as much on the left as on the right
    const auto& corner = lowest.tiles.front().area;
    CHECK(std::abs(-corner.origin.x - (lowest.tiles.back().area.right() - 1004)) <= 1);
    CHECK(std::abs(-corner.origin.y - (lowest.tiles.back().area.bottom() - 502)) <= 1);
    // row by row within a parent
    const auto& first = tiles.levels[1].tiles;
    CHECK(first[1].area.origin.x == first[0].area.origin.x + 32);
    CHECK(first[static_cast<std::size_t>(step)].area.origin.y == first[0].area.origin.y + 32);
  }
  const tile_pyramid three =
      make_pyramid(made.slide, everywhere(made.slide),
                   {.resolutions = {magnification{2.5}, magnification{5}, magnification{20}}, .tile_size = 16});
  check_structure(three, made.slide);
  CHECK(three.widths == std::vector<std::int64_t>{4, 16});
}

TEST_CASE("make_pyramid: a level is missing -> averaged from a finer one, children in place") {
  const synthetic made;
  const tile_pyramid tiles =
      make_pyramid(made.slide, everywhere(made.slide), {.resolutions = {mpp{2}, mpp{1}, mpp{0.5}}, .tile_size = 32});
  check_structure(tiles, made.slide);
  CHECK(tiles.levels[2].scale.x == 2);  // no level of the slide
  const auto picture = [&](const tile& one) { return made.slide.read_region(one.area, pixel_size{32, 32}); };
  const auto mean = [](const milkit::rgb_image& image, std::int64_t channel) {
    double sum = 0;
    for (std::int64_t p = 0; p < 32 * 32; ++p) sum += image.data()[3 * p + channel];
    return sum / (32 * 32);
  };
  for (std::size_t m = 0; m < 2; ++m)
    for (std::size_t n = 0; n < tiles.levels[m].tiles.size(); n += 3) {
      const auto parent = picture(tiles.levels[m].tiles[n]);
      for (std::int64_t channel = 0; channel < 2; ++channel) {
        double sum = 0;
        for (std::int64_t q = tiles.offsets[m][n]; q < tiles.offsets[m][n + 1]; ++q)
          sum += mean(picture(tiles.levels[m + 1].tiles[static_cast<std::size_t>(q)]), channel) / 4;
        CHECK(close(sum, mean(parent, channel), {.absolute = 1.5}));  // levels of other downsamples were made by hand
      }
    }
}

TEST_CASE("make_pyramid: tissue -> chosen at the lowest resolution, with all below") {
  const synthetic made;
  const tissue_mask left = mask_of(made.slide, [](std::int64_t x, std::int64_t) { return x < 450; });
  const tile_pyramid tiles =
      make_pyramid(made.slide, left, {.resolutions = {mpp{1}, mpp{0.25}}, .tile_size = 32, .min_tissue = 0.5});
  check_structure(tiles, made.slide);
  CHECK_FALSE(tiles.without_tissue);
  CHECK(tiles.levels[0].tiles.size() < static_cast<std::size_t>(tiles.levels[0].columns * tiles.levels[0].rows));
  bool bare = false;
  for (const tile& one : tiles.levels[0].tiles) CHECK(one.tissue >= 0.5);
  for (const tile& one : tiles.levels[1].tiles) bare |= one.tissue == 0;
  CHECK(bare);

  const tissue_mask none = mask_of(made.slide, [](auto, auto) { return false; });
  const tile_pyramid all = make_pyramid(made.slide, none, {.resolutions = {mpp{1}, mpp{0.5}}, .tile_size = 32});
  CHECK(all.without_tissue);
  CHECK(all.levels[0].tiles.size() == static_cast<std::size_t>(all.levels[0].columns * all.levels[0].rows));
}

TEST_CASE("make_pyramid: padding left out -> parents with different numbers of children") {
  const synthetic made;
  const tile_pyramid_options whole{.resolutions = {mpp{2}, mpp{1}, mpp{0.25}}, .tile_size = 48, .min_tissue = 0};
  tile_pyramid_options cut = whole;
  cut.keep_outside = false;
  const auto all = make_pyramid(made.slide, everywhere(made.slide), whole);
  const auto inside = make_pyramid(made.slide, everywhere(made.slide), cut);
  check_structure(inside, made.slide);
  CHECK(inside.levels[0].tiles.size() == all.levels[0].tiles.size());
  CHECK(inside.levels[2].tiles.size() < all.levels[2].tiles.size());
  for (const tile& one : inside.levels[2].tiles) {
    CHECK(one.area.right() > 0);
    CHECK(one.area.origin.x < 1004);
    CHECK(one.area.bottom() > 0);
    CHECK(one.area.origin.y < 502);
  }
}

TEST_CASE("make_pyramid: real slides -> every tile in place, with its children") {
  const whole_slide slide(data_file("slides/CMU-1-Small-Region.svs"));
  const tile_pyramid tiles =
      make_pyramid(slide, find_tissue(slide), {.resolutions = {magnification{5}, magnification{20}}, .tile_size = 128});
  check_structure(tiles, slide);
  CHECK(tiles.levels[1].scale.x == 1);  // 0.499 microns a pixel are 20x within a hundredth
  CHECK(tiles.levels[0].tiles.size() * 16 == tiles.levels[1].tiles.size());
}

TEST_CASE("make_pyramid refuses resolutions that do not fit, and says which") {
  const synthetic made;
  const tissue_mask tissue = everywhere(made.slide);
  const auto make = [&](std::vector<target_resolution> resolutions, bool leave_out = false, std::int64_t side = 32) {
    return make_pyramid(made.slide, tissue,
                        {.resolutions = std::move(resolutions), .tile_size = side, .leave_out_finer = leave_out});
  };
  using milkit::value_error;
  CHECK_THROWS_WITH_AS(make({}), "milkit::slide::make_pyramid: there are 0 resolutions, expected at least 1",
                       value_error);
  CHECK_THROWS_WITH_AS(
      make({mpp{0.5}, mpp{2}}),
      "milkit::slide::make_pyramid: resolution 2 is 0.25 times as fine as resolution 1, expected 2, 4 or 8 times",
      value_error);
  CHECK_THROWS_AS(make({mpp{1.5}, mpp{0.5}}), value_error);
  CHECK_THROWS_AS(make({mpp{4}, mpp{0.25}}), value_error);  // 16x
  CHECK_THROWS_AS(make({mpp{1}, mpp{1}}), value_error);
  CHECK_THROWS_AS(make({mpp{0.5}, mpp{0.25}}, false, 0), value_error);
  CHECK_THROWS_AS(make({mpp{0.5}, mpp{0.25}, mpp{0.125}}), value_error);
  const auto coarser = make({mpp{0.5}, mpp{0.25}, mpp{0.125}}, true);
  CHECK(coarser.levels.size() == 2);
  CHECK_THROWS_AS(make({mpp{0.25}, mpp{0.125}}, true), value_error);

  const milkit::test::temporary_directory folder;
  milkit::test::write_tiff_pyramid(folder.path() / "bare.tiff", {milkit::test::picture(100, 100)});
  const whole_slide bare(folder.path() / "bare.tiff");
  mask_image mask(milkit::shape{1, 1});
  CHECK_THROWS_AS(make_pyramid(bare, tissue_mask(std::move(mask), bare.size(), 0), {.resolutions = {mpp{1}, mpp{0.5}}}),
                  resolution_error);
}
