#pragma once

#include <cmath>
#include <limits>

#include <milkit/core/compiled.hpp>
#include <milkit/ops/rows/activation_cpu.hpp>
#include <milkit/ops/rows/softmax.hpp>

namespace milkit::ops::detail {

/// Throws value_error unless the offsets ascend from 0 to `rows`.
inline void expect_offsets(std::string_view op, vector_view<const std::int64_t> offsets, std::int64_t rows) {
  const std::int64_t last = offsets.extent(0) - 1;
  expect_value(offsets(0) == 0, op, "offsets[0] is ", offsets(0), ", expected 0");
  for (std::int64_t b = 0; b < last; ++b)
    expect_value(offsets(b) <= offsets(b + 1), op, "offsets[", b + 1, "] is ", offsets(b + 1), ", expected at least ",
                 offsets(b), ", the one before");
  expect_value(offsets(last) == rows, op, "offsets[", last, "] is ", offsets(last), ", expected ", rows,
               ", the number of rows");
}

/// Rows or segments that one thread takes at a time, by their mean size.
inline std::int64_t softmax_rows(std::int64_t sums, std::int64_t elements) {
  return elementwise_rows(elements / (std::max)(sums, std::int64_t{1}));
}

template <>
struct softmax_impl<cpu> {
  template <class T>
  static void run(cpu& backend, matrix_view<const T> x, matrix_view<T> y, vector_view<T> log_sum_exp) {
    parallel_for(backend, x.rows(), softmax_rows(x.rows(), x.size()), [&](row_range rows) {
      for (std::int64_t i = rows.first; i < rows.first + rows.count; ++i) {
        const T sum = one(x.row(i), 1, y.absent() ? nullptr : y.row(i), 1, x.cols());
        if (!log_sum_exp.absent()) log_sum_exp(i) = sum;
      }
    });
  }

  template <class T>
  static void run(cpu& backend, vector_view<const std::int64_t> offsets, vector_view<const T> x, vector_view<T> y,
                  vector_view<T> log_sum_exp) {
    detail::expect_offsets("milkit::ops::segment_softmax", offsets, x.extent(0));
    const std::int64_t segments = offsets.extent(0) - 1;
    parallel_for(backend, segments, softmax_rows(segments, x.size()), [&](row_range range) {
      for (std::int64_t b = range.first; b < range.first + range.count; ++b) {
        const T sum = one(x.row(offsets(b)), x.stride(), y.absent() ? nullptr : y.row(offsets(b)), y.stride(),
                          offsets(b + 1) - offsets(b));
        if (!log_sum_exp.absent()) log_sum_exp(b) = sum;
      }
    });
  }

 private:
  /// Eigen's vectors give the smallest number, and not 0, for the exponential of anything below.
  template <class T>
  static constexpr T least_exponent = sizeof(T) == 4 ? T(-87) : T(-708);

  /// Softmax of `count` elements, `step` apart; returns their log-sum-exp. In blocks, so that exp runs on vectors.
  template <class T>
  static T one(const T* x, std::int64_t step, T* y, std::int64_t y_step, std::int64_t count) {
    constexpr std::int64_t block = 256;
    T peak = -std::numeric_limits<T>::infinity();
    for (std::int64_t j = 0; j < count; ++j) peak = x[j * step] > peak ? x[j * step] : peak;
    const T shift = std::isinf(peak) ? T(0) : peak;
    double mass = 0;
    alignas(64) T below[block], values[block];  // whole vectors, wherever the stack begins
    for (std::int64_t first = 0; first < count; first += block) {
      const std::int64_t size = (std::min)(block, count - first);
      for (std::int64_t j = 0; j < size; ++j) below[j] = x[(first + j) * step] - shift;
      array_of(values, size) = array_of(below, size).exp();
      for (std::int64_t j = 0; j < size; ++j) values[j] = below[j] < least_exponent<T> ? T(0) : values[j];
      for (std::int64_t j = 0; j < size; ++j) mass += static_cast<double>(values[j]);
      if (y)
        for (std::int64_t j = 0; j < size; ++j) y[(first + j) * y_step] = values[j];
    }
    if (peak > shift && !std::isnan(mass)) mass = std::numeric_limits<double>::infinity();
    if (y && mass != 0) {
      const T scale = static_cast<T>(peak > shift ? std::numeric_limits<double>::quiet_NaN() : 1 / mass);
      for (std::int64_t j = 0; j < count; ++j) y[j * y_step] *= scale;
    }
    return static_cast<T>(static_cast<double>(shift) + std::log(mass));
  }
};

template <>
struct softmax_backward_impl<cpu> {
  template <class T>
  static void run(cpu& backend, matrix_view<const T> y, matrix_view<const T> dy, vector_view<const T> dlog_sum_exp,
                  matrix_view<T> dx) {
    parallel_for(backend, y.rows(), softmax_rows(y.rows(), y.size()), [&](row_range rows) {
      for (std::int64_t i = rows.first; i < rows.first + rows.count; ++i)
        one(y.row(i), 1, dy.absent() ? nullptr : dy.row(i), 1, dlog_sum_exp.absent() ? T(0) : dlog_sum_exp(i),
            dx.row(i), 1, y.cols());
    });
  }

  template <class T>
  static void run(cpu& backend, vector_view<const std::int64_t> offsets, vector_view<const T> y,
                  vector_view<const T> dy, vector_view<const T> dlog_sum_exp, vector_view<T> dx) {
    detail::expect_offsets("milkit::ops::segment_softmax_backward", offsets, y.extent(0));
    const std::int64_t segments = offsets.extent(0) - 1;
    parallel_for(backend, segments, softmax_rows(segments, y.size()), [&](row_range range) {
      for (std::int64_t b = range.first; b < range.first + range.count; ++b)
        one(y.row(offsets(b)), y.stride(), dy.absent() ? nullptr : dy.row(offsets(b)), dy.stride(),
            dlog_sum_exp.absent() ? T(0) : dlog_sum_exp(b), dx.row(offsets(b)), dx.stride(),
            offsets(b + 1) - offsets(b));
    });
  }

 private:
  template <class T>
  static void one(const T* y, std::int64_t y_step, const T* dy, std::int64_t dy_step, T dlog_sum_exp, T* dx,
                  std::int64_t dx_step, std::int64_t count) {
    double dot = 0;
    for (std::int64_t j = 0; j < count && dy; ++j)
      dot += static_cast<double>(dy[j * dy_step]) * static_cast<double>(y[j * y_step]);
    const double shift = static_cast<double>(dlog_sum_exp) - dot;
    for (std::int64_t j = 0; j < count; ++j) {
      const double upstream = dy ? static_cast<double>(dy[j * dy_step]) : 0.0;
      dx[j * dx_step] = static_cast<T>(static_cast<double>(y[j * y_step]) * (upstream + shift));
    }
  }
};

MILKIT_COMPILED_OP(softmax_impl, matrix_view<const T>, matrix_view<T>, vector_view<T>);
MILKIT_COMPILED_OP(softmax_impl, vector_view<const std::int64_t>, vector_view<const T>, vector_view<T>, vector_view<T>);
MILKIT_COMPILED_OP(softmax_backward_impl, matrix_view<const T>, matrix_view<const T>, vector_view<const T>,
                   matrix_view<T>);
MILKIT_COMPILED_OP(softmax_backward_impl, vector_view<const std::int64_t>, vector_view<const T>, vector_view<const T>,
                   vector_view<const T>, vector_view<T>);

}  // namespace milkit::ops::detail
