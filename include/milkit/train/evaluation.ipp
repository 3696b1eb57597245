#pragma once

#include <algorithm>
#include <cmath>

#include <milkit/train/evaluation.hpp>
#include <milkit/train/metrics.hpp>

namespace milkit::train::detail {

MILKIT_INLINE void evaluation_builder::add(std::int64_t label, std::span<const double> probabilities, double loss,
                                           double weight) {
  if (weight != 0) {
    total_ += weight * loss;
    total_weight_ += weight;
  }
  result_.labels.push_back(label);
  result_.predictions.push_back(std::max_element(probabilities.begin(), probabilities.end()) - probabilities.begin());
  result_.probabilities.insert(result_.probabilities.end(), probabilities.begin(), probabilities.end());
}

MILKIT_INLINE evaluation evaluation_builder::finish() {
  confusion_matrix confusion(classes_);
  for (std::size_t i = 0; i < result_.labels.size(); ++i) confusion.add(result_.labels[i], result_.predictions[i]);
  const auto bags = static_cast<std::int64_t>(result_.labels.size());
  result_.loss = total_weight_ > 0 ? total_ / total_weight_ : undefined;
  result_.accuracy = accuracy(confusion);
  result_.auroc =
      macro_auroc(matrix_view<const double>(result_.probabilities.data(), {bags, classes_}), result_.labels);
  return std::move(result_);
}

MILKIT_INLINE validation_result validation_of(const evaluation& result, criterion best_by) {
  expect_value(best_by != criterion::auroc || !std::isnan(result.auroc), "milkit::train::trainer",
               "the AUROC to judge by is undefined: the validation bags are all of one class");
  const double scores[] = {-result.loss, result.accuracy, result.auroc};
  return {.figures = {{"validation_loss", result.loss},
                      {"validation_accuracy", result.accuracy},
                      {"validation_auroc", result.auroc}},
          .loss = result.loss,
          .score = scores[static_cast<int>(best_by)]};
}

}  // namespace milkit::train::detail
