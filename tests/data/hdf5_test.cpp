#include <milkit/data/hdf5.hpp>

#include <fstream>
#include <limits>

#include <fcntl.h>
#include <sys/file.h>

#include <doctest/doctest.h>

#include <data/corruption.hpp>
#include <data/full_disk.hpp>
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

std::string refusal_of(auto&& body) {
  try {
    body();
  } catch (const io_error& error) {
    return error.what();
  }
  return "it was not refused";
}

/// A file of ours becomes one of somebody else: the digest behind it goes.
void make_foreign(const std::filesystem::path& path) {
  std::filesystem::resize_file(path, std::filesystem::file_size(path) - data::detail::h5_trailer_bytes);
}

/// The layout of ZoomMIL's official code, written by HDF5 itself.
void write_official(const std::filesystem::path& path, const std::vector<std::pair<std::string, std::int64_t>>& levels,
                    bool coordinates = true) {
  data::detail::h5_writer out(path.string());
  for (const auto& [name, rows] : levels) {
    const auto features = test::normals<float>(shape<2>{rows, 4}, 1);
    std::vector<std::int64_t> corners(static_cast<std::size_t>(2 * rows), 9);
    out.values(out.file(), (name + "_patches").c_str(), features.data(), {rows, 4});
    if (coordinates) out.values(out.file(), (name + "_coords").c_str(), corners.data(), {rows, 2});
  }
  atomic_file file(path);
  out.write(file);
  file.commit();
  make_foreign(path);
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
    return refusal_of([&] { read_features(path, expected); });
  };
  CHECK(read() == name + ": there is no such file");
  std::ofstream(path) << "no HDF5";
  CHECK(read() == name + ": is no HDF5 file");

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
  CHECK(refusal_of([&] { write_features(path, wrong); }) ==
        name + ": level '10x': the parent of row 4 is 10, expected 0 to 9");
  wrong = small();
  wrong.levels[1].parents.pop_back();
  CHECK(refusal_of([&] { write_features(path, wrong); }) == name + ": level '2.5x': 9 parents, expected 10");
  wrong = small();
  wrong.levels[0].coordinates = tensor<std::int64_t, 2>({2, 2});
  CHECK(refusal_of([&] { write_features(path, wrong); }) ==
        name + ": level '1.25x' has coordinates [2, 2], expected [3, 2]");
  CHECK(read_features(path).levels.size() == 3);  // nothing was lost
}

TEST_CASE("read_features: not finite, or coordinates not whole -> refused") {
  const test::temporary_directory folder;
  const auto path = folder.path() / "a.h5";
  for (const float value : {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
    auto wrong = small();
    wrong.levels[1].features.data()[7] = value;
    CHECK(refusal_of([&] { write_features(path, wrong); }) ==
          message(path, ": level '2.5x': feature 2 of tile 1 is ", value, ", which is not finite"));
  }
  const auto with_coordinates = [&](const std::vector<double>& corners) {
    data::detail::h5_writer out(path.string());
    const std::vector<float> features(corners.size() / 2, 1.0f);
    const auto rows = static_cast<std::int64_t>(features.size());
    out.values(out.file(), "5x_patches", features.data(), {rows, 1});
    out.values(out.file(), "5x_coords", corners.data(), {rows, 2});
    atomic_file file(path);
    out.write(file);
    file.commit();
    make_foreign(path);
  };
  with_coordinates({0, -3, 1e15, 5});
  CHECK(test::elements(read_features(path).levels[0].coordinates) == std::vector<double>{0, -3, 1e15, 5});
  for (const double wrong : {0.5, -3.7, 1e20, std::numeric_limits<double>::quiet_NaN()}) {
    with_coordinates({0, 1, 2, wrong});
    CHECK(refusal_of([&] { read_features(path); }) == message(path, ": data set '5x_coords' has the value ", wrong,
                                                              " at place 3, expected whole numbers of 64 bits"));
  }
}

TEST_CASE("read_features: a pyramid without tiles -> one without tiles, in either layout") {
  const test::temporary_directory folder;
  write_official(folder.path() / "a.h5", {{"5x", 0}, {"10x", 0}});
  CHECK(read_features(folder.path() / "a.h5").levels[1].features.shape() == shape<2>{0, 4});
}

TEST_CASE("read_features: every byte changed -> refused by name, or read by a child") {
  const test::temporary_directory folder;
  const auto path = folder.path() / "a.h5";
  feature_pyramid tiny;
  tiny.levels.push_back({"5x", tensor<float, 2>({2, 3}), tensor<std::int64_t, 2>({2, 2}), {}});
  for (std::int64_t i = 0; i < 6; ++i) tiny.levels[0].features.data()[i] = static_cast<float>(i);
  write_features(path, tiny);
  const std::string own = read_all(path);
  for (std::size_t i = 0; i < own.size(); ++i) {
    std::string changed = own;
    changed[i] = static_cast<char>(changed[i] ^ (1 << i % 8));
    test::write_bytes(path, changed);
    if (i + data::detail::h5_trailer_bytes >= own.size() && i + 33 < own.size()) continue;  // no digest then
    CHECK(refusal_of([&] { read_features(path); }).starts_with(path.string() + ": "));
  }
  const std::string foreign = own.substr(0, own.size() - data::detail::h5_trailer_bytes);
  for (std::size_t i = 0; i < foreign.size(); i += 23)  // each is a process of its own
    for (const int value : {0, 0xFF, foreign[i] ^ 1}) {
      std::string changed = foreign;
      changed[i] = static_cast<char>(value);
      test::write_bytes(path, changed);
      try {
        read_features(path);
      } catch (const io_error& error) {
        if (!std::string(error.what()).starts_with(path.string())) FAIL_CHECK(i, " ", error.what());
      } catch (const std::exception& error) {
        FAIL_CHECK(i, " not an io_error: ", error.what());
      }
    }
}

TEST_CASE("read_features: a file that another program has locked -> refused by that name") {
  const test::temporary_directory folder;
  const auto path = folder.path() / "a.h5";
  write_official(path, {{"5x", 1}});
  const int descriptor = ::open(path.c_str(), O_RDONLY);
  REQUIRE(::flock(descriptor, LOCK_EX) == 0);
  CHECK(refusal_of([&] { read_features(path); }) ==
        path.string() + ": is locked by another program, which may be writing it");
  ::close(descriptor);
  CHECK(read_features(path).levels.size() == 1);
}

TEST_CASE("write_features: a disk that is full -> refused, and the old file stays") {
  const test::temporary_directory folder;
  const auto path = folder.path() / "a.h5";
  write_features(path, small());
  auto large = small();
  large.levels.resize(1);
  large.levels[0].features = tensor<float, 2>({3, 100000});
  {
    const test::full_disk full(200000);
    CHECK(refusal_of([&] { write_features(path, large); }).starts_with(path.string() + ": cannot be written: "));
    CHECK(refusal_of([&] { write_features(folder.path() / "b.h5", large); }).find("b.h5") != std::string::npos);
  }
  CHECK(read_features(path).levels.size() == 3);
  std::size_t files = 0;
  for (const auto& each : std::filesystem::directory_iterator(folder.path())) files += each.is_regular_file();
  CHECK(files == 1);
  write_features(path, large);
  CHECK(read_features(path).levels[0].features.extent(1) == 100000);
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
