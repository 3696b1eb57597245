#pragma once

#include <cmath>

#include <milkit/ops/column_sums_cuda.cuh>
#include <milkit/ops/layer_norm.hpp>

namespace milkit::ops::detail {

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
    double sum = 0, squares = 0;
    for (std::int64_t j = lane; j < x.cols(); j += 32) sum += static_cast<double>(x(i, j));
    const double mean = warp_sum(sum) / d;
    for (std::int64_t j = lane; j < x.cols(); j += 32) {
      const double distance = static_cast<double>(x(i, j)) - mean;
      squares += distance * distance;
    }
    const double scale = 1 / sqrt(warp_sum(squares) / d + eps);
    if (lane == 0) moments(i, 0) = mean, moments(i, 1) = scale;
    for (std::int64_t j = lane; j < x.cols(); j += 32)
      y(i, j) = static_cast<T>((static_cast<double>(x(i, j)) - mean) * scale * static_cast<double>(weight(j)) + static_cast<double>(bias(j)));
  }
};

template <class T>
struct layer_norm_entries {
  device_matrix<const T> x;
  device_matrix<const double> moments;
  device_matrix<const T> dy;
  __device__ double normalised(std::int64_t i, std::int64_t j) const { return (static_cast<double>(x(i, j)) - moments(i, 0)) * moments(i, 1); }
};
/// The terms of dweight and, behind them, of dbias.
template <class T>
struct layer_norm_terms {
  layer_norm_entries<T> at;
  __device__ double operator()(std::int64_t i, std::int64_t column) const {
    const std::int64_t d = at.x.cols(), j = column < d ? column : column - d;
    return static_cast<double>(at.dy(i, j)) * (column < d ? at.normalised(i, j) : 1.0);
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
    double sum = 0, dot = 0;
    for (std::int64_t j = lane; j < d; j += 32) {
      const double g = static_cast<double>(at.dy(i, j)) * static_cast<double>(weight(j));
      sum += g;
      dot += g * at.normalised(i, j);
    }
    sum = warp_sum(sum) / static_cast<double>(d);
    dot = warp_sum(dot) / static_cast<double>(d);
    for (std::int64_t j = lane; j < d; j += 32) {
      const double g = static_cast<double>(at.dy(i, j)) * static_cast<double>(weight(j));
      dx(i, j) = static_cast<T>(at.moments(i, 1) * (g - sum - at.normalised(i, j) * dot));
    }
  }
};

template <>
struct layer_norm_impl<cuda> {
  template <class T>
  static void run(cuda& backend, device_matrix<const T> x, device_vector<const T> weight, device_vector<const T> bias, double eps,
                  device_matrix<T> y, device_matrix<double> moments) {
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
  static void run(cuda& backend, device_matrix<double> partial, device_matrix<const T> x, device_matrix<const double> moments,
                  device_vector<const T> weight, device_matrix<const T> dy, device_matrix<T> dx, device_vector<T> dweight, device_vector<T> dbias) {
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
