#include <milkit/slide/tile_reader.hpp>

#include <fstream>
#include <set>

#include <doctest/doctest.h>
#include <unistd.h>

#include <support/paths.hpp>
#include <support/tiff_pyramid.hpp>

using namespace milkit::slide;
using milkit::test::data_file;

namespace {

std::int64_t resident_kilobytes() {
  std::int64_t total = 0, resident = 0;
  std::ifstream("/proc/self/statm") >> total >> resident;
  return resident * sysconf(_SC_PAGESIZE) / 1024;
}

bool same(const_rgb_view a, const milkit::rgb_image& b) {
  return a.size() == b.size() && std::equal(a.data(), a.data() + a.size(), b.data());
}

}  // namespace

TEST_CASE("read_tiles: in order or not -> every tile once, with a plain read's pixels") {
  const whole_slide slide(data_file("slides/CMU-1-Small-Region.svs"));
  for (const auto& resolution : {target_resolution(native{}), target_resolution(mpp{1.1})}) {
    const tile_grid grid = make_tiles(slide, {.resolution = resolution, .tile_size = 200});
    std::vector<milkit::rgb_image> wanted;
    for (const tile& one : grid.tiles) wanted.push_back(slide.read_region(one.area, {200, 200}));
    for (const int threads : {1, 2, 5})
      for (const int in_flight : {0, 1, 3})
        for (const bool in_order : {true, false}) {
          CAPTURE(threads);
          CAPTURE(in_flight);
          CAPTURE(in_order);
          std::set<std::int64_t> seen;
          bool right = true;
          const read_report report = read_tiles(
              slide, grid,
              [&](const read_tile& got) {
                right = right && got.ok() && (!in_order || got.index == static_cast<std::int64_t>(seen.size()));
                right = right && got.where == &grid.tiles[static_cast<std::size_t>(got.index)];
                right = right && same(got.pixels, wanted[static_cast<std::size_t>(got.index)]);
                seen.insert(got.index);
              },
              {.threads = threads, .in_flight = in_flight, .in_order = in_order});
          CHECK(right);
          CHECK(seen.size() == grid.tiles.size());
          CHECK(report.read == static_cast<std::int64_t>(grid.tiles.size()));
          CHECK(report.failed == 0);
          CHECK(report.reading_seconds >= 0);
        }
  }
}

TEST_CASE("a tile that cannot be read is reported and the others are read") {
  const milkit::test::temporary_directory folder;
  milkit::test::write_tiff_pyramid(folder.path() / "bad.tiff", {milkit::test::picture(256, 256, 3, 77)});
  milkit::test::damage_tile(folder.path() / "bad.tiff", 0, 5);
  milkit::test::damage_tile(folder.path() / "bad.tiff", 0, 9);
  const whole_slide slide(folder.path() / "bad.tiff");
  const tile_grid grid = make_tiles(slide, {.resolution = native{}, .tile_size = 64});
  for (const int threads : {1, 4}) {
    std::vector<std::int64_t> failed;
    bool right = true;
    const read_report report = read_tiles(slide, grid,
                                          [&](const read_tile& got) {
                                            if (!got.ok()) failed.push_back(got.index);
                                            right = right && got.pixels.data()[0] == (got.ok() ? 77 : 255);
                                          },
                                          {.threads = threads});
    CHECK(right);
    CHECK(failed == std::vector<std::int64_t>{5, 9});
    CHECK(report.read == 14);
    CHECK(report.failed == 2);
    CHECK(report.first_error.find("bad.tiff: reading 64 x 64 pixels of level 0 at level-0 pixel (64, 64)") !=
          std::string::npos);
  }
}

TEST_CASE("an unreadable slide fails tile by tile and says why") {
  const whole_slide slide(data_file("slides/unreadable.svs"));
  const tile_grid grid = make_tiles(slide, {.resolution = native{}, .tile_size = 4});
  const read_report report = read_tiles(slide, grid, [](const read_tile&) {});
  CHECK(report.read == 0);
  CHECK(report.failed == 16);
  CHECK(report.first_error.find("Bogus marker length") != std::string::npos);
}

TEST_CASE("the callback's exception arrives as it was thrown, and the reader stops") {
  const whole_slide slide(data_file("slides/CMU-1-Small-Region.svs"));
  const tile_grid grid = make_tiles(slide, {.resolution = native{}});
  struct own_error {
    int value;
  };
  int calls = 0;
  try {
    read_tiles(slide, grid, [&](const read_tile& got) {
      ++calls;
      if (got.index == 3) throw own_error{42};
    });
    FAIL("nothing was thrown");
  } catch (const own_error& error) {
    CHECK(error.value == 42);
  }
  CHECK(calls == 4);
}

TEST_CASE("what a thread throws beside a read error ends the run and arrives") {
  const whole_slide slide(data_file("slides/CMU-1-Small-Region.svs"));
  tile_grid grid = make_tiles(slide, {.resolution = native{}});
  grid.tiles[5].area.size = level0_extent(-1, 0);
  for (const bool in_order : {true, false})
    CHECK_THROWS_AS(read_tiles(slide, grid, [](const read_tile&) {}, {.in_order = in_order}), milkit::value_error);
}

TEST_CASE("a callback that returns false stops the run") {
  const whole_slide slide(data_file("slides/CMU-1-Small-Region.svs"));
  const tile_grid grid = make_tiles(slide, {.resolution = native{}});
  const read_report report = read_tiles(slide, grid, [](const read_tile& got) { return got.index < 2; });
  CHECK(report.stopped);
  CHECK(report.read == 3);
}

TEST_CASE("no tiles, no calls; no threads, refused") {
  const whole_slide slide(data_file("slides/small.svs"));
  const tile_grid grid = make_tiles(slide, find_tissue(slide), {.resolution = native{}});
  REQUIRE(grid.tiles.empty());
  CHECK(read_tiles(slide, grid, [](const read_tile&) { FAIL("called"); }).read == 0);
  CHECK_THROWS_AS(read_tiles(slide, grid, [](const read_tile&) {}, {.threads = 0}), milkit::value_error);
  CHECK_THROWS_AS(read_tiles(slide, grid, [](const read_tile&) {}, {.in_flight = -1}), milkit::value_error);
}

// Sanitizers keep a changing part of what was freed, and look for leaks themselves.
TEST_CASE("reading all tiles again and again does not grow the process" * doctest::test_suite("unsanitized")) {
  const whole_slide slide(data_file("slides/CMU-1-Small-Region.svs"));
  const tile_grid grid = make_tiles(slide, {.resolution = mpp{0.8}, .tile_size = 128, .overlap = 64});
  const auto pixels_kilobytes = static_cast<std::int64_t>(grid.tiles.size()) * 128 * 128 * 3 / 1024;
  REQUIRE(resident_kilobytes() > 0);
  // An allocator may keep what it was given for a while, but a leak of a tile in sixteen grows the process each time.
  bool grows = true;
  for (int i = 0; i < 20 && grows; ++i) {
    const std::int64_t before = resident_kilobytes();
    read_tiles(slide, grid, [](const read_tile&) {});
    grows = resident_kilobytes() - before >= pixels_kilobytes / 16;
  }
  CHECK_FALSE(grows);
}
