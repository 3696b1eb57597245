#include <milkit/data/hdf5.hpp>

#include <fstream>

#include <doctest/doctest.h>

#include <support/close.hpp>
#include <support/normals.hpp>
#include <support/paths.hpp>

using namespace milkit;
using namespace milkit::data;

namespace {

feature_pyramid small() {
  feature_pyramid made;
  made.provenance = {{"encoder", "descriptor"}, {"tile_size", "256"}, {"slide", "Übersicht 1.svs"}};
  std::int64_t rows = 3;
  for (const char* name : {"1.25x", "2.5x", "10x"}) {
    feature_level level;
    level.name = name;
    const std::size_t m = made.levels.size();
    level.features = test::normals<float>(shape<2>{rows, m == 1 ? 5 : 7}, m);
    level.coordinates = tensor<std::int64_t, 2>({rows, 2});
    for (std::int64_t i = 0; i < 2 * rows; ++i) level.coordinates.data()[i] = 1000000007 * i - 5;
    if (m > 0)
      for (std::int64_t i = 0; i < rows; ++i)
        level.parents.push_back((i * 7 + 1) % made.levels.back().features.extent(0));
    made.levels.push_back(std::move(level));
    rows = rows * 3 + 1;
  }
  return made;
}

std::string refusal(auto&& body) {
  try {
    body();
  } catch (const io_error& error) {
    return error.what();
  }
  return "it was not refused";
}

/// The layout of ZoomMIL's official code, written by HDF5 itself.
void write_official(const std::filesystem::path& path, const std::vector<std::pair<std::string, std::int64_t>>& levels,
                    bool coordinates = true) {
  data::detail::h5_writer out(path.string(), path.string());
  for (const auto& [name, rows] : levels) {
    const auto features = test::normals<float>(shape<2>{rows, 4}, 1);
    std::vector<std::int64_t> corners(static_cast<std::size_t>(2 * rows), 9);
    out.values(out.file(), (name + "_patches").c_str(), features.data(), {rows, 4});
    if (coordinates) out.values(out.file(), (name + "_coords").c_str(), corners.data(), {rows, 2});
  }
  out.finish();
}

}  // namespace

TEST_CASE("feature_pyramid: comes back bit by bit, with its provenance") {
  const test::temporary_directory folder;
  const auto path = folder.path() / "slide.h5";
  const auto wrote = small();
  for (int i = 0; i < 2; ++i) write_features(path, wrote);  // over an older one, too
  const auto read = read_features(path, {{"encoder", "descriptor"}, {"tile_size", "256"}});
  CHECK(read.provenance == wrote.provenance);
  REQUIRE(read.levels.size() == 3);
  for (std::size_t m = 0; m < 3; ++m) {
    CHECK(read.levels[m].name == wrote.levels[m].name);
    CHECK(test::elements(read.levels[m].features) == test::elements(wrote.levels[m].features));
    CHECK(test::elements(read.levels[m].coordinates) == test::elements(wrote.levels[m].coordinates));
    CHECK(read.levels[m].parents == wrote.levels[m].parents);
  }
  std::size_t files = 0;
  for (const auto& each : std::filesystem::directory_iterator(folder.path())) files += each.is_regular_file();
  CHECK(files == 1);
}

TEST_CASE("feature_pyramid: a slide without tiles -> a file that reads back") {
  const test::temporary_directory folder;
  feature_pyramid empty;
  empty.levels.push_back({"5x", tensor<float, 2>({0, 4}), tensor<std::int64_t, 2>({0, 2}), {}});
  write_features(folder.path() / "a.h5", empty);
  const auto read = read_features(folder.path() / "a.h5");
  REQUIRE(read.levels.size() == 1);
  CHECK(read.levels[0].features.shape() == shape<2>{0, 4});
}

TEST_CASE("read_features: a file of official ZoomMIL -> levels by name, parents by order") {
  const test::temporary_directory folder;
  const auto path = folder.path() / "a.h5";
  write_official(path, {{"10.0x", 96}, {"1.25x", 2}, {"2.5x", 8 - 2}});
  const auto read = read_features(path, {{"encoder", "resnet50"}});
  REQUIRE(read.levels.size() == 3);
  CHECK(read.levels[0].name == "1.25x");
  CHECK(read.levels[1].name == "2.5x");
  CHECK(read.levels[2].name == "10.0x");
  CHECK(read.levels[0].parents.empty());
  CHECK(read.levels[1].parents == std::vector<std::int64_t>{0, 0, 0, 1, 1, 1});
  CHECK(read.levels[2].parents[15] == 0);
  CHECK(read.levels[2].parents[16] == 1);
  CHECK(read.levels[2].coordinates.view()(95, 1) == 9);
}

TEST_CASE("read_features names what is wrong with a file") {
  const test::temporary_directory folder;
  const auto path = folder.path() / "a.h5";
  const std::string name = path.string();
  const auto read = [&](const std::map<std::string, std::string>& expected = {}) {
    return refusal([&] { read_features(path, expected); });
  };
  CHECK(read() == name + ": there is no such file");
  std::ofstream(path) << "no HDF5";
  CHECK(read() == name + ": is no HDF5 file that can be read");

  write_features(path, small());
  CHECK(read({{"encoder", "resnet50"}}) == name + ": its encoder is 'descriptor', expected 'resnet50'");
  CHECK(read({{"tile_size", "224"}}) == name + ": its tile_size is '256', expected '224'");
  CHECK(read({{"stain", "none"}}) == name + ": its stain is not known, expected 'none'");
  const auto whole = std::filesystem::file_size(path);
  for (const std::uintmax_t size : {whole - 1, whole / 2, std::uintmax_t{600}, std::uintmax_t{9}}) {
    CAPTURE(size);
    write_features(path, small());
    std::filesystem::resize_file(path, size);
    CHECK(read().starts_with(name + ": "));
  }

  write_official(path, {{"5x", 3}, {"10x", 13}});
  CHECK(read() == name + ": level '10x' has 13 tiles, expected a multiple of the 3 of the level below");
  write_official(path, {{"5x", 3}}, false);
  CHECK(read() == name + ": has no data set '5x_coords'");
  write_official(path, {});
  CHECK(read() == name + ": has neither a group 'level1' nor data sets named as '5x_patches'");

  write_features(path, small());
  auto wrong = small();
  wrong.levels[2].parents[4] = 10;
  CHECK(refusal([&] { write_features(path, wrong); }) ==
        name + ": level '10x': the parent of row 4 is 10, expected 0 to 9");
  wrong = small();
  wrong.levels[1].parents.pop_back();
  CHECK(refusal([&] { write_features(path, wrong); }) == name + ": level '2.5x': 9 parents, expected 10");
  wrong = small();
  wrong.levels[0].coordinates = tensor<std::int64_t, 2>({2, 2});
  CHECK(refusal([&] { write_features(path, wrong); }) ==
        name + ": level '1.25x' has coordinates [2, 2], expected [3, 2]");
  CHECK(read_features(path).levels.size() == 3);  // nothing was lost
}

TEST_CASE("read_features passes over attributes that are not one text") {
  const test::temporary_directory folder;
  const auto path = folder.path() / "a.h5";
  write_features(path, small());
  {
    const data::detail::h5_handle file(H5Fopen(path.c_str(), H5F_ACC_RDWR, H5P_DEFAULT), H5Fclose);
    const data::detail::h5_handle type(H5Tcopy(H5T_C_S1), H5Tclose);
    H5Tset_size(type, 8);
    const hsize_t count = 4096;
    const data::detail::h5_handle space(H5Screate_simple(1, &count, nullptr), H5Sclose);
    const data::detail::h5_handle many(H5Acreate2(file, "classes", type, space, H5P_DEFAULT, H5P_DEFAULT), H5Aclose);
    const std::string text(8 * 4096, 'a');
    REQUIRE(H5Awrite(many, type, text.data()) >= 0);
  }
  CHECK(read_features(path).provenance == small().provenance);
}

TEST_CASE("write_features refuses what could not be read back") {
  const test::temporary_directory folder;
  const auto path = folder.path() / "a.h5";
  CHECK_THROWS_AS(write_features(path, {}), value_error);
  for (const auto& [key, value] : std::vector<std::pair<std::string, std::string>>{
           {"", "a"}, {"a", std::string(70000, 'a')}, {"a", std::string("a\0b", 3)}, {std::string(600, 'a'), "a"}}) {
    auto wrong = small();
    wrong.provenance[key] = value;
    CHECK_THROWS_AS(write_features(path, wrong), value_error);
  }
  CHECK_FALSE(std::filesystem::exists(path));
}

TEST_CASE("write_features says where it cannot write") {
  const test::temporary_directory folder;
  CHECK_THROWS_AS(write_features(folder.path() / "none" / "a.h5", small()), io_error);
  CHECK_THROWS_AS(write_features(folder.path(), small()), io_error);
}
