#pragma once

#include <cmath>
#include <span>
#include <string>
#include <vector>

#include <milkit/core/cpu.hpp>

// clang-format off
/// Losses. A loss is a small value; its options are members. It works on a batch of bags, with labels on the host:
///
///     std::int64_t columns(std::int64_t classes) const;   // logits that a bag has; value_error for classes it cannot tell
///     double evaluate(backend, logits, labels, scale, losses, dlogits) const;
///     double weight(label) const;                         // a bag's share in the mean, before their sum is 1; 0: none
///     std::vector<double> probabilities(std::span<const double> logits) const;   // of the classes, from a bag's logits
///     std::string settings() const;                       // its name with its options, for checkpoints
///
/// `evaluate` queues its work and waits for nothing: `losses` [bags], in the backend's memory, get the bags' losses times
/// their weights, `dlogits` (where it is not absent) `scale` times the gradient of their mean, and the sum of the weights is
/// returned. `loss::value` and `loss::value_and_gradient` wait for that mean. A trainer may see one bag at a time (scale: its
/// weight over the sum of the step's) or a ragged batch. Errors: value_error for a label outside the classes (naming the bag,
/// the label and the number of classes) and for an empty batch.
// clang-format on
namespace milkit::loss {

/// Throws value_error unless there is a label and each is one of `classes`.
inline void expect_labels(std::string_view op, vector_view<const std::int64_t> labels, std::int64_t classes) {
  expect_value(labels.extent(0) > 0, op, "the batch is empty, expected at least one bag");
  for (std::int64_t b = 0; b < labels.extent(0); ++b)
    expect_value(labels(b) >= 0 && labels(b) < classes, op, "label ", labels(b), " of bag ", b, " is outside the ",
                 classes, " classes, expected 0 to ", classes - 1);
}

/// The mean loss over a batch, and dlogits = scale d(mean)/d(logits).
template <class Loss, backend Backend, class Logits, class Dlogits>
double value_and_gradient(const Loss& loss, Backend& backend, Logits logits, vector_view<const std::int64_t> labels,
                          double scale, Dlogits dlogits) {
  const auto scope = backend.workspace.scope();
  const auto losses = backend.workspace.template allocate<double>(labels.extent(0));
  const double total = loss.evaluate(backend, logits, labels, scale, losses, dlogits);
  const auto host = to_host(backend, vector_view<const double, typename Backend::space>(losses));
  double sum = 0;
  for (std::int64_t b = 0; b < host.extent(0) && !backend.workspace.planning(); ++b) sum += host(b);
  return sum / total;
}

/// The mean loss over a batch.
template <class Loss, backend Backend, class Logits>
double value(const Loss& loss, Backend& backend, Logits logits, vector_view<const std::int64_t> labels) {
  return value_and_gradient(loss, backend, logits, labels, 0,
                            matrix_view<typename Logits::value_type, typename Backend::space>());
}

}  // namespace milkit::loss
