#include <doctest/doctest.h>

#include <milkit/train/predictions.hpp>

#include <support/paths.hpp>

using namespace milkit;

namespace {

train::evaluation three_bags() {
  return {.labels = {0, 2, 1},
          .predictions = {0, 1, 1},
          .probabilities = {0.7, 0.2, 0.1, 0.25, 0.5, 0.25, 1.0 / 3, 1.0 / 3, 1.0 / 3}};
}
std::string name_of(std::int64_t i) { return i == 1 ? "a, \"b\"" : message("bag ", i); }

struct file {
  test::temporary_directory folder;
  std::filesystem::path path = folder.path() / "predictions.csv";
};

}  // namespace

TEST_CASE("write_predictions: bags -> a line each with every probability, read back alike") {
  const file out;
  const auto evaluation = three_bags();
  train::write_predictions(out.path, evaluation, name_of);
  const auto table = data::read_csv(out.path);
  CHECK(table.header ==
        std::vector<std::string>{"bag", "label", "prediction", "probability_0", "probability_1", "probability_2"});
  REQUIRE(table.size() == 3);
  for (std::int64_t i = 0; i < 3; ++i) {
    const auto at = static_cast<std::size_t>(i);
    CHECK(table.text(i, 0) == name_of(i));
    CHECK(table.integer(i, 1) == evaluation.labels[at]);
    CHECK(table.integer(i, 2) == evaluation.predictions[at]);
    for (std::int64_t c = 0; c < 3; ++c)
      CHECK(table.number(i, 3 + c) == evaluation.probabilities[at * 3 + static_cast<std::size_t>(c)]);
  }
}

TEST_CASE("predictions of a cross-validation name repeat, fold and bag") {
  const file out;
  train::cross_validation_result all;
  all.folds.resize(2);
  all.folds[0] = {.repeat = 0, .fold = 1, .test = {4, 1, 0}, .result = three_bags(), .history = {}};
  all.folds[1] = {.repeat = 1, .fold = 0, .test = {2, 3, 5}, .result = three_bags(), .history = {}};
  train::write_predictions(out.path, all, name_of);
  const auto table = data::read_csv(out.path);
  REQUIRE(table.size() == 6);
  CHECK(table.header[0] == "repeat");
  CHECK(table.header[1] == "fold");
  CHECK(table.rows[0] == std::vector<std::string>{"1", "2", "bag 4", "0", "0", "0.7", "0.2", "0.1"});
  CHECK(table.rows[1][2] == "a, \"b\"");
  CHECK(table.rows[5] ==
        std::vector<std::string>{"2", "1", "bag 5", "1", "1", table.rows[2][5], table.rows[2][6], table.rows[2][7]});
}

TEST_CASE("predictions that do not fit together are refused, and nothing is written") {
  const file out;
  const auto refused = [&](auto change) {
    auto evaluation = three_bags();
    change(evaluation);
    CHECK_THROWS_AS(train::write_predictions(out.path, evaluation, name_of), std::invalid_argument);
    train::cross_validation_result all;
    all.folds.push_back({.test = {0, 1, 2}, .result = three_bags(), .history = {}});
    all.folds.push_back({.test = {0, 1, 2}, .result = evaluation, .history = {}});
    CHECK_THROWS_AS(train::write_predictions(out.path, all, name_of), std::invalid_argument);
  };
  refused([](auto& e) { e = {}; });
  refused([](auto& e) { e.predictions.pop_back(); });
  refused([](auto& e) { e.probabilities.pop_back(); });
  refused([](auto& e) { e.probabilities.clear(); });
  train::cross_validation_result none, short_fold;
  short_fold.folds.push_back({.test = {0, 1}, .result = three_bags(), .history = {}});
  CHECK_THROWS_AS(train::write_predictions(out.path, none, name_of), value_error);
  CHECK_THROWS_AS(train::write_predictions(out.path, short_fold, name_of), shape_error);
  CHECK_FALSE(std::filesystem::exists(out.path));
  CHECK_THROWS_AS(train::write_predictions(out.folder.path() / "none" / "p.csv", three_bags(), name_of), io_error);
}
