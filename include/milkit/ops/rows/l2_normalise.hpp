#pragma once

#include <milkit/core/backend.hpp>

namespace milkit::ops {

namespace detail {
template <class Backend>
struct l2_normalise_impl {
  static_assert(dependent_false<Backend>,
                "milkit::ops::l2_normalise: no implementation for this backend here; include "
                "<milkit/ops/rows/l2_normalise_cpu.hpp> for cpu or <milkit/ops/rows/l2_normalise_cuda.cuh> for cuda");
};
template <class Backend>
struct l2_normalise_backward_impl {
  static_assert(dependent_false<Backend>,
                "milkit::ops::l2_normalise_backward: no implementation for this backend here; include "
                "<milkit/ops/rows/l2_normalise_cpu.hpp> for cpu or <milkit/ops/rows/l2_normalise_cuda.cuh> for cuda");
};

inline constexpr double least_norm = 1e-12;
/// What a row of this norm is divided by; NaN stays.
MILKIT_HD inline double norm_divisor(double norm) { return norm < least_norm ? least_norm : norm; }
}  // namespace detail

/// Rows of length 1: y_i = x_i / max(|x_i|, 1e-12), as PyTorch's `normalize` has it; a row of zeros stays zeros. Shapes: x
/// [n, d], y [n, d] (may be x), norms [n]: |x_i| in double, which `l2_normalise_backward` needs. NaN in a row: NaN in all of
/// it. Sums in double. Cost: O(n d). Errors: shape_error.
template <backend Backend, class X, class Y, class Norms>
requires resident_on<X, Backend> && resident_on<Y, Backend> && resident_on<Norms, Backend>
void l2_normalise(Backend& backend, X x, Y y, Norms norms) {
  using T = typename Y::value_type;
  using Space = typename Backend::space;
  constexpr const char* op = "milkit::ops::l2_normalise";
  expect_shape(op, "y", y, x.shape());
  expect_extent(op, "extent of norms", norms.extent(0), x.rows());
  execute<detail::l2_normalise_impl>(backend, matrix_view<const T, Space>(x), matrix_view<T, Space>(y),
                                     vector_view<double, Space>(norms));
}

/// dx_i = (dy_i - y_i <y_i, dy_i>) / |x_i|, and dy_i / 1e-12 where |x_i| < 1e-12, from y and norms of `l2_normalise`; dx
/// may be dy.
template <backend Backend, class Y, class Norms, class Dy, class Dx>
requires resident_on<Y, Backend> && resident_on<Norms, Backend> && resident_on<Dy, Backend> && resident_on<Dx, Backend>
void l2_normalise_backward(Backend& backend, Y y, Norms norms, Dy dy, Dx dx) {
  using T = typename Dx::value_type;
  using Space = typename Backend::space;
  constexpr const char* op = "milkit::ops::l2_normalise_backward";
  expect_extent(op, "extent of norms", norms.extent(0), y.rows());
  expect_shape(op, "dy", dy, y.shape());
  expect_shape(op, "dx", dx, y.shape());
  execute<detail::l2_normalise_backward_impl>(backend, matrix_view<const T, Space>(y),
                                              vector_view<const double, Space>(norms), matrix_view<const T, Space>(dy),
                                              matrix_view<T, Space>(dx));
}

}  // namespace milkit::ops
