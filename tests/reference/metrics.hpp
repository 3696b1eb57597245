#pragma once

#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

namespace milkit::reference {

/// By definition: over all pairs of a positive and a negative, one half for a tie. NaN without pairs.
inline double auroc(const std::vector<double>& scores, const std::vector<std::int64_t>& labels) {
  double sum = 0, pairs = 0;
  for (std::size_t i = 0; i < scores.size(); ++i)
    for (std::size_t j = 0; j < scores.size(); ++j)
      if (labels[i] == 1 && labels[j] == 0) {
        pairs += 1;
        sum += scores[i] > scores[j] ? 1 : scores[i] == scores[j] ? 0.5 : 0;
      }
  return pairs > 0 ? sum / pairs : std::numeric_limits<double>::quiet_NaN();
}

/// Precision and recall first, then their harmonic mean; NaN where the class neither occurs nor is predicted.
inline double f1(const std::vector<std::int64_t>& labels, const std::vector<std::int64_t>& predictions,
                 std::int64_t k) {
  double hits = 0, occurs = 0, predicted = 0;
  for (std::size_t i = 0; i < labels.size(); ++i) {
    if (labels[i] == k) occurs += 1;
    if (predictions[i] == k) predicted += 1;
    if (labels[i] == k && predictions[i] == k) hits += 1;
  }
  if (occurs + predicted == 0) return std::numeric_limits<double>::quiet_NaN();
  if (hits == 0) return 0;
  const double precision = hits / predicted, recall = hits / occurs;
  return 2 * precision * recall / (precision + recall);
}

}  // namespace milkit::reference
