#pragma once

#include <milkit/ops/rows/fill.hpp>
#include <milkit/topk/topk.hpp>

namespace milkit::topk {

/// K instances uniformly at random and without replacement, by ascending index, whatever the scores are: the ablation
/// RANDOM (docs/papers/zoommil.md 3). Drawn from the pass' random stream, in inference as in training: the same stream
/// draws the
/// same instances, so that each slide wants its own (`infer` and `predict` of a network take one). No gradient reaches
/// the scores: dscores is 0. Cost: 64 random bits an instance.
struct random {
  static constexpr bool differentiable = false;

  std::int64_t k = 1;

  template <class Backend, class Scores>
  auto select(Backend& backend, Scores scores, const pass& pass) const {
    const std::int64_t n = scores.extent(0);
    return detail::select_single<Scores>(backend, "milkit::topk::random", n, k,
                                         [&](auto columns) { ops::random_topk(backend, pass.random, n, columns); });
  }
  template <class Backend, class Scores, class Selection, class Dweights, class Dscores>
  void select_backward(Backend& backend, Scores, const Selection&, Dweights, Dscores dscores, const pass&) const {
    ops::fill(backend, dscores, typename Dscores::value_type(0));
  }
};

}  // namespace milkit::topk
