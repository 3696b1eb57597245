#pragma once

#include <milkit/core/compiled.hpp>
#include <milkit/core/eigen.hpp>
#include <milkit/ops/products/linear.hpp>
#include <milkit/ops/products/matmul_cpu.hpp>

namespace milkit::ops::detail {

template <>
struct linear_impl<cpu> {
  static constexpr matmul_options product{.transpose_b = true};

  template <class T>
  static matrix_view<T> scratch(cpu& backend, matrix_view<const T> x, matrix_view<const T> weight, vector_view<const T>,
                                matrix_view<T> y) {
    return matmul_impl<cpu>::scratch(backend, x, weight, y, product);
  }
  template <class T>
  static void run(cpu& backend, matrix_view<T> packing, matrix_view<const T> x, matrix_view<const T> weight,
                  vector_view<const T> bias, matrix_view<T> y) {
    matmul_impl<cpu>::run(backend, packing, x, weight, y, product);
    if (bias.absent()) return;
    parallel_for(backend, y.rows(), 256, [&](row_range rows) {
      for (std::int64_t i = rows.first; i < rows.first + rows.count; ++i)
        as_eigen(vector_view<T>(y.row(i), {y.cols()})) += as_eigen(bias);
    });
  }
};

template <>
struct column_sums_impl<cpu> {
  static constexpr std::int64_t block_columns = 256;
  static constexpr std::int64_t block_rows = 256;

  template <class T>
  static void run(cpu& backend, matrix_view<const T> x, vector_view<T> sums) {
    parallel_for(backend, x.cols(), block_columns, [&](row_range columns) {
      double total[block_columns] = {};
      T block[block_columns];
      for (std::int64_t first = 0; first < x.rows(); first += block_rows) {
        const std::int64_t last = (std::min)(first + block_rows, x.rows());
        std::fill_n(block, columns.count, T(0));
        for (std::int64_t i = first; i < last; ++i)
          for (std::int64_t j = 0; j < columns.count; ++j) block[j] += x.row(i)[columns.first + j];
        for (std::int64_t j = 0; j < columns.count; ++j) total[j] += static_cast<double>(block[j]);
      }
      for (std::int64_t j = 0; j < columns.count; ++j) sums(columns.first + j) += static_cast<T>(total[j]);
    });
  }
};

MILKIT_COMPILED_OP(linear_impl, matrix_view<const T>, matrix_view<const T>, vector_view<const T>, matrix_view<T>);
MILKIT_COMPILED_OP(column_sums_impl, matrix_view<const T>, vector_view<T>);

}  // namespace milkit::ops::detail
