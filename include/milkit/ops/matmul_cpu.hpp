#pragma once

#include <milkit/core/parallel_for.hpp>
#include <milkit/ops/gemm_cpu.hpp>
#include <milkit/ops/matmul.hpp>

namespace milkit::ops::detail {

template <>
struct matmul_impl<cpu> {
  /// Rows of c that one thread computes at a time. Libraries pack b anew for each: blocks of 256 cost a tenth of their
  /// speed.
  static constexpr std::int64_t block_rows = 512;

  template <class T>
  static serial_gemm<T> product(const cpu& backend, matrix_view<const T> a, matrix_view<T> c,
                                const matmul_options& options) {
    return {backend,
            options.transpose_a,
            options.transpose_b,
            (std::min)(block_rows, c.rows()),
            c.cols(),
            options.transpose_a ? a.rows() : a.cols()};
  }

  template <class T>
  static matrix_view<T> scratch(cpu& backend, matrix_view<const T> a, matrix_view<const T>, matrix_view<T> c,
                                const matmul_options& options) {
    const std::int64_t packing = product<T>(backend, a, c, options).packing_size();
    if (packing == 0) return {};
    const std::int64_t threads = (std::min)(chunk_count(c.rows(), block_rows), std::int64_t{backend.thread_count()});
    return backend.workspace.allocate<T>(shape<2>{threads, packing});
  }

  template <class T>
  static void run(cpu& backend, matrix_view<T> packing, matrix_view<const T> a, matrix_view<const T> b,
                  matrix_view<T> c, const matmul_options& options) {
    if (c.size() == 0) return;
    const bool ta = options.transpose_a;
    const serial_gemm<T> gemm = product<T>(backend, a, c, options);
    parallel_for(backend, c.rows(), block_rows, [&](row_range rows, int thread) {
      gemm(rows.count, c.cols(), ta ? a.rows() : a.cols(), ta ? a.data() + rows.first : a.row(rows.first), a.stride(),
           b.data(), b.stride(), options.accumulate, c.row(rows.first), c.stride(), packing.row(thread));
    });
  }
};

}  // namespace milkit::ops::detail
