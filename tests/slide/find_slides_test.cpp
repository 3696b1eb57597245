#include <milkit/slide/find_slides.hpp>

#include <fstream>

#include <doctest/doctest.h>

#include <support/paths.hpp>
#include <support/tiff_pyramid.hpp>

using milkit::slide::find_slides;

TEST_CASE("a folder gives its slides, sorted, at any depth, and leaves other files out") {
  const milkit::test::temporary_directory folder;
  std::filesystem::create_directories(folder.path() / "b" / "deep");
  milkit::test::write_tiff_pyramid(folder.path() / "b" / "deep" / "two.tiff", {milkit::test::picture(64, 64)});
  milkit::test::write_tiff_pyramid(folder.path() / "a.tiff", {milkit::test::picture(64, 64)});
  std::ofstream(folder.path() / "notes.txt") << "no slide";
  CHECK(find_slides(folder.path()) ==
        std::vector<std::filesystem::path>{folder.path() / "a.tiff", folder.path() / "b" / "deep" / "two.tiff"});
}

TEST_CASE("a file is itself, a folder without slides is an error that names it") {
  const milkit::test::temporary_directory folder;
  CHECK(find_slides("no/such.svs") == std::vector<std::filesystem::path>{"no/such.svs"});
  CHECK_THROWS_WITH_AS(find_slides(folder.path()), doctest::Contains(folder.path().c_str()), milkit::io_error);
}

TEST_CASE("of the real slides all are found, also those that do not open") {
  CHECK(find_slides(milkit::test::data_dir() / "slides").size() == 5);
}
