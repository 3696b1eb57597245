#pragma once

#include <milkit/ops/matmul.hpp>

namespace milkit::ops {

namespace detail {
template <class Backend>
struct add_rows_impl {
  static_assert(
      dependent_false<Backend>,
      "milkit::ops::linear: no implementation for this backend here; include <milkit/ops/linear_cpu.hpp> for cpu or "
      "<milkit/ops/linear_cuda.cuh> for cuda");
};
template <class Backend>
struct column_sums_impl {
  static_assert(
      dependent_false<Backend>,
      "milkit::ops::linear: no implementation for this backend here; include <milkit/ops/linear_cpu.hpp> for cpu or "
      "<milkit/ops/linear_cuda.cuh> for cuda");
};
}  // namespace detail

/// Adds the vector `bias` [m] to every row of x [n, m].
template <backend Backend, class X, class Bias>
requires resident_on<X, Backend> && resident_on<Bias, Backend>
void add_to_rows(Backend& backend, X x, Bias bias) {
  using T = typename X::value_type;
  expect_extent("milkit::ops::add_to_rows", "extent of bias", bias.extent(0), x.cols());
  execute<detail::add_rows_impl>(backend, matrix_view<T, typename Backend::space>(x),
                                 vector_view<const T, typename Backend::space>(bias));
}

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
template <class Backend, class X, class Weight, class Bias, class Y>
void linear(Backend& backend, X x, Weight weight, Bias bias, Y y) {
  matmul(backend, x, weight, y, {.transpose_b = true});
  if (!bias.absent()) add_to_rows(backend, y, bias);
}

/// Gradients of `linear` from dy [n, m]: dx = dy W (left out when dx is absent), dW += dy^T x, db += column sums of dy
/// (left out when absent).
template <class Backend, class X, class Weight, class Dy, class Dx, class Dw, class Db>
void linear_backward(Backend& backend, X x, Weight weight, Dy dy, Dx dx, Dw dweight, Db dbias) {
  matmul(backend, dy, x, dweight, {.transpose_a = true, .accumulate = true});
  if (!dbias.absent()) add_column_sums(backend, dy, dbias);
  if (!dx.absent()) matmul(backend, dy, weight, dx);
}

}  // namespace milkit::ops
