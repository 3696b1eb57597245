#pragma once

#include <cmath>
#include <cstdint>
#include <vector>

namespace milkit::reference {

struct loss_values {
  double loss = 0;
  std::vector<double> gradient;
};

/// -log of the label's probability and its gradient, in long double, by dividing exponentials: for moderate logits.
inline loss_values cross_entropy(const std::vector<double>& logits, std::size_t label, double weight) {
  long double mass = 0;
  for (const double z : logits) mass += std::exp(static_cast<long double>(z));
  loss_values result;
  result.loss = static_cast<double>(-weight * std::log(std::exp(static_cast<long double>(logits[label])) / mass));
  for (std::size_t c = 0; c < logits.size(); ++c) {
    const long double probability = std::exp(static_cast<long double>(logits[c])) / mass;
    result.gradient.push_back(static_cast<double>(weight * (probability - (c == label ? 1 : 0))));
  }
  return result;
}

inline loss_values binary_cross_entropy(double logit, bool label, double positive_weight) {
  const long double s = 1 / (1 + std::exp(-static_cast<long double>(logit)));
  if (label)
    return {static_cast<double>(-positive_weight * std::log(s)), {static_cast<double>(positive_weight * (s - 1))}};
  return {static_cast<double>(-std::log(1 - s)), {static_cast<double>(s)}};
}

}  // namespace milkit::reference
