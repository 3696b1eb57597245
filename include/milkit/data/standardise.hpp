#pragma once

#include <cmath>
#include <cstdint>
#include <span>
#include <vector>

#include <milkit/data/bags.hpp>

namespace milkit::data {

/// Mean and deviation of features, taken from some rows and applied to any: x -> (x - mean) / deviation. A feature that
/// is constant there is only shifted. Sums in double, by Welford's recurrence.
class standardiser {
 public:
  explicit standardiser(std::int64_t features)
      : mean_(static_cast<std::size_t>(features)), square_(static_cast<std::size_t>(features)) {}

  std::int64_t features() const { return static_cast<std::int64_t>(mean_.size()); }
  double mean(std::int64_t j) const { return mean_[static_cast<std::size_t>(j)]; }
  /// 1 / deviation; 1 for a constant feature.
  double scale(std::int64_t j) const {
    const double deviation = count_ > 0 ? std::sqrt(square_[static_cast<std::size_t>(j)] / count_) : 0;
    return deviation > 0 ? 1 / deviation : 1.0;
  }

  /// Takes rows into account. Errors: shape_error for another number of features.
  void add(matrix_view<const float> rows) {
    expect_extent("milkit::data::standardiser", "features", rows.cols(), features());
    for (std::int64_t i = 0; i < rows.rows(); ++i) {
      ++count_;
      for (std::int64_t j = 0; j < rows.cols(); ++j) {
        const auto at = static_cast<std::size_t>(j);
        const double x = static_cast<double>(rows(i, j)), delta = x - mean_[at];
        mean_[at] += delta / count_;
        square_[at] += delta * (x - mean_[at]);
      }
    }
  }

  void apply(matrix_view<float> rows) const { apply(rows, rows); }
  /// The same into `out`, which may be `rows`. Errors: shape_error for another number of features or another shape.
  void apply(matrix_view<const float> rows, matrix_view<float> out) const {
    constexpr auto op = "milkit::data::standardiser";
    expect_extent(op, "features", rows.cols(), features());
    expect_extent(op, "rows of the output", out.rows(), rows.rows());
    expect_extent(op, "features of the output", out.cols(), features());
    std::vector<double> scales(mean_.size());
    for (std::int64_t j = 0; j < features(); ++j) scales[static_cast<std::size_t>(j)] = scale(j);
    for (std::int64_t i = 0; i < rows.rows(); ++i)
      for (std::size_t j = 0; j < scales.size(); ++j) {
        const auto column = static_cast<std::int64_t>(j);
        out(i, column) = static_cast<float>((static_cast<double>(rows(i, column)) - mean_[j]) * scales[j]);
      }
  }

  /// Makes a linear layer that was trained on standardised features take them as they are: W[:, j] *= scale_j, and then
  /// b -= W mean, so that W x + b is what it was. Shapes: weight [out, features], bias [out].
  void fold_into(matrix_view<float> weight, vector_view<float> bias) const {
    expect_extent("milkit::data::standardiser", "columns of the weight", weight.cols(), features());
    expect_extent("milkit::data::standardiser", "extent of the bias", bias.extent(0), weight.rows());
    for (std::int64_t o = 0; o < weight.rows(); ++o) {
      double shift = 0;
      for (std::int64_t j = 0; j < weight.cols(); ++j) {
        const double scaled = static_cast<double>(weight(o, j)) * scale(j);
        weight(o, j) = static_cast<float>(scaled);
        shift += mean(j) * scaled;
      }
      bias(o) = static_cast<float>(static_cast<double>(bias(o)) - shift);
    }
  }

 private:
  double count_ = 0;
  std::vector<double> mean_, square_;
};

/// A copy of the bags in which every feature has mean 0 and deviation 1 over the instances of `fit_on` (indices of
/// bags: the training part, so that nothing of the test part is seen). A feature that is constant there is only
/// shifted. Errors: value_error for an empty `fit_on` or an index that is no bag.
inline bag_table standardised(const bag_table& bags, std::span<const std::int64_t> fit_on) {
  constexpr auto op = "milkit::data::standardised";
  expect_value(!fit_on.empty(), op, "there are no bags to take mean and deviation from");
  standardiser how(bags.features());
  for (const std::int64_t b : fit_on) {
    expect_value(b >= 0 && b < bags.bags(), op, "index ", b, " is outside the ", bags.bags(), " bags");
    how.add(bags.bag(b));
  }
  bag_table result{bags.instances.clone(), bags.offsets, bags.labels, bags.names, bags.instance_names, bags.ignored};
  how.apply(result.instances.view());
  return result;
}

}  // namespace milkit::data
