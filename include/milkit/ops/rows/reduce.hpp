#pragma once

#include <milkit/core/backend.hpp>

namespace milkit::ops {
namespace detail {

template <class Backend>
struct l2_norm_impl {
  static_assert(
      dependent_false<Backend>,
      "milkit::ops::l2_norm: no implementation for this backend here; include <milkit/ops/rows/reduce_cpu.hpp> "
      "for cpu or <milkit/ops/rows/reduce_cuda.cuh> for cuda");
};
template <class Backend>
struct count_nonfinite_impl {
  static_assert(dependent_false<Backend>,
                "milkit::ops::count_nonfinite: no implementation for this backend here; include "
                "<milkit/ops/rows/reduce_cpu.hpp> for cpu or <milkit/ops/rows/reduce_cuda.cuh> for cuda");
};

template <class View>
void expect_reducible(std::string_view op, const View& x, std::int64_t outputs) {
  if (!x.contiguous()) throw shape_error(message(op, ": x has stride ", x.stride(), ", expected 1"));
  expect_extent(op, "the output", outputs, 1);
}

}  // namespace detail

/// The Euclidean norm of a flat vector, norm[0] = sqrt(sum_i x_i^2), as gradient clipping needs it.
/// Shapes: x [n], norm [1]. Sums in double over fixed chunks in a fixed order: the same bits at any thread count.
/// n = 0: 0. NaN or infinity in x: NaN or infinity; so is a norm above 1e154.
/// Cost: O(n) time, 8 bytes of workspace for each 16384 elements. Errors: shape_error for a strided x or another norm.
template <backend Backend, class T, class Space>
requires resident_on<vector_view<T, Space>, Backend>
void l2_norm(Backend& backend, vector_view<T, Space> x, vector_view<double, Space> norm) {
  detail::expect_reducible("milkit::ops::l2_norm", x, norm.extent(0));
  execute<detail::l2_norm_impl>(backend, vector_view<const T, Space>(x), norm);
}

/// How many elements are NaN or infinite, told by their bits (right under -ffast-math too).
/// Shapes: x [n], count [1]. n = 0: 0. Cost: O(n) time, 8 bytes of workspace for each 16384 elements.
/// Errors: shape_error for a strided x or another count.
template <backend Backend, class T, class Space>
requires resident_on<vector_view<T, Space>, Backend>
void count_nonfinite(Backend& backend, vector_view<T, Space> x, vector_view<std::int64_t, Space> count) {
  detail::expect_reducible("milkit::ops::count_nonfinite", x, count.extent(0));
  execute<detail::count_nonfinite_impl>(backend, vector_view<const T, Space>(x), count);
}

}  // namespace milkit::ops
