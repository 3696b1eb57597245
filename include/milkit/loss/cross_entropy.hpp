#pragma once

#include <algorithm>

#include <milkit/loss/loss.hpp>
#include <milkit/ops/training/cross_entropy.hpp>

namespace milkit::loss {

/// Cross-entropy of class logits [bags, classes]: L = sum_b w_b l_b / sum_b w_b with l_b = log sum_c exp z_bc -
/// z_b,label_b and w_b the weight of the label's class (all 1 where `class_weight` is empty). As in PyTorch, a batch of
/// one does not feel the weights. In log space: no overflow for any finite logits. Errors: value_error for a weight
/// that is negative or not finite, and where the weights of all labels are 0.
struct cross_entropy {
  std::vector<double> class_weight = {};

  double weight(std::int64_t label) const {
    return label >= 0 && label < static_cast<std::int64_t>(class_weight.size())
               ? class_weight[static_cast<std::size_t>(label)]
               : 1.0;
  }
  std::string settings() const {
    std::string text = "cross-entropy";
    for (const double each : class_weight) text += message(text.size() > 13 ? " " : ", class weights ", each);
    return text;
  }

  std::int64_t columns(std::int64_t classes) const { return classes; }
  std::vector<double> probabilities(std::span<const double> logits) const {
    const double peak = *std::max_element(logits.begin(), logits.end());
    std::vector<double> p(logits.size());
    double mass = 0;
    for (std::size_t c = 0; c < p.size(); ++c) mass += p[c] = std::exp(logits[c] - peak);
    for (double& each : p) each /= mass;
    return p;
  }

  template <backend Backend, class Logits, class Losses, class Dlogits>
  double evaluate(Backend& backend, Logits logits, vector_view<const std::int64_t> labels, double scale, Losses losses,
                  Dlogits dlogits) const {
    constexpr const char* op = "milkit::loss::cross_entropy";
    expect_labels(op, labels, logits.cols());
    const vector_view<const double> weights =
        class_weight.empty()
            ? vector_view<const double>()
            : vector_view<const double>(class_weight.data(), {static_cast<std::int64_t>(class_weight.size())});
    if (!weights.absent()) expect_extent(op, "entries of class_weight", weights.extent(0), logits.cols());
    for (std::size_t c = 0; c < class_weight.size(); ++c)
      expect_value(class_weight[c] >= 0 && std::isfinite(class_weight[c]), op, "class_weight[", c, "] is ",
                   class_weight[c], ", expected a finite number of at least 0");
    double total_weight = 0;
    for (std::int64_t b = 0; b < labels.extent(0); ++b) total_weight += weights.absent() ? 1.0 : weights(labels(b));
    expect_value(total_weight > 0, op, "the weights of the labels sum to ", total_weight, ", expected more than 0");
    const auto scope = backend.workspace.scope();
    ops::cross_entropy(backend, logits, to_backend(backend, labels), to_backend(backend, weights), scale / total_weight,
                       losses, dlogits);
    return total_weight;
  }
};

}  // namespace milkit::loss
