#pragma once

#include <string>

#include <milkit/loss/regulariser.hpp>
#include <milkit/ops/training/distribution_loss.hpp>

namespace milkit::loss {

/// Spreads attention (Katharopoulos & Fleuret 2019; Kong & Henao 2022): L = lambda sum_i p_i log p_i = -lambda H, with 0 log
/// 0 = 0; gradient in the logits lambda p_i (log p_i + H). A segment of one has neither. `official`: the official
/// code's lambda / K sum_i p_i log(p_i + 1e-6) of a segment of K, with its exact derivative. Errors: as
/// ops::distribution_loss.
struct entropy_regulariser {
  double lambda = 1e-5;
  bool official = false;

  std::string settings() const { return message(official ? "official entropy" : "entropy", ", lambda ", lambda); }

  template <backend Backend, class Offsets, class P, class Values, class Dlogits>
  void evaluate(Backend& backend, Offsets offsets, P p, double scale, Values values, Dlogits dlogits) const {
    const vector_view<const typename P::value_type, typename Backend::space> none;
    if (official)
      ops::distribution_loss(backend, ops::official_negative_entropy{lambda}, offsets, p, none, scale, values, dlogits);
    else ops::distribution_loss(backend, ops::negative_entropy{lambda}, offsets, p, none, scale, values, dlogits);
  }
};

}  // namespace milkit::loss
