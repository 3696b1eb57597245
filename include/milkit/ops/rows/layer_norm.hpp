#pragma once

#include <milkit/core/backend.hpp>

namespace milkit::ops {

namespace detail {
template <class Backend>
struct layer_norm_impl {
  static_assert(dependent_false<Backend>,
                "milkit::ops::layer_norm: no implementation for this backend here; include "
                "<milkit/ops/rows/layer_norm_cpu.hpp> for "
                "cpu or <milkit/ops/rows/layer_norm_cuda.cuh> for cuda");
};
template <class Backend>
struct layer_norm_backward_impl {
  static_assert(dependent_false<Backend>,
                "milkit::ops::layer_norm_backward: no implementation for this backend here; include "
                "<milkit/ops/rows/layer_norm_cpu.hpp> for cpu or <milkit/ops/rows/layer_norm_cuda.cuh> for cuda");
};
}  // namespace detail

/// Layer norm (Ba et al. 2016): y_ij = w_j (x_ij - m_i) r_i + b_j with the row's mean m and r = 1 / sqrt(variance +
/// eps), the variance divided by d. Shapes: x [n, d], weight and bias [d], y [n, d] (may be x), moments [n, 2]: (m, r)
/// in double. A constant row has variance 0 and gives b (NaN for eps = 0); NaN or infinity in a row: NaN in all of it.
/// Cost: O(n d). Errors: shape_error; value_error for an eps that is negative or NaN.
template <backend Backend, class X, class Weight, class Bias, class Y, class Moments>
requires resident_on<X, Backend> && resident_on<Y, Backend> && resident_on<Moments, Backend>
void layer_norm(Backend& backend, X x, Weight weight, Bias bias, double eps, Y y, Moments moments) {
  using T = typename Y::value_type;
  using Space = typename Backend::space;
  constexpr const char* op = "milkit::ops::layer_norm";
  expect_value(eps >= 0, op, "eps is ", eps, ", expected 0 or more");
  expect_extent(op, "extent of weight", weight.extent(0), x.cols());
  expect_extent(op, "extent of bias", bias.extent(0), x.cols());
  expect_shape(op, "y", y, x.shape());
  expect_shape(op, "moments", moments, shape<2>{x.rows(), 2});
  execute<detail::layer_norm_impl>(backend, matrix_view<const T, Space>(x), vector_view<const T, Space>(weight),
                                   vector_view<const T, Space>(bias), eps, matrix_view<T, Space>(y), moments);
}

/// Gradients of `layer_norm` from dy [n, d], with g = dy * w and h the normalised row: dx = r (g - mean g - h mean(g
/// h)) (left out when absent; may be dy), dweight += sum_i dy_i h_i, dbias += sum_i dy_i, in double over fixed blocks
/// of rows.
template <backend Backend, class X, class Moments, class Weight, class Dy, class Dx, class Dweight, class Dbias>
requires resident_on<X, Backend> && resident_on<Dy, Backend> && resident_on<Dx, Backend>
void layer_norm_backward(Backend& backend, X x, Moments moments, Weight weight, Dy dy, Dx dx, Dweight dweight,
                         Dbias dbias) {
  using T = typename Dx::value_type;
  using Space = typename Backend::space;
  constexpr const char* op = "milkit::ops::layer_norm_backward";
  expect_shape(op, "moments", moments, shape<2>{x.rows(), 2});
  expect_extent(op, "extent of weight", weight.extent(0), x.cols());
  expect_shape(op, "dy", dy, x.shape());
  if (!dx.absent()) expect_shape(op, "dx", dx, x.shape());
  expect_extent(op, "extent of dweight", dweight.extent(0), x.cols());
  expect_extent(op, "extent of dbias", dbias.extent(0), x.cols());
  execute<detail::layer_norm_backward_impl>(
      backend, matrix_view<const T, Space>(x), matrix_view<const double, Space>(moments),
      vector_view<const T, Space>(weight), matrix_view<const T, Space>(dy), matrix_view<T, Space>(dx),
      vector_view<T, Space>(dweight), vector_view<T, Space>(dbias));
}

}  // namespace milkit::ops
