#pragma once

#include <milkit/ops/products/matmul.hpp>

namespace milkit::ops {

namespace detail {
template <class Backend>
struct linear_impl {
  static_assert(dependent_false<Backend>,
                "milkit::ops::linear: no implementation for this backend here; include "
                "<milkit/ops/products/linear_cpu.hpp> for cpu or "
                "<milkit/ops/products/linear_cuda.cuh> for cuda");
};
template <class Backend>
struct column_sums_impl {
  static_assert(dependent_false<Backend>,
                "milkit::ops::linear: no implementation for this backend here; include "
                "<milkit/ops/products/linear_cpu.hpp> for cpu or "
                "<milkit/ops/products/linear_cuda.cuh> for cuda");
};
}  // namespace detail

/// sums[j] += sum_i x[i, j] for x [n, m], in blocks of rows and double between them.
template <backend Backend, class X, class Sums>
requires resident_on<X, Backend> && resident_on<Sums, Backend>
void add_column_sums(Backend& backend, X x, Sums sums) {
  using T = typename Sums::value_type;
  expect_extent("milkit::ops::add_column_sums", "extent of sums", sums.extent(0), x.cols());
  execute<detail::column_sums_impl>(backend, matrix_view<const T, typename Backend::space>(x),
                                    vector_view<T, typename Backend::space>(sums));
}

/// Linear layer y = x W^T + b. Shapes: x [n, d], weight [m, d], bias [m] or absent, y [n, m]; n may be 0.
template <backend Backend, class X, class Weight, class Bias, class Y>
requires resident_on<X, Backend> && resident_on<Weight, Backend> && resident_on<Bias, Backend> &&
    resident_on<Y, Backend>
void linear(Backend& backend, X x, Weight weight, Bias bias, Y y) {
  using T = typename Y::value_type;
  using Space = typename Backend::space;
  expect_extent("milkit::ops::linear", "columns of weight", weight.cols(), x.cols());
  expect_shape("milkit::ops::linear", "y", y, shape<2>{x.rows(), weight.rows()});
  if (!bias.absent()) expect_extent("milkit::ops::linear", "extent of bias", bias.extent(0), weight.rows());
  execute<detail::linear_impl>(backend, matrix_view<const T, Space>(x), matrix_view<const T, Space>(weight),
                               vector_view<const T, Space>(bias), matrix_view<T, Space>(y));
}

/// Gradients of `linear` from dy [n, m]: dx = dy W, dW += dy^T x, db += column sums of dy, each left out when
/// absent.
template <class Backend, class X, class Weight, class Dy, class Dx, class Dw, class Db>
void linear_backward(Backend& backend, X x, Weight weight, Dy dy, Dx dx, Dw dweight, Db dbias) {
  if (!dweight.absent()) matmul(backend, dy, x, dweight, {.transpose_a = true, .accumulate = true});
  if (!dbias.absent()) add_column_sums(backend, dy, dbias);
  if (!dx.absent()) matmul(backend, dy, weight, dx);
}

}  // namespace milkit::ops
