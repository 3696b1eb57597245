#pragma once

#include <milkit/loss/loss.hpp>
#include <milkit/ops/training/cross_entropy.hpp>

namespace milkit::loss {

/// Binary cross-entropy of one logit a bag, logits [bags, 1]: the mean of -(p y log s(z) + (1 - y) log(1 - s(z))), s
/// the logistic function, y the label 0 or 1, p = `positive_weight`. In log space: no overflow for any finite logits.
struct binary_cross_entropy {
  double positive_weight = 1;

  double weight(std::int64_t) const { return 1; }
  std::string settings() const { return message("binary cross-entropy, positive weight ", positive_weight); }

  std::int64_t columns(std::int64_t classes) const {
    expect_value(classes == 2, "milkit::loss::binary_cross_entropy", "there are ", classes, " classes, expected 2");
    return 1;
  }
  std::vector<double> probabilities(std::span<const double> logits) const {
    const double rest = std::exp(-std::abs(logits[0])) / (1 + std::exp(-std::abs(logits[0])));
    return logits[0] >= 0 ? std::vector{rest, 1 - rest} : std::vector{1 - rest, rest};
  }

  template <backend Backend, class Logits, class Losses, class Dlogits>
  double evaluate(Backend& backend, Logits logits, vector_view<const std::int64_t> labels, double scale, Losses losses,
                  Dlogits dlogits) const {
    using T = typename Logits::value_type;
    constexpr const char* op = "milkit::loss::binary_cross_entropy";
    expect_value(positive_weight >= 0 && std::isfinite(positive_weight), op, "positive_weight is ", positive_weight,
                 ", expected a finite number of at least 0");
    expect_labels(op, labels, 2);
    expect_extent(op, "columns of the logits", logits.cols(), 1);
    const auto bags = static_cast<double>(labels.extent(0));
    using Space = typename Backend::space;
    const auto column = [](auto m) {
      return vector_view<typename decltype(m)::element_type, Space>(m.data(), {m.rows()}, m.stride());
    };
    const auto scope = backend.workspace.scope();
    ops::binary_cross_entropy(backend, column(logits), to_backend(backend, labels), positive_weight, scale / bags,
                              losses, dlogits.absent() ? vector_view<T, Space>() : column(dlogits));
    return bags;
  }
};

}  // namespace milkit::loss
