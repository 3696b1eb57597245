#pragma once

#include <milkit/train/predictions.hpp>

namespace milkit::train::detail {

MILKIT_INLINE std::size_t classes_of(const evaluation& result) {
  constexpr const char* op = "milkit::train::write_predictions";
  const std::size_t bags = result.labels.size(), numbers = result.probabilities.size();
  expect_value(bags > 0, op, "there are no bags");
  expect_extent(op, "predictions", length(result.predictions), length(result.labels));
  expect_value(numbers > 0 && numbers % bags == 0, op, "there are ", numbers, " probabilities of ", bags,
               " bags, expected as many of each bag");
  return numbers / bags;
}

MILKIT_INLINE std::vector<std::string> prediction_header(std::vector<std::string> first, std::size_t classes) {
  for (const char* each : {"bag", "label", "prediction"}) first.push_back(each);
  for (std::size_t c = 0; c < classes; ++c) first.push_back(message("probability_", c));
  return first;
}

}  // namespace milkit::train::detail
