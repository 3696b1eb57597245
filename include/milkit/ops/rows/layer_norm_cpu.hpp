#pragma once

#include <cmath>

#include <milkit/core/compiled.hpp>
#include <milkit/ops/rows/activation_cpu.hpp>
#include <milkit/ops/rows/layer_norm.hpp>

namespace milkit::ops::detail {

/// sum_j term(j) in eight running sums. Eigen's own sum depends on where in memory the row begins.
template <class Term>
double fixed_order_sum(std::int64_t count, Term&& term) {
  constexpr int lanes = 8;
  double sums[lanes] = {};
  std::int64_t j = 0;
  for (; j + lanes <= count; j += lanes)
    for (int lane = 0; lane < lanes; ++lane) sums[lane] += term(j + lane);
  for (int lane = 0; j + lane < count; ++lane) sums[lane] += term(j + lane);
  double total = 0;
  for (const double sum : sums) total += sum;
  return total;
}

template <>
struct layer_norm_impl<cpu> {
  template <class T>
  static void run(cpu& backend, matrix_view<const T> x, vector_view<const T> weight, vector_view<const T> bias,
                  double eps, matrix_view<T> y, matrix_view<double> moments) {
    const std::int64_t d = x.cols();
    parallel_for(backend, x.rows(), elementwise_rows(d), [&](row_range rows) {
      for (std::int64_t i = rows.first; i < rows.first + rows.count; ++i) {
        const T* row = x.row(i);
        const double mean =
            fixed_order_sum(d, [&](std::int64_t j) { return static_cast<double>(row[j]); }) / static_cast<double>(d);
        const double variance = fixed_order_sum(d,
                                                [&](std::int64_t j) {
                                                  const double off = static_cast<double>(row[j]) - mean;
                                                  return off * off;
                                                }) /
                                static_cast<double>(d);
        const double scale = 1 / std::sqrt(variance + eps);
        moments(i, 0) = mean;
        moments(i, 1) = scale;
        T* out = y.row(i);
        for (std::int64_t j = 0; j < d; ++j)
          out[j] = static_cast<T>((static_cast<double>(row[j]) - mean) * scale) * weight(j) + bias(j);
      }
    });
  }
};

template <>
struct layer_norm_backward_impl<cpu> {
  /// Rows that one thread sums into its own gradients before the sums are added in order.
  static constexpr std::int64_t block_rows = 128;

  template <class T>
  static matrix_view<double> scratch(cpu& backend, matrix_view<const T> x, auto&&...) {
    return backend.workspace.allocate<double>(shape<2>{chunk_count(x.rows(), block_rows), 2 * x.cols()});
  }

  template <class T>
  static void run(cpu& backend, matrix_view<double> partial, matrix_view<const T> x, matrix_view<const double> moments,
                  vector_view<const T> weight, matrix_view<const T> dy, matrix_view<T> dx, vector_view<T> dweight,
                  vector_view<T> dbias) {
    const std::int64_t d = x.cols();
    parallel_for(backend, x.rows(), block_rows, [&](row_range rows) {
      double *dw = partial.row(rows.first / block_rows), *db = dw + d;
      std::fill_n(dw, 2 * d, 0.0);
      for (std::int64_t i = rows.first; i < rows.first + rows.count; ++i) {
        const double mean = moments(i, 0), scale = moments(i, 1);
        double sum = 0, dot = 0;
        for (std::int64_t j = 0; j < d; ++j) {
          const double h = (static_cast<double>(x(i, j)) - mean) * scale, upstream = static_cast<double>(dy(i, j));
          const double g = upstream * static_cast<double>(weight(j));
          dw[j] += upstream * h;
          db[j] += upstream;
          sum += g;
          dot += g * h;
        }
        if (dx.absent()) continue;
        sum /= static_cast<double>(d);
        dot /= static_cast<double>(d);
        for (std::int64_t j = 0; j < d; ++j) {
          const double h = (static_cast<double>(x(i, j)) - mean) * scale;
          dx(i, j) =
              static_cast<T>(scale * (static_cast<double>(dy(i, j)) * static_cast<double>(weight(j)) - sum - h * dot));
        }
      }
    });
    for (std::int64_t j = 0; j < d; ++j) {
      double dw = 0, db = 0;
      for (std::int64_t b = 0; b < partial.rows(); ++b) dw += partial(b, j), db += partial(b, d + j);
      dweight(j) += static_cast<T>(dw);
      dbias(j) += static_cast<T>(db);
    }
  }
};

MILKIT_COMPILED_OP(layer_norm_impl, matrix_view<const T>, vector_view<const T>, vector_view<const T>, double,
                   matrix_view<T>, matrix_view<double>);
MILKIT_COMPILED_OP(layer_norm_backward_impl, matrix_view<const T>, matrix_view<const double>, vector_view<const T>,
                   matrix_view<const T>, matrix_view<T>, vector_view<T>, vector_view<T>);

}  // namespace milkit::ops::detail
