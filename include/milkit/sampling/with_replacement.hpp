#pragma once

#include <milkit/sampling/counts.hpp>
#include <milkit/sampling/sampler.hpp>

namespace milkit::sampling {

/// n independent draws: counts n_i ~ Multinomial(n, p), F = sum_i n_i / n f_i (docs/papers/zoom_in.md 2.4, 2.6).
/// Unbiased, as is the gradient dL / d log p_i = n_i / n <u, f_i>. `Stratified` draws one number from each n-th of [0,
/// 1) instead: the same means, counts that lie within 2 of n p_i, and mostly less variance; not always, where a later
/// stage draws from what was drawn. Most likely: largest remainder. Cost: O(items + n log items) a row; the counts come
/// to the host.
template <bool Stratified>
struct basic_with_replacement {
  static constexpr bool repeats = true;
  ops::draw_rule rule() const { return {}; }

  template <class Backend, class T, class Space>
  drawn<T, Space> draw(Backend& backend, const distributions<T, Space>& of, vector_view<const std::int64_t> draws,
                       drawing how, random_stream random) const {
    const std::int64_t rows = of.count(), items = of.p.cols();
    const auto counts = backend.workspace.template allocate_on_host<std::int64_t>(rows * items);
    for (std::int64_t s = 0; s < rows; ++s) {
      const auto row = vector_view<const T, Space>(
          of.p.row(backend.workspace.planning() || of.rows.absent() ? s : of.rows(s)), {items});
      const vector_view<std::int64_t> own(counts.data() + s * items, {items});
      draw_row(backend, row, draws, s, own, how,
               random.child(static_cast<std::uint64_t>(
                   of.numbers.absent() || backend.workspace.planning() ? s : of.numbers(s))));
    }
    return detail::with_counts(backend, of,
                               [&](std::int64_t s, std::int64_t i) -> std::int64_t { return counts(s * items + i); });
  }

 private:
  template <class Backend, class Row>
  static void draw_row(Backend& backend, Row p, vector_view<const std::int64_t> draws, std::int64_t s,
                       vector_view<std::int64_t> counts, drawing how, random_stream random) {
    const auto scope = backend.workspace.scope();
    const bool planning = backend.workspace.planning();
    if (how == drawing::most_likely) {
      const auto host = to_host(backend, p);
      if (planning) return;
      std::int64_t nan = 0;
      while (nan < host.extent(0) && host(nan) == host(nan)) ++nan;
      if (nan == host.extent(0)) largest_remainder(host, draws(s), {}, counts);
      else
        for (std::int64_t i = 0; i < host.extent(0); ++i) counts(i) = i == nan ? -draws(s) : 0;
      return;
    }
    const auto drawn = backend.workspace.template allocate<std::int64_t>(counts.extent(0));
    ops::draw_counts(backend, ops::drawn_uniforms{random}, p, planning ? 1 : draws(s), Stratified, drawn);
    const auto host = to_host(backend, vector_view<const std::int64_t, typename Backend::space>(drawn));
    for (std::int64_t i = 0; i < counts.extent(0) && !planning; ++i) counts(i) = host(i);
  }
};
using with_replacement = basic_with_replacement<false>;
using stratified = basic_with_replacement<true>;

}  // namespace milkit::sampling
