#pragma once

#include <milkit/core/cpu.hpp>

/// Losses. A loss is a small value; its options are members. It works on a batch of bags, with labels on the host:
///
///     double value(backend, logits, labels) const;                               // the mean over the batch
///     double value_and_gradient(backend, logits, labels, scale, dlogits) const;  // and dlogits = scale
///     d(mean)/d(logits) double evaluate(backend, logits, labels, scale, losses, dlogits) const;    // the same, and
///     nothing waits: losses [bags], in
///                                                                                // the backend's memory, over the
///                                                                                returned sum
///     double weight(label) const;                                                // a bag's share in that mean, before
///     its sum is 1 std::string settings() const;                                              // its name with its
///     options, for checkpoints
///
/// so that a trainer may see one bag at a time (scale weight / sum of the step's weights) or a ragged batch. Errors:
/// value_error for a label outside the classes (naming the row, the label and the number of classes) and for an empty
/// batch.
namespace milkit::loss {

/// Throws value_error unless there is a label and each is one of `classes`.
inline void expect_labels(std::string_view op, vector_view<const std::int64_t> labels, std::int64_t classes) {
  expect_value(labels.extent(0) > 0, op, "the batch is empty, expected at least one bag");
  for (std::int64_t b = 0; b < labels.extent(0); ++b)
    expect_value(labels(b) >= 0 && labels(b) < classes, op, "label ", labels(b), " of bag ", b, " is outside the ",
                 classes, " classes, expected 0 to ", classes - 1);
}

/// `value` and `value_and_gradient` of a loss, from its `evaluate`.
template <class Loss, class Backend, class Logits, class Dlogits>
double mean_loss(const Loss& loss, Backend& backend, Logits logits, vector_view<const std::int64_t> labels,
                 double scale, Dlogits dlogits) {
  const auto scope = backend.workspace.scope();
  const auto losses = backend.workspace.template allocate<double>(labels.extent(0));
  const double total = loss.evaluate(backend, logits, labels, scale, losses, dlogits);
  const auto host = to_host(backend, vector_view<const double, typename Backend::space>(losses));
  double sum = 0;
  for (std::int64_t b = 0; b < host.extent(0) && !backend.workspace.planning(); ++b) sum += host(b);
  return sum / total;
}

}  // namespace milkit::loss
