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
#include <milkit/core/macros.hpp>
#include <milkit/core/random.hpp>
#include <milkit/core/view.hpp>

namespace milkit::train {

/// The value of a metric where it is not defined (a class that does not occur, ...). It is never a silent 0.
inline constexpr double undefined = std::numeric_limits<double>::quiet_NaN();

namespace detail {

MILKIT_INLINE void expect_class(std::string_view op, std::string_view what, std::int64_t got, std::int64_t classes);

/// The mean of the values that are defined; undefined where none is.
MILKIT_INLINE double mean_of_defined(std::span<const double> values);

inline std::int64_t length(const auto& range) { return static_cast<std::int64_t>(range.size()); }
inline std::size_t at(std::int64_t i) { return static_cast<std::size_t>(i); }

}  // namespace detail

/// Counts of (true class, predicted class). `confusion_matrix c(3); c.add(label, prediction);`
/// Errors: value_error for fewer than 1 class and for a label or prediction outside the classes (not counted then).
class confusion_matrix {
 public:
  MILKIT_INLINE explicit confusion_matrix(std::int64_t classes);
  MILKIT_INLINE confusion_matrix(std::span<const std::int64_t> labels, std::span<const std::int64_t> predictions,
                                 std::int64_t classes);

  MILKIT_INLINE void add(std::int64_t label, std::int64_t prediction);

  std::int64_t classes() const { return classes_; }
  std::int64_t count(std::int64_t label, std::int64_t prediction) const {
    return counts_[detail::at(label * classes_ + prediction)];
  }
  /// Instances of a true class; predictions of a class; all of them.
  MILKIT_INLINE std::int64_t support(std::int64_t label) const;
  MILKIT_INLINE std::int64_t predicted(std::int64_t prediction) const;
  std::int64_t total() const { return std::accumulate(counts_.begin(), counts_.end(), std::int64_t{0}); }

 private:
  std::int64_t classes_;
  std::vector<std::int64_t> counts_;
};

/// The share of right predictions. Errors: value_error where nothing was counted, as in all metrics here.
MILKIT_INLINE double accuracy(const confusion_matrix& c);

/// Recall of each class, TP / (TP + FN); undefined for a class that does not occur.
MILKIT_INLINE std::vector<double> recall(const confusion_matrix& c);

/// The mean recall of the classes that occur.
MILKIT_INLINE double balanced_accuracy(const confusion_matrix& c);

/// F1 of each class, 2 TP / (2 TP + FP + FN); undefined for a class that neither occurs nor is predicted.
MILKIT_INLINE std::vector<double> f1(const confusion_matrix& c);

/// The mean F1 of the classes that occur or are predicted.
MILKIT_INLINE double macro_f1(const confusion_matrix& c);

/// The mean F1, each class weighted by its true instances; a class that does not occur has no weight.
MILKIT_INLINE double weighted_f1(const confusion_matrix& c);

/// The class of the highest score of each row of [n, classes]; of equal ones the lower class.
/// Errors: value_error for no classes or a NaN.
MILKIT_INLINE std::vector<std::int64_t> predicted_classes(matrix_view<const double> scores);

/// Area under the ROC curve: the share of (positive, negative) pairs whose scores are in the right order, a tie
/// counting one half. Labels are 0 and 1. Undefined where one of them does not occur. Infinite scores are ranked like
/// others. Cost: O(n log n) time, O(n) memory; the pairs are counted in integers, so the result is exact up to one
/// rounding. Errors: value_error for no scores, a NaN, or another label; shape_error for different sizes.
MILKIT_INLINE double auroc(std::span<const double> scores, std::span<const std::int64_t> labels);

/// AUROC of each class against the rest, by its column of the scores [n, classes]; undefined for a class that does not
/// occur or that all are. Errors as `auroc`, and value_error for a label outside the classes.
MILKIT_INLINE std::vector<double> auroc_per_class(matrix_view<const double> scores,
                                                  std::span<const std::int64_t> labels);

/// The mean of `auroc_per_class` over the classes where it is defined; undefined where it is for none.
MILKIT_INLINE double macro_auroc(matrix_view<const double> scores, std::span<const std::int64_t> labels);

/// -mean_i log p_i[label_i] of probabilities [n, classes]. A probability below 2.2e-16 counts as that, so one wrong
/// certainty costs 36 and not infinity. Errors: value_error for no rows, a label outside the classes, a probability
/// outside [0, 1] or NaN, or a row whose sum is farther than 1e-4 from 1 (logits, for example).
MILKIT_INLINE double log_loss(matrix_view<const double> probabilities, std::span<const std::int64_t> labels);

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

#if !defined(MILKIT_COMPILED)
#include <milkit/train/metrics.ipp>
#endif
