#include <milkit/slide/find_slides.hpp>

#include <fstream>

#include <doctest/doctest.h>
#include <unistd.h>

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

TEST_CASE("a folder below that cannot be listed is reported, and the others are searched") {
  const milkit::test::temporary_directory folder;
  const auto closed = folder.path() / "closed";
  std::filesystem::create_directories(closed);
  milkit::test::write_tiff_pyramid(folder.path() / "a.tiff", {milkit::test::picture(64, 64)});
  std::filesystem::permissions(folder.path(), std::filesystem::perms::all);
  std::filesystem::permissions(closed, std::filesystem::perms::none);
  const bool root = ::geteuid() == 0;  // whom no folder is closed to
  if (root) REQUIRE(::seteuid(65534) == 0);
  std::vector<std::string> reported;
  std::vector<std::filesystem::path> found;
  std::string thrown;
  try {
    found = find_slides(folder.path(), [&](const std::string& sentence) { reported.push_back(sentence); });
    find_slides(folder.path());
  } catch (const milkit::io_error& error) {
    thrown = error.what();
  }
  if (root) REQUIRE(::seteuid(0) == 0);
  std::filesystem::permissions(closed, std::filesystem::perms::owner_all);
  const std::string sentence = "folder " + closed.string() + ": cannot be listed: Permission denied";
  CHECK(found == std::vector<std::filesystem::path>{folder.path() / "a.tiff"});
  CHECK(reported == std::vector<std::string>{sentence});
  CHECK(thrown == sentence);  // without somebody to report to
}

TEST_CASE("find_slides: damaged files -> named; linked folders -> searched") {
  const milkit::test::temporary_directory folder, elsewhere;
  milkit::test::write_tiff_pyramid(folder.path() / "good.tif", {milkit::test::picture(64, 64)});
  milkit::test::write_tiff_pyramid(elsewhere.path() / "linked.tif", {milkit::test::picture(64, 64)});
  std::ofstream(folder.path() / "empty.SVS");
  std::ofstream(folder.path() / "cut.tif") << "II*";
  std::ofstream(folder.path() / "notes.txt") << "no slide";
  std::filesystem::create_symlink("nowhere", folder.path() / "gone.ndpi");
  std::filesystem::create_directory_symlink(elsewhere.path(), folder.path() / "more");
  std::filesystem::create_directory_symlink(folder.path(), elsewhere.path() / "back");
  std::vector<std::string> said;
  CHECK(find_slides(folder.path(), [&](const std::string& sentence) { said.push_back(sentence); }) ==
        std::vector<std::filesystem::path>{folder.path() / "good.tif", folder.path() / "more" / "linked.tif"});
  REQUIRE(said.size() == 3);
  CHECK(said[0].starts_with("slide " + (folder.path() / "cut.tif").string() + ": cannot be opened: OpenSlide"));
  CHECK(said[1] == "slide " + (folder.path() / "empty.SVS").string() + ": cannot be opened: the file is empty");
  CHECK(said[2] == "slide " + (folder.path() / "gone.ndpi").string() + ": is a link to nowhere, which is not there");
  CHECK_THROWS_WITH_AS(find_slides(folder.path()), said[0].c_str(), milkit::io_error);
}

TEST_CASE("a link to a folder above is not followed in circles") {
  const milkit::test::temporary_directory folder;
  milkit::test::write_tiff_pyramid(folder.path() / "a.tiff", {milkit::test::picture(64, 64)});
  std::filesystem::create_directory_symlink(folder.path(), folder.path() / "again");
  CHECK(find_slides(folder.path()) == std::vector<std::filesystem::path>{folder.path() / "a.tiff"});
}

TEST_CASE("of the real slides all are found, also those that do not open") {
  CHECK(find_slides(milkit::test::data_dir() / "slides").size() == 5);
}
