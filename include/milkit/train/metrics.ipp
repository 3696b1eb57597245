#pragma once

#include <milkit/train/metrics.hpp>

namespace milkit::train::detail {

MILKIT_INLINE void expect_class(std::string_view op, std::string_view what, std::int64_t got, std::int64_t classes) {
  expect_value(got >= 0 && got < classes, op, what, " is ", got, ", expected 0 to ", classes - 1);
}

MILKIT_INLINE double mean_of_defined(std::span<const double> values) {
  double sum = 0;
  std::int64_t count = 0;
  for (const double value : values)
    if (!std::isnan(value)) sum += value, ++count;
  return count > 0 ? sum / static_cast<double>(count) : undefined;
}

}  // namespace milkit::train::detail

namespace milkit::train {

MILKIT_INLINE confusion_matrix::confusion_matrix(std::int64_t classes) : classes_(classes) {
  expect_value(classes >= 1, "milkit::train::confusion_matrix", "classes is ", classes, ", expected at least 1");
  counts_.assign(detail::at(classes * classes), 0);
}

MILKIT_INLINE confusion_matrix::confusion_matrix(std::span<const std::int64_t> labels,
                                                 std::span<const std::int64_t> predictions, std::int64_t classes)
    : confusion_matrix(classes) {
  expect_extent("milkit::train::confusion_matrix", "predictions.size()", detail::length(predictions),
                detail::length(labels));
  for (std::size_t i = 0; i < labels.size(); ++i) add(labels[i], predictions[i]);
}

MILKIT_INLINE void confusion_matrix::add(std::int64_t label, std::int64_t prediction) {
  detail::expect_class("milkit::train::confusion_matrix", "label", label, classes_);
  detail::expect_class("milkit::train::confusion_matrix", "prediction", prediction, classes_);
  ++counts_[detail::at(label * classes_ + prediction)];
}

MILKIT_INLINE std::int64_t confusion_matrix::support(std::int64_t label) const {
  std::int64_t sum = 0;
  for (std::int64_t p = 0; p < classes_; ++p) sum += count(label, p);
  return sum;
}

MILKIT_INLINE std::int64_t confusion_matrix::predicted(std::int64_t prediction) const {
  std::int64_t sum = 0;
  for (std::int64_t t = 0; t < classes_; ++t) sum += count(t, prediction);
  return sum;
}

MILKIT_INLINE double accuracy(const confusion_matrix& c) {
  expect_value(c.total() > 0, "milkit::train::accuracy", "counted 0 instances, expected at least 1");
  std::int64_t right = 0;
  for (std::int64_t k = 0; k < c.classes(); ++k) right += c.count(k, k);
  return static_cast<double>(right) / static_cast<double>(c.total());
}

MILKIT_INLINE std::vector<double> recall(const confusion_matrix& c) {
  std::vector<double> values(detail::at(c.classes()), undefined);
  for (std::int64_t k = 0; k < c.classes(); ++k)
    if (c.support(k) > 0)
      values[detail::at(k)] = static_cast<double>(c.count(k, k)) / static_cast<double>(c.support(k));
  return values;
}

MILKIT_INLINE double balanced_accuracy(const confusion_matrix& c) {
  expect_value(c.total() > 0, "milkit::train::balanced_accuracy", "counted 0 instances, expected at least 1");
  return detail::mean_of_defined(recall(c));
}

MILKIT_INLINE std::vector<double> f1(const confusion_matrix& c) {
  std::vector<double> values(detail::at(c.classes()), undefined);
  for (std::int64_t k = 0; k < c.classes(); ++k) {
    const std::int64_t both = c.support(k) + c.predicted(k);
    if (both > 0) values[detail::at(k)] = 2 * static_cast<double>(c.count(k, k)) / static_cast<double>(both);
  }
  return values;
}

MILKIT_INLINE double macro_f1(const confusion_matrix& c) {
  expect_value(c.total() > 0, "milkit::train::macro_f1", "counted 0 instances, expected at least 1");
  return detail::mean_of_defined(f1(c));
}

MILKIT_INLINE double weighted_f1(const confusion_matrix& c) {
  expect_value(c.total() > 0, "milkit::train::weighted_f1", "counted 0 instances, expected at least 1");
  const std::vector<double> values = f1(c);
  double sum = 0;
  for (std::int64_t k = 0; k < c.classes(); ++k)
    if (c.support(k) > 0) sum += values[detail::at(k)] * static_cast<double>(c.support(k));
  return sum / static_cast<double>(c.total());
}

MILKIT_INLINE std::vector<std::int64_t> predicted_classes(matrix_view<const double> scores) {
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

MILKIT_INLINE double auroc(std::span<const double> scores, std::span<const std::int64_t> labels) {
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

MILKIT_INLINE std::vector<double> auroc_per_class(matrix_view<const double> scores,
                                                  std::span<const std::int64_t> labels) {
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

MILKIT_INLINE double macro_auroc(matrix_view<const double> scores, std::span<const std::int64_t> labels) {
  return detail::mean_of_defined(auroc_per_class(scores, labels));
}

MILKIT_INLINE double log_loss(matrix_view<const double> probabilities, std::span<const std::int64_t> labels) {
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

}  // namespace milkit::train
