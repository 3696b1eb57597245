#include <doctest/doctest.h>

#include <numeric>
#include <string>
#include <vector>

#include <data/corruption.hpp>
#include <milkit/data/bag_csv.hpp>

namespace md = milkit::data;
using namespace milkit::test;

namespace {

struct text_file {
  text_file(const std::string& name, const std::string& text) : path(folder.path() / name) { write_bytes(path, text); }
  temporary_directory folder;
  std::filesystem::path path;
};

std::string bags_refusal(const std::string& name, const std::string& text) {
  const text_file file(name, text);
  const std::string said = refusal([&] { md::read_bags(file.path); });
  has(said, name);
  return said;
}

}  // namespace

TEST_CASE("C4.5 lines become bags in the order of their first appearance") {
  const text_file file("a.data", "m2,c1,1,2,1.\nm1,c1,3,4,0.\nm2,c2,5,6,1.\r\n\nm1,c2,7,8,0.\n");
  const auto bags = md::read_bags(file.path);
  CHECK(bags.bags() == 2);
  CHECK(bags.features() == 2);
  CHECK(bags.classes() == 2);
  CHECK(bags.names == std::vector<std::string>{"m2", "m1"});
  CHECK(bags.labels == std::vector<std::int64_t>{1, 0});
  CHECK(bags.offsets == std::vector<std::int64_t>{0, 2, 4});
  CHECK(bags.instance_names == std::vector<std::string>{"c1", "c2", "c1", "c2"});
  CHECK(bags.bag(0)(1, 1) == 6);
  CHECK(bags.bag(1)(0, 0) == 3);
  CHECK(bags.bag(1).rows() == 2);
}

TEST_CASE("CSV bags are read with and without a header, and C4.5 is known without its name") {
  const text_file with("a.csv", "bag,label,f1,f2\n1,0,0.5,1\n2,2,-1e-3,+4\n");
  const text_file without("b.csv", "1,0,0.5,1\n2,2,-1e-3,+4\n");
  const text_file c45("c.txt", "m,c,1,2,1.\n");
  for (const auto* file : {&with, &without}) {
    const auto bags = md::read_bags(file->path);
    CHECK(bags.bags() == 2);
    CHECK(bags.classes() == 3);
    CHECK(bags.instance_names.empty());
    CHECK(bags.bag(1)(0, 0) == -1e-3f);
    CHECK(bags.bag(1)(0, 1) == 4);
  }
  CHECK(md::read_bags(c45.path).instance_names == std::vector<std::string>{"c"});
  const text_file full_stop("d.csv", "1,0,2.\n2,1,3.\n");
  CHECK(md::read_bags(full_stop.path).bags() == 2);
}

TEST_CASE("bags: a header in any order -> columns by name, none that numbers instances") {
  const std::string lines[] = {
      "bag,fold,label,f1,f2\na,3,1,5,6\nb,4,0,7,8\n", ",bag,label,f1,f2\n3,a,1,5,6\n4,b,0,7,8\n",
      "f1,Label,f2,Bag,Instance_ID\n5,1,6,a,3\n7,0,8,b,4\n",
      "Unnamed: 0,split,label,bag,f1,f2\n0,train,1,a,5,6\n1,test,0,b,7,8\n", "bag,label,0,1\na,1,5,6\nb,0,7,8\n"};
  for (const std::string& text : lines) {
    CAPTURE(text);
    const text_file file("a.csv", text);
    const auto bags = md::read_bags(file.path);
    CHECK(bags.names == std::vector<std::string>{"a", "b"});
    CHECK(bags.labels == std::vector<std::int64_t>{1, 0});
    REQUIRE(bags.features() == 2);
    CHECK(bags.bag(0)(0, 0) == 5);
    CHECK(bags.bag(1)(0, 1) == 8);
  }
  const text_file file("a.csv", lines[3]);
  CHECK(md::read_bags(file.path).ignored == std::vector<std::string>{"Unnamed: 0", "split"});
  has(bags_refusal("a.csv", "id,class,f1\n1,0,1\n"), "has no column 'bag', its columns are: id, class, f1");
  has(bags_refusal("a.csv", "bag,label,fold\n1,0,1\n"), "has no column of features");
  has(bags_refusal("a.csv", "bag,label,f1\n,0,1\n"), "line 2, column 1 (bag): '' is no id");
}

TEST_CASE("a bag of one and a feature of one are bags") {
  const text_file file("a.csv", "x,0,7\n");
  CHECK(md::read_bags(file.path).bag(0)(0, 0) == 7);
}

TEST_CASE("bad bags are named by file, line and column") {
  has(bags_refusal("a.csv", "bag,label,f1\n1,0,1\n1,0\n"),
      "line 3: has 2 fields, expected 3; the first that is missing is column 3");
  has(bags_refusal("a.csv", "1,0,1\n1,0,1,2\n"),
      "line 2: has 4 fields, expected 3; the first that is too many is column 4");
  has(bags_refusal("a.csv", "1,1000,1\n"), "line 1, column 2: '1000' is a label, expected at most 999");
  has(bags_refusal("a.csv", "1,9007199254740992,1\n"), "is a label, expected at most 999");
  has(bags_refusal("a.csv", "bag,label,f1\n1,0,x\n"), "line 2, column 3 (f1): 'x' is not a number");
  has(bags_refusal("a.csv", "bag,label,f1\n1,0,nan\n"), "line 2, column 3 (f1): 'nan' is not finite");
  has(bags_refusal("a.csv", "1,0,inf\n"), "line 1, column 3: 'inf' is not finite");
  has(bags_refusal("a.csv", "1,0,1e300\n"), "too large for a 32-bit float");
  has(bags_refusal("a.csv", "1,x,1\n"), "line 1, column 2: 'x' is not a number");
  has(bags_refusal("a.csv", "1,-1,1\n"), "negative label");
  has(bags_refusal("a.csv", "1,0.5,1\n"), "not a whole number");
  has(bags_refusal("a.csv", "1,0,1\n1,1,2\n"), "line 2, column 2: '1' is the label here, but bag '1' had 0 before");
  has(bags_refusal("a.csv", ""), "holds no instances");
  has(bags_refusal("a.csv", "bag,label,f1\n"), "holds no instances");
  has(bags_refusal("a.csv", "1,0\n"), "has 2 fields");
  has(bags_refusal("a.data", ""), "holds no instances");
  has(bags_refusal("a.data", "m,c,1.\n"), "has 3 fields");
  has(bags_refusal("a.data", "m,c,1,2\n"), "line 1, column 4: '2' is the last field, expected a class and a full stop");
  has(bags_refusal("a.data", "m,c,1,a.\n"), "'a' is not a number");
  has(bags_refusal("a.data", "m,c,b,1.\n"), "line 1, column 3: 'b' is not a number");
}

TEST_CASE("Musk 1 is 92 bags of 476 instances") {
  const auto bags = md::read_bags(data_file("bags/musk1.data"));
  CHECK(bags.bags() == 92);
  CHECK(bags.instances.rows() == 476);
  CHECK(bags.features() == 166);
  CHECK(std::accumulate(bags.labels.begin(), bags.labels.end(), std::int64_t{0}) == 47);
  CHECK(bags.names[0] == "MUSK-188");
  CHECK(bags.instance_names[0] == "188_1+1");
  CHECK(bags.bag(0)(0, 0) == 42);
  CHECK(bags.offsets.back() == 476);
}

TEST_CASE("Elephant is 200 bags of 1391 instances, half of them positive") {
  const auto bags = md::read_bags(data_file("bags/elephant.csv"));
  CHECK(bags.bags() == 200);
  CHECK(bags.instances.rows() == 1391);
  CHECK(bags.features() == 230);
  CHECK(std::accumulate(bags.labels.begin(), bags.labels.end(), std::int64_t{0}) == 100);
  CHECK(bags.bag(0)(0, 0) == 2.05773f);
}
