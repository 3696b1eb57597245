#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <numeric>
#include <span>
#include <utility>
#include <vector>

#include <milkit/core/error.hpp>
#include <milkit/core/random.hpp>
#include <milkit/core/view.hpp>

namespace milkit::train {

/// The value of a metric where it is not defined (a class that does not occur, ...). It is never a silent 0.
inline constexpr double undefined = std::numeric_limits<double>::quiet_NaN();

namespace detail {

inline void expect_class(std::string_view op, std::string_view what, std::int64_t got, std::int64_t classes) {
  expect_value(got >= 0 && got < classes, op, what, " is ", got, ", expected 0 to ", classes - 1);
}

/// The mean of the values that are defined; undefined where none is.
inline double mean_of_defined(std::span<const double> values) {
  double sum = 0;
  std::int64_t count = 0;
  for (const double value : values)
    if (!std::isnan(value)) sum += value, ++count;
  return count > 0 ? sum / static_cast<double>(count) : undefined;
}

inline std::int64_t length(const auto& range) { return static_cast<std::int64_t>(range.size()); }
inline std::size_t at(std::int64_t i) { return static_cast<std::size_t>(i); }

}  // namespace detail

/// Counts of (true class, predicted class). `confusion_matrix c(3); c.add(label, prediction);`
/// Errors: value_error for fewer than 1 class and for a label or prediction outside the classes (not counted then).
class confusion_matrix {
 public:
  explicit confusion_matrix(std::int64_t classes) : classes_(classes) {
    expect_value(classes >= 1, "milkit::train::confusion_matrix", "classes is ", classes, ", expected at least 1");
    counts_.assign(detail::at(classes * classes), 0);
  }
  confusion_matrix(std::span<const std::int64_t> labels, std::span<const std::int64_t> predictions,
                   std::int64_t classes)
      : confusion_matrix(classes) {
    expect_extent("milkit::train::confusion_matrix", "predictions.size()", detail::length(predictions),
                  detail::length(labels));
    for (std::size_t i = 0; i < labels.size(); ++i) add(labels[i], predictions[i]);
  }

  void add(std::int64_t label, std::int64_t prediction) {
    detail::expect_class("milkit::train::confusion_matrix", "label", label, classes_);
    detail::expect_class("milkit::train::confusion_matrix", "prediction", prediction, classes_);
    ++counts_[detail::at(label * classes_ + prediction)];
  }

  std::int64_t classes() const { return classes_; }
  std::int64_t count(std::int64_t label, std::int64_t prediction) const {
    return counts_[detail::at(label * classes_ + prediction)];
  }
  /// Instances of a true class; predictions of a class; all of them.
  std::int64_t support(std::int64_t label) const {
    std::int64_t sum = 0;
    for (std::int64_t p = 0; p < classes_; ++p) sum += count(label, p);
    return sum;
  }
  std::int64_t predicted(std::int64_t prediction) const {
    std::int64_t sum = 0;
    for (std::int64_t t = 0; t < classes_; ++t) sum += count(t, prediction);
    return sum;
  }
  std::int64_t total() const { return std::accumulate(counts_.begin(), counts_.end(), std::int64_t{0}); }

 private:
  std::int64_t classes_;
  std::vector<std::int64_t> counts_;
};

/// The share of right predictions. Errors: value_error where nothing was counted, as in all metrics here.
inline double accuracy(const confusion_matrix& c) {
  expect_value(c.total() > 0, "milkit::train::accuracy", "counted 0 instances, expected at least 1");
  std::int64_t right = 0;
  for (std::int64_t k = 0; k < c.classes(); ++k) right += c.count(k, k);
  return static_cast<double>(right) / static_cast<double>(c.total());
}

/// Recall of each class, TP / (TP + FN); undefined for a class that does not occur.
inline std::vector<double> recall(const confusion_matrix& c) {
  std::vector<double> values(detail::at(c.classes()), undefined);
  for (std::int64_t k = 0; k < c.classes(); ++k)
    if (c.support(k) > 0)
      values[detail::at(k)] = static_cast<double>(c.count(k, k)) / static_cast<double>(c.support(k));
  return values;
}

/// The mean recall of the classes that occur.
inline double balanced_accuracy(const confusion_matrix& c) {
  expect_value(c.total() > 0, "milkit::train::balanced_accuracy", "counted 0 instances, expected at least 1");
  return detail::mean_of_defined(recall(c));
}

/// F1 of each class, 2 TP / (2 TP + FP + FN); undefined for a class that neither occurs nor is predicted.
inline std::vector<double> f1(const confusion_matrix& c) {
  std::vector<double> values(detail::at(c.classes()), undefined);
  for (std::int64_t k = 0; k < c.classes(); ++k) {
    const std::int64_t both = c.support(k) + c.predicted(k);
    if (both > 0) values[detail::at(k)] = 2 * static_cast<double>(c.count(k, k)) / static_cast<double>(both);
  }
  return values;
}

/// The mean F1 of the classes that occur or are predicted.
inline double macro_f1(const confusion_matrix& c) {
  expect_value(c.total() > 0, "milkit::train::macro_f1", "counted 0 instances, expected at least 1");
  return detail::mean_of_defined(f1(c));
}

/// The mean F1, each class weighted by its true instances; a class that does not occur has no weight.
inline double weighted_f1(const confusion_matrix& c) {
  expect_value(c.total() > 0, "milkit::train::weighted_f1", "counted 0 instances, expected at least 1");
  const std::vector<double> values = f1(c);
  double sum = 0;
  for (std::int64_t k = 0; k < c.classes(); ++k)
    if (c.support(k) > 0) sum += values[detail::at(k)] * static_cast<double>(c.support(k));
  return sum / static_cast<double>(c.total());
}

/// The class of the highest score of each row of [n, classes]; of equal ones the lower class.
/// Errors: value_error for no classes or a NaN.
inline std::vector<std::int64_t> predicted_classes(matrix_view<const double> scores) {
  expect_value(scores.cols() >= 1, "milkit::train::predicted_classes", "classes is ", scores.cols(),
               ", expected at least 1");
  std::vector<std::int64_t> classes(detail::at(scores.rows()));
  for (std::int64_t i = 0; i < scores.rows(); ++i) {
    const std::span<const double> row(scores.row(i), detail::at(scores.cols()));
    for (const double score : row)
      expect_value(!std::isnan(score), "milkit::train::predicted_classes", "scores of row ", i, " hold NaN");
    classes[detail::at(i)] = std::max_element(row.begin(), row.end()) - row.begin();
  }
  return classes;
}

/// Area under the ROC curve: the share of (positive, negative) pairs whose scores are in the right order, a tie
/// counting one half. Labels are 0 and 1. Undefined where one of them does not occur. Infinite scores are ranked like
/// others. Cost: O(n log n) time, O(n) memory; the pairs are counted in integers, so the result is exact up to one
/// rounding. Errors: value_error for no scores, a NaN, or another label; shape_error for different sizes.
inline double auroc(std::span<const double> scores, std::span<const std::int64_t> labels) {
  expect_extent("milkit::train::auroc", "labels.size()", detail::length(labels), detail::length(scores));
  expect_value(!scores.empty(), "milkit::train::auroc", "got 0 scores, expected at least 1");
  std::vector<std::pair<double, std::int64_t>> sorted;
  sorted.reserve(scores.size());
  for (std::size_t i = 0; i < scores.size(); ++i) {
    expect_value(!std::isnan(scores[i]), "milkit::train::auroc", "score ", i, " is NaN");
    detail::expect_class("milkit::train::auroc", "label", labels[i], 2);
    sorted.emplace_back(scores[i], labels[i]);
  }
  std::sort(sorted.begin(), sorted.end());
  std::int64_t below[2] = {0, 0};
  std::int64_t halves = 0;  // a pair in the right order counts 2, a tie 1
  for (auto first = sorted.begin(); first != sorted.end();) {
    std::int64_t tied[2] = {0, 0};
    for (const double score = first->first; first != sorted.end() && first->first == score; ++first)
      ++tied[first->second];
    halves += tied[1] * (2 * below[0] + tied[0]);
    below[0] += tied[0];
    below[1] += tied[1];
  }
  const double pairs = static_cast<double>(below[0]) * static_cast<double>(below[1]);
  return pairs > 0 ? static_cast<double>(halves) / (2 * pairs) : undefined;
}

/// AUROC of each class against the rest, by its column of the scores [n, classes]; undefined for a class that does not
/// occur or that all are. Errors as `auroc`, and value_error for a label outside the classes.
inline std::vector<double> auroc_per_class(matrix_view<const double> scores, std::span<const std::int64_t> labels) {
  expect_extent("milkit::train::auroc_per_class", "labels.size()", detail::length(labels), scores.rows());
  for (const std::int64_t label : labels)
    detail::expect_class("milkit::train::auroc_per_class", "label", label, scores.cols());
  std::vector<double> values, column(labels.size());
  std::vector<std::int64_t> is_class(labels.size());
  for (std::int64_t k = 0; k < scores.cols(); ++k) {
    for (std::int64_t i = 0; i < scores.rows(); ++i) {
      column[detail::at(i)] = scores(i, k);
      is_class[detail::at(i)] = labels[detail::at(i)] == k;
    }
    values.push_back(auroc(column, is_class));
  }
  return values;
}

/// The mean of `auroc_per_class` over the classes where it is defined; undefined where it is for none.
inline double macro_auroc(matrix_view<const double> scores, std::span<const std::int64_t> labels) {
  return detail::mean_of_defined(auroc_per_class(scores, labels));
}

/// -mean_i log p_i[label_i] of probabilities [n, classes]. A probability below 2.2e-16 counts as that, so one wrong
/// certainty costs 36 and not infinity. Errors: value_error for no rows, a label outside the classes, a probability
/// outside [0, 1] or NaN, or a row whose sum is farther than 1e-4 from 1 (logits, for example).
inline double log_loss(matrix_view<const double> probabilities, std::span<const std::int64_t> labels) {
  expect_extent("milkit::train::log_loss", "labels.size()", detail::length(labels), probabilities.rows());
  expect_value(!labels.empty(), "milkit::train::log_loss", "got 0 rows, expected at least 1");
  double sum = 0;
  for (std::int64_t i = 0; i < probabilities.rows(); ++i) {
    double mass = 0;
    for (std::int64_t k = 0; k < probabilities.cols(); ++k) {
      const double p = probabilities(i, k);
      expect_value(p >= 0 && p <= 1, "milkit::train::log_loss", "probability [", i, ", ", k, "] is ", p,
                   ", expected 0 to 1");
      mass += p;
    }
    expect_value(std::abs(mass - 1) <= 1e-4, "milkit::train::log_loss", "row ", i, " sums to ", mass, ", expected 1");
    detail::expect_class("milkit::train::log_loss", "label", labels[detail::at(i)], probabilities.cols());
    const double p = probabilities(i, labels[detail::at(i)]);
    sum -= std::log((std::max)(p, std::numeric_limits<double>::epsilon()));
  }
  return sum / static_cast<double>(labels.size());
}

struct bootstrap_options {
  std::int64_t resamples = 1000;
  double confidence = 0.95;
  std::uint64_t seed = 0;
};

/// An interval of a statistic. `defined` is the number of resamples on which the statistic was defined; the others (one
/// class only, ...) are left out. Where there is none, both ends are undefined.
struct interval {
  double low = undefined;
  double high = undefined;
  std::int64_t defined = 0;
};

/// Bootstrap percentile interval (Efron 1979): `statistic(indices)` on n indices drawn from 0 .. n - 1 with
/// replacement, many times; the ends are the quantiles (1 -+ confidence) / 2, interpolated linearly between order
/// statistics. The same seed gives the same interval. Cost: `resamples` calls. Errors: value_error for n < 1, resamples
/// < 1, or a confidence outside (0, 1).
template <class Statistic>
interval bootstrap_interval(std::int64_t n, Statistic&& statistic, const bootstrap_options& options = {}) {
  constexpr auto op = "milkit::train::bootstrap_interval";
  expect_value(n >= 1, op, "n is ", n, ", expected at least 1");
  expect_value(options.resamples >= 1, op, "resamples is ", options.resamples, ", expected at least 1");
  expect_value(options.confidence > 0 && options.confidence < 1, op, "confidence is ", options.confidence,
               ", expected above 0 and below 1");
  const random_stream draws(options.seed, 0, 0x626F6F74);
  std::vector<std::int64_t> indices(detail::at(n));
  std::vector<double> values;
  for (std::int64_t r = 0; r < options.resamples; ++r) {
    for (std::int64_t i = 0; i < n; ++i)
      indices[detail::at(i)] = static_cast<std::int64_t>(
          draws.below(static_cast<std::uint64_t>(n), static_cast<std::uint64_t>(r), static_cast<std::uint64_t>(i)));
    const double value = statistic(std::span<const std::int64_t>(indices));
    if (!std::isnan(value)) values.push_back(value);
  }
  if (values.empty()) return {};
  std::sort(values.begin(), values.end());
  const auto quantile = [&](double q) {
    const double position = q * static_cast<double>(values.size() - 1);
    const auto lower = static_cast<std::size_t>(position);
    const std::size_t upper = (std::min)(lower + 1, values.size() - 1);
    return std::lerp(values[lower], values[upper], position - static_cast<double>(lower));
  };
  const double tail = (1 - options.confidence) / 2;
  return {quantile(tail), quantile(1 - tail), detail::length(values)};
}

}  // namespace milkit::train
