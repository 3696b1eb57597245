#include <doctest/doctest.h>

#include <milkit/data/safetensors.hpp>
#include <milkit/train/metrics.hpp>

#include <reference/metrics.hpp>
#include <support/close.hpp>
#include <support/paths.hpp>

using namespace milkit;
using train::auroc;
using integers = std::vector<std::int64_t>;
using numbers = std::vector<double>;

namespace {

/// Scores with many ties, and labels of `classes` classes that lean on them.
struct sample {
  numbers scores;
  integers labels;
  sample(std::int64_t n, std::uint64_t seed, std::uint64_t steps, std::int64_t classes = 2) {
    const random_stream stream(seed, 0, 0);
    for (std::uint64_t i = 0; i < static_cast<std::uint64_t>(n); ++i) {
      const auto level = stream.below(steps, i, 0);
      scores.push_back(static_cast<double>(level) - 3.0);
      const bool follow = stream.below(2, i, 1) == 0;
      const auto free = static_cast<std::int64_t>(stream.below(static_cast<std::uint64_t>(classes), i, 2));
      labels.push_back(follow ? static_cast<std::int64_t>(level * static_cast<std::uint64_t>(classes) / steps) : free);
    }
  }
};

}  // namespace

TEST_CASE("golden confusion, accuracies and F1") {
  const data::safetensors_reader file(test::golden_file("core_metrics.safetensors"));
  const auto want = file.read<std::int64_t, 2>("confusion");
  const train::confusion_matrix c(file.read<std::int64_t>("label").values, file.read<std::int64_t>("prediction").values,
                                  want.rows());
  for (std::int64_t t = 0; t < want.rows(); ++t)
    for (std::int64_t p = 0; p < want.rows(); ++p) CHECK(c.count(t, p) == want.view()(t, p));
  CHECK(test::relative_error(numbers{train::accuracy(c)}, file.read<double, 1>("accuracy")) <= 1e-10);
  CHECK(test::relative_error(numbers{train::balanced_accuracy(c)}, file.read<double, 1>("balanced_accuracy")) <= 1e-10);
  CHECK(test::relative_error(train::f1(c), file.read<double, 1>("f1")) <= 1e-10);
  CHECK(test::relative_error(numbers{train::macro_f1(c)}, file.read<double, 1>("f1_macro")) <= 1e-10);
  CHECK(test::relative_error(numbers{train::weighted_f1(c)}, file.read<double, 1>("f1_weighted")) <= 1e-10);
}

TEST_CASE("golden AUROC with ties, of two classes and one against the rest") {
  const data::safetensors_reader file(test::golden_file("core_auroc.safetensors"));
  const auto class_scores = file.read<double, 2>("class_scores");
  const integers class_label = file.read<std::int64_t>("class_label").values;
  CHECK(
      test::relative_error(numbers{auroc(file.read<double>("scores").values, file.read<std::int64_t>("label").values)},
                           file.read<double, 1>("auroc")) <= 1e-10);
  CHECK(test::relative_error(train::auroc_per_class(class_scores.view(), class_label),
                             file.read<double, 1>("auroc_class")) <= 1e-10);
  CHECK(test::relative_error(numbers{train::macro_auroc(class_scores.view(), class_label)},
                             file.read<double, 1>("auroc_macro")) <= 1e-10);
}

TEST_CASE("AUROC agrees with its definition over all pairs") {
  for (const std::int64_t n : {2, 31, 33, 257, 1000})
    for (const std::uint64_t steps : {2u, 7u, 1000000u}) {
      const sample s(n, 3, steps);
      const double got = auroc(s.scores, s.labels), want = reference::auroc(s.scores, s.labels);
      if (std::isnan(want)) CHECK(std::isnan(got));
      else CHECK(test::close(got, want, {0, 1e-13}));
    }
}

TEST_CASE("AUROC does not feel order, shift or scale, and turns with the sign") {
  const sample s(257, 5, 9);
  const double want = auroc(s.scores, s.labels);
  CHECK(want > 0.6);  // the labels lean on the scores
  CHECK(want < 0.95);
  sample reversed = s, moved = s, negated = s;
  std::reverse(reversed.scores.begin(), reversed.scores.end());
  std::reverse(reversed.labels.begin(), reversed.labels.end());
  for (double& each : moved.scores) each = 4 * each + 1024;
  for (double& each : negated.scores) each = -each;
  CHECK(auroc(reversed.scores, reversed.labels) == want);
  CHECK(auroc(moved.scores, moved.labels) == want);
  CHECK(test::close(auroc(negated.scores, negated.labels), 1 - want, {0, 1e-14}));
}

TEST_CASE("auroc: perfect, reversed, equal scores, one class -> 1, 0, 1/2, undefined") {
  CHECK(auroc(numbers{1, 2, 3, 4}, integers{0, 0, 1, 1}) == 1);
  CHECK(auroc(numbers{1, 2, 3, 4}, integers{1, 1, 0, 0}) == 0);
  CHECK(auroc(numbers{5, 5, 5}, integers{0, 1, 1}) == 0.5);
  CHECK(auroc(numbers{-HUGE_VAL, 0, HUGE_VAL, HUGE_VAL}, integers{0, 1, 1, 0}) == 0.625);
  CHECK(auroc(numbers{-0.0, 0.0}, integers{0, 1}) == 0.5);
  CHECK(std::isnan(auroc(numbers{1, 2}, integers{1, 1})));
  CHECK(std::isnan(auroc(numbers{1}, integers{0})));
}

TEST_CASE("auroc: 2 10^6 scores -> a moment, where looking at every pair would take an hour") {
  const sample s(2000000, 1, 5000);
  CHECK(auroc(s.scores, s.labels) > 0.6);  // a half follow the score: 0.75 but for chance
}

TEST_CASE("F1 agrees with precision and recall") {
  const sample s(200, 9, 40, 5), other(200, 10, 40, 5);
  const train::confusion_matrix c(s.labels, other.labels, 5);
  for (std::int64_t k = 0; k < 5; ++k)
    CHECK(test::close(train::f1(c)[static_cast<std::size_t>(k)], reference::f1(s.labels, other.labels, k),
                      {1e-15, 1e-13}));
}

TEST_CASE("metrics of absent classes are undefined and leave the means alone") {
  // class 1 neither occurs nor is predicted, class 2 is predicted but does not occur
  const train::confusion_matrix c(integers{0, 0, 0, 3}, integers{0, 0, 2, 3}, 4);
  CHECK(c.support(0) == 3);
  CHECK(c.predicted(2) == 1);
  CHECK(std::isnan(train::recall(c)[1]));
  CHECK(std::isnan(train::recall(c)[2]));
  CHECK(test::close(train::balanced_accuracy(c), (2.0 / 3 + 1) / 2, {0, 1e-14}));
  const numbers f1 = train::f1(c);
  CHECK(test::close(f1[0], 0.8, {0, 1e-14}));
  CHECK(std::isnan(f1[1]));
  CHECK(f1[2] == 0);
  CHECK(f1[3] == 1);
  CHECK(test::close(train::macro_f1(c), 0.6, {0, 1e-14}));
  CHECK(test::close(train::weighted_f1(c), (0.8 * 3 + 1) / 4, {0, 1e-14}));

  const numbers scores = {0.1, 0.5, 0.4, 0.7, 0.2, 0.1, 0.2, 0.3, 0.5};
  const matrix_view<const double> view(scores.data(), shape<2>{3, 3});
  const numbers per_class = train::auroc_per_class(view, integers{0, 1, 1});
  CHECK(per_class[0] == 0);
  CHECK(per_class[1] == 0);
  CHECK(std::isnan(per_class[2]));
  CHECK(train::macro_auroc(view, integers{0, 1, 1}) == 0);
  CHECK(std::isnan(train::macro_auroc(view, integers{1, 1, 1})));
}

TEST_CASE("predicted_classes takes the highest, of ties the lowest class") {
  const numbers scores = {1, 3, 3, 2, 2, 2, -HUGE_VAL, -5, -7};
  CHECK(train::predicted_classes({scores.data(), shape<2>{3, 3}}) == integers{1, 0, 1});
}

TEST_CASE("log_loss is the mean of -log p, with a floor under p") {
  const numbers p = {0.5, 0.5, 0.2, 0.8, 1, 0};
  const matrix_view<const double> view(p.data(), shape<2>{3, 2});
  CHECK(test::close(train::log_loss(view, integers{0, 1, 0}), -(std::log(0.5) + std::log(0.8)) / 3, {0, 1e-14}));
  const double certain_and_wrong = train::log_loss(view, integers{0, 1, 1});
  CHECK(test::close(certain_and_wrong, -(std::log(0.5) + std::log(0.8) + std::log(0x1p-52)) / 3, {0, 1e-14}));
  const numbers logits = {2, -1}, halves = {0.5, 0.25}, bad = {std::nan(""), 1};
  CHECK_THROWS_AS(train::log_loss({logits.data(), shape<2>{1, 2}}, integers{0}), value_error);
  CHECK_THROWS_AS(train::log_loss({halves.data(), shape<2>{1, 2}}, integers{0}), value_error);
  CHECK_THROWS_AS(train::log_loss({bad.data(), shape<2>{1, 2}}, integers{1}), value_error);
  CHECK_THROWS_AS(train::log_loss({halves.data(), shape<2>{0, 2}}, integers{}), value_error);
  CHECK_THROWS_AS(train::log_loss(view, integers{0, 2, 0}), value_error);
}

TEST_CASE("metrics refuse empty input, labels outside the classes, NaN, and different sizes") {
  CHECK_THROWS_AS(train::accuracy(train::confusion_matrix(2)), value_error);
  CHECK_THROWS_AS(train::balanced_accuracy(train::confusion_matrix(2)), value_error);
  CHECK_THROWS_AS(train::macro_f1(train::confusion_matrix(2)), value_error);
  CHECK_THROWS_AS(train::weighted_f1(train::confusion_matrix(2)), value_error);
  CHECK_THROWS_AS(train::confusion_matrix(0), value_error);
  CHECK_THROWS_AS(auroc({}, {}), value_error);
  train::confusion_matrix c(3);
  CHECK_THROWS_WITH_AS(c.add(3, 0), "milkit::train::confusion_matrix: label is 3, expected 0 to 2", value_error);
  CHECK_THROWS_AS(c.add(0, -1), value_error);
  CHECK(c.total() == 0);
  CHECK_THROWS_WITH_AS(auroc(numbers{1, 2}, integers{0, 2}), "milkit::train::auroc: label is 2, expected 0 to 1",
                       value_error);
  CHECK_THROWS_WITH_AS(auroc(numbers{1, std::nan("")}, integers{0, 1}), "milkit::train::auroc: score 1 is NaN",
                       value_error);
  CHECK_THROWS_AS(auroc(numbers{1, 2}, integers{0}), shape_error);
  CHECK_THROWS_AS(train::confusion_matrix(integers{0}, integers{0, 1}, 2), shape_error);
  const numbers nan = {0.1, std::nan("")};
  CHECK_THROWS_AS(train::predicted_classes({nan.data(), shape<2>{1, 2}}), value_error);
  CHECK_THROWS_AS(train::auroc_per_class({nan.data(), shape<2>{1, 2}}, integers{2}), value_error);
}

TEST_CASE("bootstrap_interval: of a mean -> the width of theory, the same for a seed") {
  numbers x;
  const random_stream stream(11, 0, 0);
  for (std::uint64_t i = 0; i < 400; ++i) x.push_back(stream.normal<double>(i, 0));
  const auto mean = [&](std::span<const std::int64_t> indices) {
    double sum = 0;
    for (const std::int64_t i : indices) sum += x[static_cast<std::size_t>(i)];
    return sum / static_cast<double>(indices.size());
  };
  const train::bootstrap_options options{.resamples = 8000, .confidence = 0.9, .seed = 4};
  const auto got = train::bootstrap_interval(400, mean, options), again = train::bootstrap_interval(400, mean, options);
  CHECK(got.low == again.low);
  CHECK(got.high == again.high);
  CHECK(got.defined == 8000);
  double sum = 0, squares = 0;
  for (const double each : x) sum += each, squares += each * each;
  const double deviation = std::sqrt(squares / 400 - sum / 400 * sum / 400) / 20;
  // The 5 % quantile of 8000 numbers has the standard error sqrt(0.05 0.95 / 8000) / 0.103 = 0.024 deviations: 8 of these.
  CHECK(test::close(got.low, sum / 400 - 1.645 * deviation, {0.2 * deviation, 0}));
  CHECK(test::close(got.high, sum / 400 + 1.645 * deviation, {0.2 * deviation, 0}));
  const auto other = train::bootstrap_interval(400, mean, {.resamples = 8000, .confidence = 0.9, .seed = 5});
  CHECK(other.low != got.low);
}

TEST_CASE("bootstrap_interval interpolates between order statistics") {
  int call = 0;
  const auto counter = [&](std::span<const std::int64_t>) { return static_cast<double>(call++); };
  const auto got = train::bootstrap_interval(3, counter, {.resamples = 101, .confidence = 0.5});
  CHECK(got.low == 25);
  CHECK(got.high == 75);
}

TEST_CASE("bootstrap_interval leaves undefined resamples out and counts the others") {
  const numbers scores = {1, 2, 3};
  const integers labels = {0, 1, 1};
  const auto statistic = [&](std::span<const std::int64_t> indices) {
    numbers s;
    integers l;
    for (const std::int64_t i : indices) {
      s.push_back(scores[static_cast<std::size_t>(i)]);
      l.push_back(labels[static_cast<std::size_t>(i)]);
    }
    return auroc(s, l);
  };
  const auto got = train::bootstrap_interval(3, statistic);
  CHECK(got.defined > 500);  // 1 - (2/3)^3 - (1/3)^3 = 2/3 of 1000
  CHECK(got.defined < 800);
  CHECK(got.low == 1);
  const auto none = train::bootstrap_interval(3, [](auto) { return train::undefined; });
  CHECK(none.defined == 0);
  CHECK(std::isnan(none.low));
  CHECK_THROWS_AS(train::bootstrap_interval(0, statistic), value_error);
  CHECK_THROWS_AS(train::bootstrap_interval(3, statistic, {.resamples = 0}), value_error);
  CHECK_THROWS_AS(train::bootstrap_interval(3, statistic, {.resamples = 10, .confidence = 1}), value_error);
}
