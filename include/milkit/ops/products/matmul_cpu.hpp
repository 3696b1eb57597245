#pragma once

#include <milkit/core/compiled.hpp>
#include <milkit/core/parallel_for.hpp>
#include <milkit/ops/products/matmul.hpp>
#include <milkit/ops/products/matmul/gemm_cpu.hpp>

namespace milkit::ops::detail {

template <>
struct matmul_impl<cpu> {
  /// Rows of c that one thread computes at a time. Libraries pack b anew for each: blocks of 256 cost a tenth of their
  /// speed.
  static constexpr std::int64_t block_rows = 512;

  /// Columns, where all rows are one block and the backend is no worker, so that threads share it. They pack a anew. A
  /// multiple of the three vectors (of at most 16 floats) that Eigen computes together: it sums what remains in another
  /// order, and a row's bits must not depend on how many rows there are.
  static constexpr std::int64_t block_columns = 240;

  /// Rows and columns of c that one thread computes at a time.
  template <class T>
  static shape<2> block(const cpu& backend, matrix_view<T> c) {
    const bool divided = !backend.serial && c.rows() <= block_rows;
    return {(std::min)(block_rows, c.rows()), divided ? (std::min)(block_columns, c.cols()) : c.cols()};
  }
  template <class T>
  static serial_gemm<T> product(const cpu& backend, matrix_view<const T> a, matrix_view<T> c,
                                const matmul_options& options) {
    const shape<2> size = block(backend, c);
    return {
        backend, options.transpose_a, options.transpose_b, size[0], size[1], options.transpose_a ? a.rows() : a.cols()};
  }

  template <class T>
  static matrix_view<T> scratch(cpu& backend, matrix_view<const T> a, matrix_view<const T>, matrix_view<T> c,
                                const matmul_options& options) {
    const std::int64_t packing = product<T>(backend, a, c, options).packing_size();
    if (packing == 0) return {};
    const shape<2> size = block(backend, c);
    const std::int64_t blocks = chunk_count(c.rows(), size[0]) * chunk_count(c.cols(), size[1]);
    return backend.workspace.allocate<T>(shape<2>{(std::min)(blocks, std::int64_t{backend.thread_count()}), packing});
  }

  template <class T>
  static void run(cpu& backend, matrix_view<T> packing, matrix_view<const T> a, matrix_view<const T> b,
                  matrix_view<T> c, const matmul_options& options) {
    if (c.size() == 0) return;
    const bool ta = options.transpose_a, tb = options.transpose_b;
    const serial_gemm<T> gemm = product<T>(backend, a, c, options);
    const shape<2> size = block(backend, c);
    const std::int64_t across = chunk_count(c.cols(), size[1]);
    parallel_for(backend, chunk_count(c.rows(), size[0]) * across, 1, [&](row_range unit, int thread) {
      const row_range rows = chunk_at(c.rows(), size[0], unit.first / across);
      const row_range cols = chunk_at(c.cols(), size[1], unit.first % across);
      gemm(rows.count, cols.count, ta ? a.rows() : a.cols(), ta ? a.data() + rows.first : a.row(rows.first), a.stride(),
           tb ? b.row(cols.first) : b.data() + cols.first, b.stride(), options.accumulate,
           c.row(rows.first) + cols.first, c.stride(), packing.row(thread));
    });
  }
};

MILKIT_COMPILED_OP(matmul_impl, matrix_view<const T>, matrix_view<const T>, matrix_view<T>, matmul_options);

}  // namespace milkit::ops::detail
