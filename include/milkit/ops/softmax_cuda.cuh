#pragma once

#include <cmath>

#include <milkit/core/launch.cuh>
#include <milkit/ops/softmax.hpp>

namespace milkit::ops::detail {

/// The rows of a matrix, or the segments of a vector: `sum` counts them.
template <class T>
struct softmax_rows_of {
  T* data;
  std::int64_t row_stride, step, cols;
  device_vector<const std::int64_t> offsets;  ///< absent for rows

  softmax_rows_of(device_matrix<T> m) : data(m.data()), row_stride(m.stride()), step(1), cols(m.cols()) {}
  softmax_rows_of(device_vector<T> v, device_vector<const std::int64_t> o) : data(v.data()), row_stride(0), step(v.stride()), cols(0), offsets(o) {}

  __device__ std::int64_t count(std::int64_t sum) const { return offsets.absent() ? cols : offsets(sum + 1) - offsets(sum); }
  /// Where element j of a row or segment is, in this or in another array with strides of its own.
  __device__ std::int64_t at(std::int64_t sum, std::int64_t j) const {
    return offsets.absent() ? sum * row_stride + j : (offsets(sum) + j) * step;
  }
};
/// One block a row or segment.
template <class T>
struct softmax_kernel {
  static constexpr int threads = 256;
  softmax_rows_of<const T> x;
  softmax_rows_of<T> y;
  device_vector<T> log_sum_exp;

  __device__ void operator()() const {
    using std::exp;
    using std::isinf;
    using std::log;
    const std::int64_t sum = blockIdx.x, count = x.count(sum);
    T peak = -static_cast<T>(HUGE_VAL);
    for (std::int64_t j = threadIdx.x; j < count; j += threads) peak = larger_number()(peak, x.data[x.at(sum, j)]);
    peak = block_combine<threads>(peak, larger_number());
    const T shift = isinf(peak) ? T(0) : peak;
    double mass = 0;
    for (std::int64_t j = threadIdx.x; j < count; j += threads) mass += static_cast<double>(exp(x.data[x.at(sum, j)] - shift));
    mass = block_sum<threads>(mass);
    if (y.data) {
      const T scale = mass == 0 ? T(0) : static_cast<T>(1 / mass);
      for (std::int64_t j = threadIdx.x; j < count; j += threads) {
        const T value = exp(x.data[x.at(sum, j)] - shift) * scale;
        y.data[y.at(sum, j)] = peak > shift ? static_cast<T>(HUGE_VAL) - static_cast<T>(HUGE_VAL) : value;
      }
    }
    if (threadIdx.x == 0 && !log_sum_exp.absent()) log_sum_exp(sum) = static_cast<T>(static_cast<double>(shift) + log(mass));
  }
};

template <class T>
struct softmax_rows_backward_kernel {
  static constexpr int threads = 256;
  softmax_rows_of<const T> y, dy;
  device_vector<const T> dlog_sum_exp;
  softmax_rows_of<T> dx;

  __device__ void operator()() const {
    const std::int64_t sum = blockIdx.x, count = y.count(sum);
    double dot = 0;
    for (std::int64_t j = threadIdx.x; j < count && dy.data; j += threads)
      dot += static_cast<double>(dy.data[dy.at(sum, j)]) * static_cast<double>(y.data[y.at(sum, j)]);
    dot = block_sum<threads>(dot);
    const double shift = (dlog_sum_exp.absent() ? 0.0 : static_cast<double>(dlog_sum_exp(sum))) - dot;
    for (std::int64_t j = threadIdx.x; j < count; j += threads) {
      const double upstream = dy.data ? static_cast<double>(dy.data[dy.at(sum, j)]) : 0.0;
      dx.data[dx.at(sum, j)] = static_cast<T>(static_cast<double>(y.data[y.at(sum, j)]) * (upstream + shift));
    }
  }
};

template <>
struct softmax_impl<cuda> {
  template <class T>
  static void run(cuda& backend, device_matrix<const T> x, device_matrix<T> y, device_vector<T> log_sum_exp) {
    launch(backend, {x.rows()}, softmax_kernel<T>{x, y, log_sum_exp});
  }
  template <class T>
  static void run(cuda& backend, device_vector<const std::int64_t> offsets, device_vector<const T> x, device_vector<T> y,
                  device_vector<T> log_sum_exp) {
    launch(backend, {offsets.extent(0) - 1}, softmax_kernel<T>{{x, offsets}, {y, offsets}, log_sum_exp});
  }
};

template <>
struct softmax_backward_impl<cuda> {
  template <class T>
  static void run(cuda& backend, device_matrix<const T> y, device_matrix<const T> dy, device_vector<const T> dlog_sum_exp, device_matrix<T> dx) {
    launch(backend, {y.rows()}, softmax_rows_backward_kernel<T>{y, dy, dlog_sum_exp, dx});
  }
  template <class T>
  static void run(cuda& backend, device_vector<const std::int64_t> offsets, device_vector<const T> y, device_vector<const T> dy,
                  device_vector<const T> dlog_sum_exp, device_vector<T> dx) {
    launch(backend, {offsets.extent(0) - 1}, softmax_rows_backward_kernel<T>{{y, offsets}, {dy, offsets}, dlog_sum_exp, {dx, offsets}});
  }
};

}  // namespace milkit::ops::detail
