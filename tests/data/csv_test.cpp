#include <doctest/doctest.h>

#include <limits>
#include <string>
#include <vector>

#include <data/corruption.hpp>
#include <milkit/core/random.hpp>
#include <milkit/data/csv.hpp>

namespace md = milkit::data;
using namespace milkit::test;
using fields = std::vector<std::string>;

TEST_CASE("fields, quotes and line ends are read as RFC 4180 says") {
  const auto table = md::parse_csv("a, b ,c\r\n1,\"x,\"\"y\"\"\n2\",\r\n\r\n,,\"\"\n,,\n  \n 3 , ,4", "t.csv", true);
  CHECK(table.header == fields{"a", "b", "c"});
  REQUIRE(table.size() == 3);
  CHECK(table.rows[0] == fields{"1", "x,\"y\"\n2", ""});
  CHECK(table.rows[1] == fields{"", "", ""});
  CHECK(table.rows[2] == fields{"3", "", "4"});
  CHECK(table.lines == std::vector<std::int64_t>{2, 5, 8});
  CHECK(table.number(2, 0) == 3);
  CHECK(table.integer(2, 2) == 4);
  CHECK(table.column("b") == 1);
  CHECK(md::parse_csv("1.0,-2e3\n", "t", false).integer(0, 1) == -2000);
}

TEST_CASE("a byte order mark, a missing last line end and an empty text are no trouble") {
  CHECK(md::parse_csv("\xEF\xBB\xBFimage,label\nx,1", "t", true).column("image") == 0);
  CHECK(md::parse_csv("", "t", true).size() == 0);
  CHECK(md::parse_csv("\n\n", "t", false).size() == 0);
  CHECK(md::parse_csv("a\n", "t", false).rows == std::vector<fields>{{"a"}});
}

TEST_CASE("bad lines and fields are named by file, line and column") {
  has(refusal([] { md::parse_csv("a,b\n1,2\n1,2,3\n", "t.csv", true); }), "t.csv, line 3: has 3 fields, expected 2");
  has(refusal([] { md::parse_csv("a,b\n1\n", "t.csv", true); }), "line 2: has 1 fields, expected 2");
  has(refusal([] { md::parse_csv("a\n\"b\nc", "t.csv", true); }), "t.csv, line 2: a quoted field does not end");
  has(refusal([] { md::parse_csv("a\n\"b\"c\n", "t.csv", true); }), "line 2: text after a closing quote");
  const auto table = md::parse_csv("x,y\n1,abc\nnan,1e999\n,-inf\n1.5,0x10\n", "t.csv", true);
  has(refusal([&] { table.number(0, 1); }), "t.csv, line 2, column 2 (y): 'abc' is not a number");
  has(refusal([&] { table.number(1, 0); }), "line 3, column 1 (x): 'nan' is not finite");
  has(refusal([&] { table.number(1, 1); }), "line 3, column 2 (y): '1e999'");
  has(refusal([&] { table.number(2, 0); }), "line 4, column 1 (x): '' is not a number");
  has(refusal([&] { table.number(2, 1); }), "not finite");
  has(refusal([&] { table.integer(3, 0); }), "line 5, column 1 (x): '1.5' is not a whole number");
  has(refusal([&] { table.number(3, 1); }), "'0x10' is not a number");
  has(refusal([&] { table.column("z"); }), "t.csv: has no column 'z', its columns are: x, y");
}

TEST_CASE("csv: white space of any kind around fields -> the same ids and columns") {
  const auto table = md::parse_csv(
      "id,\xC2\xA0label\t\nP1 ,0\n\"P1\xC2\xA0\",1\n\xE2\x80\x89P1\xE3\x80\x80,\xEF\xBB\xBF"
      "2\n",
      "t", true);
  CHECK(table.column("label") == 1);
  for (std::int64_t row = 0; row < 3; ++row) {
    CHECK(table.text(row, 0) == "P1");
    CHECK(table.integer(row, 1) == row);
  }
  CHECK(md::trimmed("\xE2\x80\x8B\xC3\xA0 \xC3\xA0\r\n") == "\xC3\xA0 \xC3\xA0");
  CHECK(md::trimmed(" \xC2\xA0").empty());
  has(refusal([] { md::parse_csv("a,b, a\n1,2,3\n", "t.csv", true).column("a"); }), "t.csv: has two columns 'a'");
}

TEST_CASE("what is written is read back") {
  const temporary_directory folder;
  const auto path = folder.path() / "a.csv";
  const std::vector<std::string> odd = {"", "plain", "a,b", "say \"no\"", "two\nlines", "c\rr", "in  side", "\xC3\xA9"};
  const milkit::random_stream random(1, 0, 0);
  std::vector<double> numbers = {0, -0.1, 1e-308, 1.7976931348623157e308};
  for (std::uint64_t i = 0; i < 1000; ++i) numbers.push_back(random.normal<double>(i, 0));
  {
    md::csv_writer csv(path, {"text", "number", "float", "whole"});
    for (std::size_t i = 0; i < numbers.size(); ++i)
      csv.row(odd[i % odd.size()], numbers[i], static_cast<float>(i) / 3, static_cast<std::int64_t>(i));
    CHECK_FALSE(std::filesystem::exists(path));
    csv.commit();
  }
  const auto table = md::read_csv(path);
  REQUIRE(table.size() == static_cast<std::int64_t>(numbers.size()));
  bool same = true;
  for (std::int64_t i = 0; i < table.size(); ++i) {
    const auto at = static_cast<std::size_t>(i);
    same = same && table.text(i, 0) == odd[at % odd.size()] && table.number(i, 1) == numbers[at] &&
           static_cast<float>(table.number(i, 2)) == static_cast<float>(i) / 3 && table.integer(i, 3) == i;
  }
  CHECK(same);
}

TEST_CASE("a column of empty texts keeps its rows") {
  const temporary_directory folder;
  md::csv_writer csv(folder.path() / "a.csv", {"only"});
  csv.row(std::vector<std::string>{""});
  csv.row(std::vector<std::string>{"x"});
  csv.commit();
  CHECK(md::read_csv(folder.path() / "a.csv").rows == std::vector<fields>{{""}, {"x"}});
}

TEST_CASE("a row of another length than the header is refused") {
  const temporary_directory folder;
  md::csv_writer csv(folder.path() / "a.csv", {"a", "b"});
  CHECK_THROWS_AS(csv.row(1, 2, 3), milkit::value_error);
}

TEST_CASE("numbers that are not finite have a text") {
  CHECK(md::number_text(std::numeric_limits<double>::quiet_NaN()) == "nan");
  CHECK(md::number_text(-std::numeric_limits<float>::infinity()) == "-inf");
  CHECK(md::number_text(0.1f) == "0.1");
}

TEST_CASE("the tables of the colon images are read") {
  const auto labels = md::read_csv(data_file("colon/labels.csv"));
  CHECK(labels.size() == 70);
  CHECK(labels.integer(0, labels.column("label")) == 0);
  const auto nuclei = md::read_csv(data_file("colon/nuclei.csv"));
  CHECK(nuclei.number(0, nuclei.column("x")) == 148.8);
  CHECK(nuclei.text(0, nuclei.column("type")) == "fibroblast");
}
