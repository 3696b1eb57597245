#include <milkit/slide/tiling.hpp>

#include <doctest/doctest.h>

#include <support/close.hpp>
#include <support/paths.hpp>
#include <support/tiff_pyramid.hpp>

using namespace milkit::slide;
using milkit::test::close;
using milkit::test::data_file;

namespace {

/// A slide of 1004 x 502 white pixels of 0.25 microns, with a level of downsample 4.016.
struct synthetic {
  milkit::test::temporary_directory folder;
  whole_slide slide;
  static whole_slide write(const std::filesystem::path& path) {
    milkit::test::write_tiff_pyramid(path, {milkit::test::picture(1004, 502, 3, 250), milkit::test::picture(250, 125)},
                                     {.mpp = 0.25});
    return whole_slide(path);
  }
  synthetic() : slide(write(folder.path() / "white.tiff")) {}
};

tissue_mask left_half(const whole_slide& slide) {
  mask_image mask(milkit::shape{10, 20});
  for (std::int64_t y = 0; y < 10; ++y)
    for (std::int64_t x = 0; x < 10; ++x) mask.view()(y, x) = 1;
  return tissue_mask(std::move(mask), slide.size(), 0);
}

}  // namespace

TEST_CASE("a grid covers the slide row by row, and its last tiles stick out") {
  const synthetic made;
  const tile_grid grid = make_tiles(made.slide, {.resolution = native{}, .tile_size = 256});
  CHECK(grid.columns == 4);
  CHECK(grid.rows == 2);
  REQUIRE(grid.tiles.size() == 8);
  for (std::size_t i = 0; i < grid.tiles.size(); ++i) {
    CHECK(grid.tiles[i].column == static_cast<std::int64_t>(i) % 4);
    CHECK(grid.tiles[i].row == static_cast<std::int64_t>(i) / 4);
    CHECK(grid.tiles[i].area.origin ==
          level0_point(256.0 * static_cast<double>(i % 4), 256.0 * static_cast<double>(i / 4)));
    CHECK(grid.tiles[i].area.size == level0_extent(256, 256));
    CHECK(grid.tiles[i].tissue == 1);
  }
  CHECK(grid.tiles[7].area.right() > made.slide.size().width);
}

TEST_CASE("the last column is the first that reaches the end, whatever the overlap") {
  const synthetic made;
  for (const std::int64_t size : {1, 7, 100, 251, 502, 1004, 5000})
    for (const std::int64_t overlap : {std::int64_t{0}, size / 2, size - 1}) {
      if (size < 7 && overlap > 0) continue;
      const tile_grid grid = make_tiles(made.slide, {.resolution = mpp{1}, .tile_size = size, .overlap = overlap});
      CAPTURE(size);
      CAPTURE(overlap);
      CHECK(close(grid.scale.x, 4.016, {0, 0}));  // 1 micron is the second level's resolution, within a hundredth
      const double stride = static_cast<double>(size - overlap), width = 250, height = 125,
                   side = static_cast<double>(size);
      const auto reach = [&](std::int64_t count) { return static_cast<double>(count - 1) * stride + side; };
      CHECK(reach(grid.columns) >= width - 0.01);
      CHECK(reach(grid.rows) >= height - 0.01);
      CHECK((grid.columns == 1 || reach(grid.columns - 1) < width));
      CHECK((grid.rows == 1 || reach(grid.rows - 1) < height));
      CHECK(static_cast<std::int64_t>(grid.tiles.size()) == grid.columns * grid.rows);
      for (const tile& one : grid.tiles) {
        CHECK(one.area.origin.x == std::round(static_cast<double>(one.column) * stride * 4.016));
        CHECK(close(one.area.size.height, side * 4.016, {0, 1e-15}));
      }
    }
}

TEST_CASE("tiles are kept by their share of tissue, parts outside the slide counted as none") {
  const synthetic made;
  const tissue_mask tissue = left_half(made.slide);
  const grid_options options{.resolution = native{}, .tile_size = 256, .min_tissue = 0};
  const tile_grid all = make_tiles(made.slide, tissue, options);
  REQUIRE(all.tiles.size() == 8);
  const auto want = [](double x, double y) {
    const double across = std::min(x + 256, 502.0) - x, down = std::min(y + 256, 502.0) - y;
    return std::max(across, 0.0) * down / (256 * 256);
  };
  for (const tile& one : all.tiles) CHECK(close(one.tissue, want(one.area.origin.x, one.area.origin.y), {1e-12, 0}));
  grid_options strict = options;
  strict.min_tissue = 0.97;
  CHECK(make_tiles(made.slide, tissue, strict).tiles.size() == 1);
  CHECK(make_tiles(made.slide, tissue, {.resolution = native{}}).tiles.size() == 4);
}

TEST_CASE("a slide without tissue has a grid without tiles") {
  const synthetic made;
  const tissue_mask tissue = find_tissue(made.slide);
  REQUIRE(tissue.empty());
  const tile_grid grid = make_tiles(made.slide, tissue, {.resolution = mpp{0.5}});
  CHECK(grid.tiles.empty());
  CHECK(grid.columns == 2);
  CHECK(make_tiles(made.slide, tissue, {.min_tissue = 0}).tiles.size() == 2);
}

TEST_CASE("a region of interest moves the grid, and an empty one has no tiles") {
  const synthetic made;
  const level0_rectangle region(level0_point(100.4, 50), level0_extent(300, 100));
  const tile_grid grid = make_tiles(made.slide, {.resolution = native{}, .tile_size = 200, .region = region});
  REQUIRE(grid.tiles.size() == 2);
  CHECK(grid.tiles[1].area.origin == level0_point(300, 50));
  const level0_rectangle nothing(level0_point(5, 5), level0_extent(0, 100));
  CHECK(make_tiles(made.slide, {.resolution = native{}, .region = nothing}).tiles.empty());
}

TEST_CASE("make_tiles: bad sizes, overlaps, shares, unknown microns -> refused") {
  const synthetic made;
  CHECK_THROWS_AS(make_tiles(made.slide, {.tile_size = 0}), milkit::value_error);
  CHECK_THROWS_AS(make_tiles(made.slide, {.tile_size = 8, .overlap = 8}), milkit::value_error);
  CHECK_THROWS_AS(make_tiles(made.slide, {.overlap = -1}), milkit::value_error);
  CHECK_THROWS_AS(make_tiles(made.slide, {.min_tissue = 1.5}), milkit::value_error);
  CHECK_THROWS_AS(make_tiles(made.slide, {.resolution = mpp{0.1}}), milkit::value_error);
  CHECK_THROWS_WITH_AS(make_tiles(whole_slide(data_file("slides/boxes.tiff"))), doctest::Contains("boxes.tiff"),
                       resolution_error);
}

TEST_CASE("a 16 x 16 slide is one tile") {
  const whole_slide slide(data_file("slides/small.svs"));
  const tile_grid grid = make_tiles(slide, find_tissue(slide), {.resolution = magnification{20}, .min_tissue = 0});
  REQUIRE(grid.tiles.size() == 1);
  CHECK(grid.scale.x == 1);
  CHECK(grid.tiles[0].area.size == level0_extent(256, 256));
}
