#pragma once

#include <milkit/sampling/sampler.hpp>

namespace milkit::sampling {

/// Distinct draws, each proportional to p among what is left (Plackett-Luce), by Gumbel top-n, and F = sum_k c_k
/// f_{I_k} with the weights of `estimator` (ops/selection/draws/weights.hpp; docs/papers/zoom_in.md 2.4, 2.5). The
/// default is unbiased, forward and backward, and has at most the variance of `ordered` in every component; with as
/// many draws as items it is exact. Most likely: the n largest p. More draws than items are an error: `clamp_draws`
/// before. Cost: a random number an item and row.
struct without_replacement {
  ops::draw_estimator estimator = ops::draw_estimator::unordered;
  bool last = false;  ///< with `ordered` and `score`: all weight on the last draw
  ops::draw_law law = ops::draw_law::p;

  static constexpr bool repeats = false;
  ops::draw_rule rule() const { return {estimator, last}; }

  template <class Backend, class T, class Space>
  drawn<T, Space> draw(Backend& backend, const distributions<T, Space>& of, vector_view<const std::int64_t> draws,
                       drawing how, random_stream random) const {
    return detail::without_repeats(backend, of, draws, rule(), [&](const auto& list, auto items) {
      if (how == drawing::most_likely) return ops::most_likely_items(backend, of.p, list, items);
      ops::draw_items(backend, ops::drawn_uniforms{random}, law, of.p, list, detail::numbers_of(backend, of), items);
    });
  }
};

}  // namespace milkit::sampling
