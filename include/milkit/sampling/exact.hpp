#pragma once

#include <milkit/sampling/sampler.hpp>

namespace milkit::sampling {

/// Every item with its probability: F = Phi, with the exact gradient, whatever number of draws is asked for. For small
/// images, and what the others are held against.
struct exact {
  static constexpr bool repeats = true;
  ops::draw_rule rule() const { return {}; }

  template <class Backend, class T, class Space>
  drawn<T, Space> draw(Backend& backend, const distributions<T, Space>& of, vector_view<const std::int64_t>, drawing,
                       random_stream) const {
    const auto all = detail::host_table<std::int64_t>(backend, of.count(), [&](std::int64_t) { return of.p.cols(); });
    const distributions<T, Space> whole{of.p, of.rows, of.numbers};
    return detail::without_repeats(
        backend, whole, vector_view<const std::int64_t>(all), rule(),
        [&](const auto& list, auto items) { ops::most_likely_items(backend, of.p, list, items); });
  }
};

}  // namespace milkit::sampling
