#include <doctest/doctest.h>

#include <filesystem>

#include <data/corruption.hpp>
#include <milkit/data/labels.hpp>
#include <milkit/data/row_ids.hpp>

namespace md = milkit::data;
using namespace milkit::test;

TEST_CASE("row_ids: an empty id, and one that stands twice -> refused with both lines") {
  const auto table = md::parse_csv("id\nP1\n\"P1 \"\nP2\n", "t.csv", true);
  md::row_ids ids;
  CHECK(ids.add(table, 0, 0) == "P1");
  has(refusal([&] { ids.add(table, 1, 0); }), "t.csv, line 3, column 1 (id): 'P1' is there twice: line 2 has it, too");
  CHECK(ids.add(table, 2, 0) == "P2");
  const auto empty = md::parse_csv("id,x\n\xC2\xA0,1\n", "t.csv", true);
  has(refusal([&] { md::id_of(empty, 0, 0); }), "line 2, column 1 (id): '' is no id");
}

TEST_CASE("row_files: one file by a link or another way -> refused with both lines") {
  const temporary_directory folder;
  write_bytes(folder.path() / "a.png", "a");
  write_bytes(folder.path() / "b.png", "b");
  std::filesystem::create_symlink("a.png", folder.path() / "link.png");
  std::filesystem::create_hard_link(folder.path() / "a.png", folder.path() / "hard.png");
  const auto table = md::parse_csv("id\na\nb\nc\n", "t.csv", true);
  for (const char* same : {"a.png", "link.png", "hard.png", "./a.png", "../"}) {
    md::row_files files;
    const auto other =
        std::string(same) == "../" ? folder.path() / ".." / folder.path().filename() / "a.png" : folder.path() / same;
    files.add(table, 0, 0, folder.path() / "a.png");
    files.add(table, 1, 0, folder.path() / "b.png");
    has(refusal([&] { files.add(table, 2, 0, other); }),
        "line 4, column 1 (id): 'c' is a file that is there twice: line 2");
  }
}

TEST_CASE("named_files: a name of two files -> refused with both, and a path tells which") {
  const temporary_directory folder;
  std::vector<std::filesystem::path> files;
  for (const char* name : {"one", "two"}) {
    std::filesystem::create_directory(folder.path() / name);
    files.push_back(folder.path() / name / "case.tif");
    write_bytes(files.back(), name);
  }
  files.push_back(folder.path() / "only.tif");
  write_bytes(files.back(), "only");
  const md::named_files by_name(folder.path(), files);
  const auto table = md::parse_csv("id\ncase\ncase.tif\nonly\nonly.tif\nnone\n", "t.csv", true);
  for (std::int64_t row = 0; row < 2; ++row) {
    const std::string said = refusal([&] { by_name.find(table, row, 0); });
    has(said, files[0].string() + " and " + files[1].string());
  }
  for (std::int64_t row = 2; row < 4; ++row) CHECK(by_name.find(table, row, 0) == files[2]);
  CHECK(by_name.find(table, 4, 0).empty());
  CHECK(by_name.below("two/case.tif") == files[1]);
  CHECK(by_name.below("three/case.tif").empty());
}

TEST_CASE("read_labels: numbers, names, empty fields -> classes; mixtures -> refused") {
  const auto read = [](const std::string& lines, const std::vector<std::string>& known = {}) {
    return md::read_labels(md::parse_csv("id,label\n" + lines, "t.csv", true), 1, known);
  };
  const auto numbers = read("a,1\nb,\nc,0.0\n");
  CHECK(numbers.of_rows == std::vector<std::int64_t>{1, -1, 0});
  CHECK(numbers.names.empty());
  const auto names = read("a,tumor\nb,normal \nc,\nd,tumor\n");
  CHECK(names.of_rows == std::vector<std::int64_t>{1, 0, -1, 1});
  CHECK(names.names == std::vector<std::string>{"normal", "tumor"});
  CHECK(read("a,tumor\n", {"normal", "tumor"}).of_rows == std::vector<std::int64_t>{1});
  has(refusal([&] { read("a,0\nb,20190101\n"); }),
      "t.csv, line 3, column 2 (label): '20190101' is a label, expected at most 999");
  has(refusal([&] { read("a,0\nb,1000\n"); }), "'1000' is a label, expected at most 999");
  has(refusal([&] { read("a,-1\n"); }), "'-1' is a negative label, expected 0 or more");
  has(refusal([&] { read("a,0\nb,x\n"); }), "line 3, column 2 (label): 'x' is not a number, as line 2 has");
  has(refusal([&] { read("a,x\nb,x\n"); }), "line 2, column 2 (label): 'x' is not a number, nor one of two");
}
