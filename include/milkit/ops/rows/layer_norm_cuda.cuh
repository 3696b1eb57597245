#pragma once

#include <cmath>

#include <milkit/ops/products/linear/column_sums_cuda.cuh>
#include <milkit/ops/rows/layer_norm.hpp>

namespace milkit::ops::detail {

/// x minus the mean, of which float32 cannot hold enough: in two parts, so that a row far from 0 keeps its digits, without an
/// operation in double for each element.
template <class T>
struct split_mean {
  T high, low;
  __device__ explicit split_mean(double mean)
      : high(static_cast<T>(mean)), low(static_cast<T>(mean - static_cast<double>(high))) {}
  __device__ T distance(T x) const { return (x - high) - low; }
};

/// One warp a row.
template <class T>
struct layer_norm_kernel {
  static constexpr int threads = 128;
  device_matrix<const T> x;
  device_vector<const T> weight, bias;
  double eps;
  device_matrix<T> y;
  device_matrix<double> moments;

  __device__ void operator()() const {
    using std::sqrt;
    const std::int64_t i = grid_position::thread() / 32, lane = threadIdx.x % 32;
    if (i >= x.rows()) return;
    const auto d = static_cast<double>(x.cols());
    const T pivot = x(i, 0);  // sums of what lies near 0 keep their digits in float32
    const double mean = static_cast<double>(pivot) +
                        warp_sum(blocked_sum(lane, x.cols(), 32, [&](std::int64_t j) { return x(i, j) - pivot; })) / d;
    const split_mean<T> from(mean);
    const double squares = warp_sum(blocked_sum(lane, x.cols(), 32, [&](std::int64_t j) {
      const T distance = from.distance(x(i, j));
      return distance * distance;
    }));
    const double scale = 1 / sqrt(squares / d + eps);
    if (lane == 0) moments(i, 0) = mean, moments(i, 1) = scale;
    for (std::int64_t j = lane; j < x.cols(); j += 32)
      y(i, j) = from.distance(x(i, j)) * static_cast<T>(scale) * weight(j) + bias(j);
  }
};

template <class T>
struct layer_norm_entries {
  device_matrix<const T> x;
  device_matrix<const double> moments;
  device_matrix<const T> dy;
  __device__ T normalised(std::int64_t i, std::int64_t j) const {
    return split_mean<T>(moments(i, 0)).distance(x(i, j)) * static_cast<T>(moments(i, 1));
  }
};
/// The terms of dweight and, behind them, of dbias.
template <class T>
struct layer_norm_terms {
  layer_norm_entries<T> at;
  __device__ T operator()(std::int64_t i, std::int64_t column) const {
    const std::int64_t d = at.x.cols();
    return column < d ? at.dy(i, column) * at.normalised(i, column) : at.dy(i, column - d);
  }
};
/// One warp a row.
template <class T>
struct layer_norm_backward_kernel {
  static constexpr int threads = 128;
  layer_norm_entries<T> at;
  device_vector<const T> weight;
  device_matrix<T> dx;

  __device__ void operator()() const {
    const std::int64_t i = grid_position::thread() / 32, lane = threadIdx.x % 32, d = at.x.cols();
    if (i >= at.x.rows()) return;
    const auto upstream = [&](std::int64_t j) { return at.dy(i, j) * weight(j); };
    const auto mean_of = [&](const auto& term) {
      return static_cast<T>(warp_sum(blocked_sum(lane, d, 32, term)) / static_cast<double>(d));
    };
    const T mean = mean_of(upstream), dot = mean_of([&](std::int64_t j) { return upstream(j) * at.normalised(i, j); });
    for (std::int64_t j = lane; j < d; j += 32)
      dx(i, j) = static_cast<T>(at.moments(i, 1)) * (upstream(j) - mean - at.normalised(i, j) * dot);
  }
};

template <>
struct layer_norm_impl<cuda> {
  template <class T>
  static void run(cuda& backend, device_matrix<const T> x, device_vector<const T> weight, device_vector<const T> bias,
                  double eps, device_matrix<T> y, device_matrix<double> moments) {
    using kernel = layer_norm_kernel<T>;
    launch(backend, {chunk_count(x.rows(), kernel::threads / 32)}, kernel{x, weight, bias, eps, y, moments});
  }
};

template <>
struct layer_norm_backward_impl<cuda> {
  template <class T>
  static device_matrix<double> scratch(cuda& backend, device_matrix<const T> x, auto&&...) {
    return column_sums_scratch(backend, x.rows(), 2 * x.cols());
  }
  template <class T>
  static void run(cuda& backend, device_matrix<double> partial, device_matrix<const T> x,
                  device_matrix<const double> moments, device_vector<const T> weight, device_matrix<const T> dy,
                  device_matrix<T> dx, device_vector<T> dweight, device_vector<T> dbias) {
    if (x.rows() == 0) return;
    using kernel = layer_norm_backward_kernel<T>;
    const layer_norm_entries<T> at{x, moments, dy};
    column_sums(backend, partial, x.rows(), layer_norm_terms<T>{at});
    add_partial(backend, partial.columns(0, x.cols()), dweight);
    add_partial(backend, partial.columns(x.cols(), x.cols()), dbias);
    if (!dx.absent()) launch(backend, {chunk_count(x.rows(), kernel::threads / 32)}, kernel{at, weight, dx});
  }
};

}  // namespace milkit::ops::detail
