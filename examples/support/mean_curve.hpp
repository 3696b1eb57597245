#pragma once
// Figures over the epochs, mean of the folds.

#include <string>
#include <vector>

#include <milkit/train/cross_validation.hpp>

namespace example {

// The mean of a figure over the folds, epoch by epoch: of the folds that have such an epoch; those without a value are left
// out of the mean. A fold has a `history`.
template <class Folds>
std::vector<double> mean_curve(const Folds& folds, const std::string& name) {
  std::vector<double> mean;
  for (std::size_t e = 0;; ++e) {
    std::vector<double> values;
    for (const auto& fold : folds)
      if (const auto& column = fold.history.column(name); e < column.size()) values.push_back(column[e]);
    if (values.empty()) return mean;
    mean.push_back(milkit::train::mean_of(values).mean);
  }
}

}  // namespace example
