#pragma once

#include <milkit/core/backend.hpp>

namespace milkit::ops {

struct matmul_options {
  bool transpose_a = false;
  bool transpose_b = false;
  bool accumulate = false;  ///< add to c instead of replacing it
};

namespace detail {
template <class Backend>
struct matmul_impl {
  static_assert(dependent_false<Backend>,
                "milkit::ops::matmul: no implementation for this backend here; include "
                "<milkit/ops/products/matmul_cpu.hpp> for cpu "
                "or <milkit/ops/products/matmul_cuda.cuh> for cuda");
};
}  // namespace detail

/// Matrix product c = op(a) op(b), or c += op(a) op(b), where op transposes if asked to.
/// Shapes: op(a) [m, k], op(b) [k, n], c [m, n]; any of them 0 (k = 0 gives zeros). c must not overlap a or b.
/// Cost: 2 m n k FLOPs. cpu: Eigen, or the library that `cpu::gemm` names; rows of c in fixed blocks, one thread a
/// block, so results do not depend on the thread count. Errors: shape_error.
template <backend Backend, class A, class B, class C>
requires resident_on<A, Backend> && resident_on<B, Backend> && resident_on<C, Backend>
void matmul(Backend& backend, A a, B b, C c, const matmul_options& options = {}) {
  using T = typename C::value_type;
  using Space = typename Backend::space;
  const std::int64_t m = options.transpose_a ? a.cols() : a.rows();
  const std::int64_t k = options.transpose_a ? a.rows() : a.cols();
  const std::int64_t n = options.transpose_b ? b.rows() : b.cols();
  expect_extent("milkit::ops::matmul", "rows of op(b)", options.transpose_b ? b.cols() : b.rows(), k);
  expect_extent("milkit::ops::matmul", "rows of c", c.rows(), m);
  expect_extent("milkit::ops::matmul", "columns of c", c.cols(), n);
  execute<detail::matmul_impl>(backend, matrix_view<const T, Space>(a), matrix_view<const T, Space>(b),
                               matrix_view<T, Space>(c), options);
}

}  // namespace milkit::ops
