#pragma once

#include <milkit/sampling/sampler.hpp>

namespace milkit::sampling {

/// The n most likely items, by decreasing p, weighted by p over their sum; the gradient is the exact one of that sum
/// for this choice. An ablation: no chance, and biased.
struct top_n {
  static constexpr bool repeats = false;
  ops::draw_rule rule() const { return {ops::draw_estimator::renormalised}; }

  template <class Backend, class T, class Space>
  drawn<T, Space> draw(Backend& backend, const distributions<T, Space>& of, vector_view<const std::int64_t> draws,
                       drawing, random_stream) const {
    return detail::without_repeats(backend, of, draws, rule(), [&](const auto& list, auto items) {
      ops::most_likely_items(backend, of.p, list, items);
    });
  }
};

}  // namespace milkit::sampling
