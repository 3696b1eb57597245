#include <milkit/slide/tiff_directories.hpp>

#include <fstream>

#include <doctest/doctest.h>

#include <milkit/slide/partial_tiles.hpp>
#include <support/paths.hpp>
#include <support/tiff_pyramid.hpp>

using namespace milkit::slide;

TEST_CASE("tiff_directories: a pyramid -> what each level is; no TIFF -> none") {
  const milkit::test::temporary_directory folder;
  const auto path = folder.path() / "a.tiff";
  milkit::test::write_tiff_pyramid(path, {milkit::test::picture(300, 200), milkit::test::picture(75, 50)});
  const auto found = tiff_directories(path);
  REQUIRE(found.size() == 2);
  CHECK(found[0].width == 300);
  CHECK(found[1].height == 50);
  for (const auto& each : found) {
    CHECK(each.tile_width == 64);
    CHECK(each.tile_height == 64);
    CHECK(each.samples == 3);
    CHECK(each.decoded_by_libtiff());  // deflate
  }
  std::ofstream(path) << "no TIFF";
  CHECK(tiff_directories(path).empty());
  std::ofstream(path) << std::string("II*\0\x08\0\0\0\xFF\x0F", 10);  // 4095 entries that are not there
  CHECK(tiff_directories(path).size() <= 1);
  CHECK(tiff_directories(folder.path() / "none").empty());
}

TEST_CASE("level_is_readable: whole tiles, JPEG, and no TIFF -> yes") {
  tiff_directory jpeg{.width = 512,
                      .height = 48,
                      .tile_width = 64,
                      .tile_height = 64,
                      .compression = 7,
                      .photometric = 6,
                      .samples = 3};
  CHECK(level_is_readable({512, 128}, {64, 64}, {}));
  CHECK(level_is_readable({512, 48}, {64, 64}, {}));
  CHECK(level_is_readable({512, 48}, {64, 64}, {jpeg}));
  auto deflate = jpeg;
  deflate.compression = 8;
  CHECK(level_is_readable({512, 48}, {64, 64}, {deflate}) == reads_partial_tiles({512, 48}, {64, 64}));
  CHECK(reads_partial_tiles({512, 128}, {64, 64}));  // else nothing can be read
}
