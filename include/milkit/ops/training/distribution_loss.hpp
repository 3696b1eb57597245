#pragma once

#include <cmath>

#include <milkit/core/backend.hpp>
#include <milkit/ops/rows/softmax.hpp>

namespace milkit::ops {

/// What a loss on a distribution adds for an entry p of a segment of `count`, of which `mask` is the target: `value`, and
/// `slope`, p times the derivative of the value in p, which is 0 at p = 0. A multiple of p, the same for all entries, may be
/// left out of the slope: the logits do not feel it.
struct negative_entropy {
  double lambda = 1;  ///< lambda p log p, with 0 log 0 = 0
  MILKIT_HD double value(double p, double, std::int64_t) const {
    using std::log;
    return p == 0 ? 0.0 : lambda * p * log(p);
  }
  MILKIT_HD double slope(double p, double mask, std::int64_t count) const { return value(p, mask, count); }
};
/// As the official code of Zoom-In has it: lambda / count p log(p + 1e-6), with its exact derivative.
struct official_negative_entropy {
  double lambda = 1;
  MILKIT_HD double value(double p, double, std::int64_t count) const {
    using std::log;
    return lambda / static_cast<double>(count) * p * log(p + 1e-6);
  }
  MILKIT_HD double slope(double p, double, std::int64_t count) const {
    using std::log;
    const double shifted = p + 1e-6;
    return lambda / static_cast<double>(count) * p * (log(shifted) + p / shifted);
  }
};
/// (mask - p)^2.
struct squared_difference {
  MILKIT_HD double value(double p, double mask, std::int64_t) const { return (mask - p) * (mask - p); }
  MILKIT_HD double slope(double p, double mask, std::int64_t) const { return 2 * p * (p - mask); }
};

namespace detail {
template <class Backend>
struct distribution_loss_impl {
  static_assert(dependent_false<Backend>,
                "milkit::ops::distribution_loss: no implementation for this backend here; include "
                "<milkit/ops/training/distribution_loss_cpu.hpp> for cpu or "
                "<milkit/ops/training/distribution_loss_cuda.cuh> for cuda");
};
}  // namespace detail

/// The sum of a `function` (see `negative_entropy`) over the entries of each segment's distribution p, which is the softmax
/// of its logits (`segment_softmax`), and its gradient in the logits: values[b] = sum_i f.value(p_i), dlogits_i += scale (s_i
/// - p_i sum_j s_j) with s = f.slope(p). Shapes: offsets [segments + 1], p [n], mask [n] or absent (zeros), values
/// [segments] in double, dlogits [n] or absent. Elements may lie apart. Sums in double. An empty segment has the value 0, NaN
/// in a segment makes NaN of its value and gradient. Cost: O(n), on cpu one thread a segment. Errors: shape_error; on cpu
/// value_error unless the offsets ascend from 0 to n.
template <backend Backend, class Function, class Offsets, class P, class Mask, class Values, class Dlogits>
requires resident_on<Offsets, Backend> && resident_on<P, Backend> && resident_on<Mask, Backend> &&
    resident_on<Values, Backend> && resident_on<Dlogits, Backend>
void distribution_loss(Backend& backend, const Function& function, Offsets offsets, P p, Mask mask, double scale,
                       Values values, Dlogits dlogits) {
  using T = typename P::value_type;
  using Space = typename Backend::space;
  constexpr const char* op = "milkit::ops::distribution_loss";
  detail::expect_segments(op, offsets.extent(0));
  expect_extent(op, "extent of values", values.extent(0), offsets.extent(0) - 1);
  if (!mask.absent()) expect_extent(op, "extent of mask", mask.extent(0), p.extent(0));
  if (!dlogits.absent()) expect_extent(op, "extent of dlogits", dlogits.extent(0), p.extent(0));
  execute<detail::distribution_loss_impl>(backend, function, vector_view<const std::int64_t, Space>(offsets),
                                          vector_view<const T, Space>(p), vector_view<const T, Space>(mask), scale,
                                          vector_view<double, Space>(values), vector_view<T, Space>(dlogits));
}

}  // namespace milkit::ops
