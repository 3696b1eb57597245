#pragma once

#include <string>

#include <milkit/loss/loss.hpp>
#include <milkit/ops/cross_entropy.hpp>

namespace milkit::loss {

/// Binary cross-entropy of one logit a bag, logits [bags, 1]: the mean of -(p y log s(z) + (1 - y) log(1 - s(z))), s the
/// logistic function, y the label 0 or 1, p = `positive_weight`. In log space: no overflow for any finite logits.
struct binary_cross_entropy {
  double positive_weight = 1;

  double weight(std::int64_t) const { return 1; }
  std::string settings() const { return message("binary cross-entropy, positive weight ", positive_weight); }

  template <class Logits>
  double value(cpu& backend, Logits logits, vector_view<const std::int64_t> labels) const {
    return evaluate(backend, logits, labels, 0, matrix_view<typename Logits::value_type>());
  }
  template <class Logits, class Dlogits>
  double value_and_gradient(cpu& backend, Logits logits, vector_view<const std::int64_t> labels, double scale, Dlogits dlogits) const {
    return evaluate(backend, logits, labels, scale, dlogits);
  }

 private:
  template <class Logits, class Dlogits>
  double evaluate(cpu& backend, Logits logits, vector_view<const std::int64_t> labels, double scale, Dlogits dlogits) const {
    using T = typename Logits::value_type;
    constexpr const char* op = "milkit::loss::binary_cross_entropy";
    expect_labels(op, labels, 2);
    expect_extent(op, "columns of the logits", logits.cols(), 1);
    const auto bags = static_cast<double>(labels.extent(0));
    const auto scope = backend.workspace.scope();
    const auto losses = backend.workspace.template allocate<double>(labels.extent(0));
    const auto column = [](auto m) { return vector_view<typename decltype(m)::element_type>(m.data(), {m.rows()}, m.stride()); };
    ops::binary_cross_entropy(backend, column(logits), labels, positive_weight, scale / bags, losses,
                              dlogits.absent() ? vector_view<T>() : column(dlogits));
    double sum = 0;
    for (std::int64_t b = 0; b < losses.extent(0) && !backend.workspace.planning(); ++b) sum += losses(b);
    return sum / bags;
  }
};

}  // namespace milkit::loss
