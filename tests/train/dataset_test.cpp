#include <doctest/doctest.h>

#include <map>
#include <set>

#include <milkit/train/dataset.hpp>

#include <support/chance.hpp>
#include <support/close.hpp>

using namespace milkit;

namespace {

data::bag_table labelled(std::vector<std::int64_t> labels) {
  data::bag_table table;
  table.instances = tensor<float, 2>({static_cast<std::int64_t>(2 * labels.size()), 1});
  for (std::int64_t i = 0; i < table.instances.size(); ++i) table.instances.data()[i] = static_cast<float>(i);
  for (std::size_t i = 0; i < labels.size(); ++i) table.offsets.push_back(table.offsets.back() + 2);
  table.labels = std::move(labels);
  return table;
}

/// A data set whose bags are numbers and that augments: the stream decides.
struct drawn {
  std::int64_t size() const { return 5; }
  std::int64_t classes() const { return 2; }
  std::int64_t label(std::int64_t i) const { return i % 2; }
  std::int64_t bag(std::int64_t i) const { return i; }
  std::int64_t bag(std::int64_t i, const random_stream& random) const {
    return i + 100 * static_cast<std::int64_t>(1 + random.below(9, 0, 0));
  }
};

}  // namespace

TEST_CASE("table_dataset and subset give bags, labels and classes of the table") {
  const data::bag_table table = labelled({0, 2, 1, 0});
  train::table_dataset all(table);
  CHECK(all.size() == 4);
  CHECK(all.classes() == 3);
  CHECK(all.label(1) == 2);
  CHECK(test::elements(all.bag(2).source().instances) == std::vector<double>{4, 5});
  train::subset part(all, {3, 1});
  CHECK(part.size() == 2);
  CHECK(part.classes() == 3);
  CHECK(part.label(0) == 0);
  CHECK(part.index(1) == 1);
  CHECK(test::elements(part.bag(1).source().instances) == std::vector<double>{2, 3});
  CHECK_THROWS_WITH_AS(train::subset(all, {0, 4}), "milkit::train::subset: index 4 is outside the 4 bags", value_error);
  CHECK_THROWS_AS(train::subset(all, {-1}), value_error);
}

TEST_CASE("a subset augments where its data set does") {
  drawn all;
  train::subset part(all, {4, 2});
  CHECK(part.bag(0) == 4);
  CHECK(part.bag(0, random_stream(1, 2, 3)) == all.bag(4, random_stream(1, 2, 3)));
  CHECK(part.bag(0, random_stream(1, 2, 3)) >= 100);
}

TEST_CASE("epoch_order: shuffled -> every bag once, each order equally often") {
  const std::vector<std::int64_t> labels = {0, 1, 0};
  std::map<std::vector<std::int64_t>, int> counts;
  for (std::uint64_t epoch = 0; epoch < 6000; ++epoch) {
    const auto order = train::epoch_order(labels, 2, train::bag_order::shuffled, random_stream(1, epoch, 1));
    CHECK(order == train::epoch_order(labels, 2, train::bag_order::shuffled, random_stream(1, epoch, 1)));
    ++counts[order];
  }
  CHECK(counts.size() == 6);
  std::vector<double> often;
  for (const auto& [order, count] : counts) {
    CHECK(std::set<std::int64_t>(order.begin(), order.end()) == std::set<std::int64_t>{0, 1, 2});
    often.push_back(count);
  }
  CHECK(milkit::test::as_often_as(std::vector<double>(6, 1 / 6.0), often, 6000));
}

TEST_CASE("epoch_order: balanced -> classes equally often, one without bags never") {
  std::vector<std::int64_t> labels(50, 0);
  labels[7] = labels[8] = 3;  // of four classes two have no bag
  std::vector<double> counts(50, 0);
  constexpr int epochs = 400;
  for (std::uint64_t epoch = 0; epoch < epochs; ++epoch) {
    const auto order = train::epoch_order(labels, 4, train::bag_order::balanced, random_stream(1, epoch, 1));
    CHECK(order.size() == 50);
    for (const std::int64_t i : order) ++counts[static_cast<std::size_t>(i)];
  }
  constexpr double draws = 50.0 * epochs;
  std::vector<double> law(50, 0.5 / 48);
  law[7] = law[8] = 0.25;
  CHECK(milkit::test::as_often_as(law, counts, draws));
}

TEST_CASE("augmented_table: instances dropped -> at least one stays; evaluation unchanged") {
  milkit::data::bag_table table;
  table.instances = milkit::tensor<float, 2>({5, 3});
  for (std::int64_t i = 0; i < 15; ++i) table.instances.data()[i] = static_cast<float>(i);
  table.offsets = {0, 1, 5};
  table.labels = {0, 1};
  table.names = {"a", "b"};
  milkit::train::augmented_table bags(table, {.drop = 0.9, .noise = 0});
  std::int64_t kept = 0;
  for (std::uint64_t step = 0; step < 200; ++step) {
    const auto one = bags.bag(1, milkit::random_stream(1, step, 2)).source().instances;
    REQUIRE(one.rows() >= 1);
    kept += one.rows();
    for (std::int64_t r = 0; r < one.rows(); ++r) {
      CHECK(one(r, 0) >= 3.0f);  // a row of bag 1, as it is
      CHECK(one(r, 1) == one(r, 0) + 1.0f);
    }
    CHECK(bags.bag(0, milkit::random_stream(1, step, 2)).instances() == 1);
  }
  CHECK(kept > 200);  // 1 + 3 * 0.1 on average
  CHECK(kept < 340);
  CHECK(bags.bag(1).instances() == 4);

  milkit::train::augmented_table noisy(table, {.drop = 0, .noise = 0.5});
  const milkit::random_stream stream(7, 8, 9);
  const float first = noisy.bag(1, stream).source().instances(2, 1);
  CHECK(first != table.instances.view()(3, 1));
  CHECK(noisy.bag(1, stream).source().instances(2, 1) == first);
  CHECK_THROWS_AS(milkit::train::augmented_table(table, {.drop = 1}), milkit::value_error);
}
