#pragma once

#include <milkit/core/backend.hpp>

namespace milkit::ops {

namespace detail {
template <class Backend>
struct softmax_impl {
  static_assert(dependent_false<Backend>,
                "milkit::ops::softmax: no implementation for this backend here; include "
                "<milkit/ops/rows/softmax_cpu.hpp> for cpu "
                "or <milkit/ops/rows/softmax_cuda.cuh> for cuda");
};
template <class Backend>
struct softmax_backward_impl {
  static_assert(dependent_false<Backend>,
                "milkit::ops::softmax_backward: no implementation for this backend here; include "
                "<milkit/ops/rows/softmax_cpu.hpp> for cpu or <milkit/ops/rows/softmax_cuda.cuh> for cuda");
};

/// One shape for x, y and their gradients, and one log-sum-exp for each row or segment; absent ones are left out.
template <class X, class Y, class Lse>
void expect_softmax(std::string_view op, X x, Y y, Lse log_sum_exp, std::int64_t sums) {
  if (!y.absent()) expect_shape(op, "y", y, x.shape());
  if (!log_sum_exp.absent()) expect_extent(op, "extent of log_sum_exp", log_sum_exp.extent(0), sums);
}
template <class Y, class Dy, class Dlse, class Dx>
void expect_softmax_backward(std::string_view op, Y y, Dy dy, Dlse dlog_sum_exp, Dx dx, std::int64_t sums) {
  if (!dy.absent()) expect_shape(op, "dy", dy, y.shape());
  if (!dlog_sum_exp.absent()) expect_extent(op, "extent of dlog_sum_exp", dlog_sum_exp.extent(0), sums);
  expect_shape(op, "dx", dx, y.shape());
}
inline void expect_segments(std::string_view op, std::int64_t offsets) {
  if (offsets < 1)
    throw shape_error(message(op, ": extent of offsets is ", offsets, ", expected 1 + the number of segments"));
}
}  // namespace detail

/// Softmax and log-sum-exp of each row: l_i = log sum_j exp x_ij, y_ij = exp(x_ij - l_i).
/// Shapes: x [n, m], y [n, m] or absent, log_sum_exp [n] or absent; y may be x. No overflow for any finite x; sums in
/// double. A row without mass (m = 0, or every entry -infinity): y is 0, l is -infinity. A row with NaN or +infinity:
/// NaN in all of y and, for NaN, in l; for +infinity l is +infinity. Cost: O(n m), on cpu one thread a row.
template <backend Backend, class X, class Y, class LogSumExp>
requires resident_on<X, Backend> && resident_on<Y, Backend> && resident_on<LogSumExp, Backend>
void softmax(Backend& backend, X x, Y y, LogSumExp log_sum_exp) {
  using T = typename X::value_type;
  using Space = typename Backend::space;
  detail::expect_softmax("milkit::ops::softmax", x, y, log_sum_exp, x.rows());
  execute<detail::softmax_impl>(backend, matrix_view<const T, Space>(x), matrix_view<T, Space>(y),
                                vector_view<T, Space>(log_sum_exp));
}

/// dx_ij = y_ij (dy_ij - sum_k dy_ik y_ik + dl_i) from the softmax y [n, m], dy [n, m] or absent, dl [n] or absent; dx
/// [n, m] may be dy. A row without mass gets 0.
template <backend Backend, class Y, class Dy, class DlogSumExp, class Dx>
requires resident_on<Y, Backend> && resident_on<Dy, Backend> && resident_on<DlogSumExp, Backend> &&
    resident_on<Dx, Backend>
void softmax_backward(Backend& backend, Y y, Dy dy, DlogSumExp dlog_sum_exp, Dx dx) {
  using T = typename Dx::value_type;
  using Space = typename Backend::space;
  detail::expect_softmax_backward("milkit::ops::softmax_backward", y, dy, dlog_sum_exp, dx, y.rows());
  execute<detail::softmax_backward_impl>(backend, matrix_view<const T, Space>(y), matrix_view<const T, Space>(dy),
                                         vector_view<const T, Space>(dlog_sum_exp), matrix_view<T, Space>(dx));
}

/// The same within each segment of a vector: segment b is x[offsets[b]] to x[offsets[b + 1] - 1].
/// Shapes: offsets [segments + 1], x [n], y [n] or absent, log_sum_exp [segments] or absent; elements may lie apart (a
/// column of a matrix). An empty segment has the log-sum-exp -infinity. Errors: shape_error; on cpu value_error unless
/// the offsets ascend from 0 to n.
template <backend Backend, class Offsets, class X, class Y, class LogSumExp>
requires resident_on<Offsets, Backend> && resident_on<X, Backend> && resident_on<Y, Backend> &&
    resident_on<LogSumExp, Backend>
void segment_softmax(Backend& backend, Offsets offsets, X x, Y y, LogSumExp log_sum_exp) {
  using T = typename X::value_type;
  using Space = typename Backend::space;
  detail::expect_segments("milkit::ops::segment_softmax", offsets.extent(0));
  detail::expect_softmax("milkit::ops::segment_softmax", x, y, log_sum_exp, offsets.extent(0) - 1);
  execute<detail::softmax_impl>(backend, vector_view<const std::int64_t, Space>(offsets),
                                vector_view<const T, Space>(x), vector_view<T, Space>(y),
                                vector_view<T, Space>(log_sum_exp));
}

/// Backward of `segment_softmax`, as `softmax_backward`: y, dy, dx [n], dlog_sum_exp [segments].
template <backend Backend, class Offsets, class Y, class Dy, class DlogSumExp, class Dx>
requires resident_on<Offsets, Backend> && resident_on<Y, Backend> && resident_on<Dy, Backend> &&
    resident_on<Dx, Backend>
void segment_softmax_backward(Backend& backend, Offsets offsets, Y y, Dy dy, DlogSumExp dlog_sum_exp, Dx dx) {
  using T = typename Dx::value_type;
  using Space = typename Backend::space;
  detail::expect_segments("milkit::ops::segment_softmax_backward", offsets.extent(0));
  detail::expect_softmax_backward("milkit::ops::segment_softmax_backward", y, dy, dlog_sum_exp, dx,
                                  offsets.extent(0) - 1);
  execute<detail::softmax_backward_impl>(backend, vector_view<const std::int64_t, Space>(offsets),
                                         vector_view<const T, Space>(y), vector_view<const T, Space>(dy),
                                         vector_view<const T, Space>(dlog_sum_exp), vector_view<T, Space>(dx));
}

}  // namespace milkit::ops
