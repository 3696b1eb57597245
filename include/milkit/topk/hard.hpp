#pragma once

#include <milkit/ops/rows/fill.hpp>
#include <milkit/topk/topk.hpp>

namespace milkit::topk {

/// The K largest scores by ascending index; the lower index first among equals (docs/papers/zoommil.md 4). T has a
/// single 1 a row.
/// No gradient reaches the scores: dscores is 0 (the paper's ablation NONDIFF). Cost: O(N + K log K).
struct hard {
  static constexpr bool differentiable = false;

  std::int64_t k = 1;

  template <class Backend, class Scores>
  auto select(Backend& backend, Scores scores, const pass&) const {
    return detail::select_hard(backend, "milkit::topk::hard", scores, k);
  }
  template <class Backend, class Scores, class Selection, class Dweights, class Dscores>
  void select_backward(Backend& backend, Scores, const Selection&, Dweights, Dscores dscores, const pass&) const {
    ops::fill(backend, dscores, typename Dscores::value_type(0));
  }
};

}  // namespace milkit::topk
