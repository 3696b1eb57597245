#pragma once

#include <milkit/core/backend.hpp>

namespace milkit::ops {

namespace detail {
template <class Backend>
struct fill_impl {
  static_assert(
      dependent_false<Backend>,
      "milkit::ops::fill: no implementation for this backend here; include <milkit/ops/rows/fill_cpu.hpp> for cpu or "
      "<milkit/ops/rows/fill_cuda.cuh> for cuda");
};
template <class Backend>
struct copy_rows_impl {
  static_assert(dependent_false<Backend>,
                "milkit::ops::copy_rows: no implementation for this backend here; include "
                "<milkit/ops/rows/fill_cpu.hpp> for cpu or "
                "<milkit/ops/rows/fill_cuda.cuh> for cuda");
};
}  // namespace detail

/// x = value, every element of a view of any rank.
template <backend Backend, class X>
requires resident_on<X, Backend>
void fill(Backend& backend, X x, typename X::value_type value) {
  execute<detail::fill_impl>(backend, x.as_matrix(), value);
}

/// y = x, or y += x, for views of one shape and any rank in one memory space.
template <backend Backend, class X, class Y>
requires resident_on<X, Backend> && resident_on<Y, Backend>
void copy_rows(Backend& backend, X x, Y y, bool accumulate = false) {
  using T = typename Y::value_type;
  expect_shape("milkit::ops::copy_rows", "y", y, x.shape());
  execute<detail::copy_rows_impl>(backend, matrix_view<const T, typename Backend::space>(x.as_matrix()), y.as_matrix(),
                                  accumulate);
}

}  // namespace milkit::ops
