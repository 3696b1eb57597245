#pragma once

#include <cmath>

#include <milkit/core/compiled.hpp>
#include <milkit/ops/rows/l2_normalise.hpp>
#include <milkit/ops/rows/layer_norm_cpu.hpp>

namespace milkit::ops::detail {

template <>
struct l2_normalise_impl<cpu> {
  template <class T>
  static void run(cpu& backend, matrix_view<const T> x, matrix_view<T> y, vector_view<double> norms) {
    const std::int64_t d = x.cols();
    parallel_for(backend, x.rows(), elementwise_rows(d), [&](row_range rows) {
      for (std::int64_t i = rows.first; i < rows.first + rows.count; ++i) {
        const T* row = x.row(i);
        const auto square = [&](std::int64_t j) { return static_cast<double>(row[j]) * static_cast<double>(row[j]); };
        norms(i) = std::sqrt(fixed_order_sum(d, square));
        const double scale = 1 / norm_divisor(norms(i));
        T* out = y.row(i);
        for (std::int64_t j = 0; j < d; ++j) out[j] = static_cast<T>(static_cast<double>(row[j]) * scale);
      }
    });
  }
};

template <>
struct l2_normalise_backward_impl<cpu> {
  template <class T>
  static void run(cpu& backend, matrix_view<const T> y, vector_view<const double> norms, matrix_view<const T> dy,
                  matrix_view<T> dx) {
    const std::int64_t d = y.cols();
    parallel_for(backend, y.rows(), elementwise_rows(d), [&](row_range rows) {
      for (std::int64_t i = rows.first; i < rows.first + rows.count; ++i) {
        const T *row = y.row(i), *upstream = dy.row(i);
        const auto term = [&](std::int64_t j) {
          return static_cast<double>(row[j]) * static_cast<double>(upstream[j]);
        };
        const double along = norms(i) < least_norm ? 0.0 : fixed_order_sum(d, term);
        const double scale = 1 / norm_divisor(norms(i));
        T* out = dx.row(i);
        for (std::int64_t j = 0; j < d; ++j)
          out[j] = static_cast<T>((static_cast<double>(upstream[j]) - along * static_cast<double>(row[j])) * scale);
      }
    });
  }
};

MILKIT_COMPILED_OP(l2_normalise_impl, matrix_view<const T>, matrix_view<T>, vector_view<double>);
MILKIT_COMPILED_OP(l2_normalise_backward_impl, matrix_view<const T>, vector_view<const double>, matrix_view<const T>,
                   matrix_view<T>);

}  // namespace milkit::ops::detail
