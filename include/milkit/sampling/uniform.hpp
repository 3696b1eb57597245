#pragma once

#include <milkit/ops/rows/fill.hpp>
#include <milkit/sampling/sampler.hpp>

namespace milkit::sampling {

/// n distinct items, all equally likely whatever p is, and their mean: the ablation without attention. No gradient
/// reaches p. In inference it draws too.
struct uniform {
  static constexpr bool repeats = false;
  ops::draw_rule rule() const { return {ops::draw_estimator::mean}; }

  template <class Backend, class T, class Space>
  drawn<T, Space> draw(Backend& backend, const distributions<T, Space>& of, vector_view<const std::int64_t> draws,
                       drawing, random_stream random) const {
    const auto alike = backend.workspace.template allocate<T>(of.p.shape());
    ops::fill(backend, alike, static_cast<T>(1.0 / static_cast<double>(of.p.cols())));
    const distributions<T, Space> all{alike, of.rows, of.numbers, of.most};
    return detail::without_repeats(backend, all, draws, rule(), [&](const auto& list, auto items) {
      ops::draw_items(backend, ops::drawn_uniforms{random}, ops::draw_law::p, all.p, list,
                      detail::numbers_of(backend, of), items);
    });
  }
};

}  // namespace milkit::sampling
