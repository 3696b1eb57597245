#pragma once

#include <cmath>

#include <milkit/core/launch.cuh>
#include <milkit/ops/rows/l2_normalise.hpp>

namespace milkit::ops::detail {

/// One warp a row. The squares are in double: those of float32 leave its range.
template <class T>
struct l2_normalise_kernel {
  static constexpr int threads = 128;
  device_matrix<const T> x;
  device_matrix<T> y;
  device_vector<double> norms;

  __device__ void operator()() const {
    using std::sqrt;
    const std::int64_t i = grid_position::thread() / 32, lane = threadIdx.x % 32;
    if (i >= x.rows()) return;
    const double norm = sqrt(warp_sum(blocked_sum(lane, x.cols(), 32, [&](std::int64_t j) {
      return static_cast<double>(x(i, j)) * static_cast<double>(x(i, j));
    })));
    if (lane == 0) norms(i) = norm;
    const double scale = 1 / norm_divisor(norm);
    for (std::int64_t j = lane; j < x.cols(); j += 32) y(i, j) = static_cast<T>(static_cast<double>(x(i, j)) * scale);
  }
};

template <class T>
struct l2_normalise_backward_kernel {
  static constexpr int threads = 128;
  device_matrix<const T> y;
  device_vector<const double> norms;
  device_matrix<const T> dy;
  device_matrix<T> dx;

  __device__ void operator()() const {
    const std::int64_t i = grid_position::thread() / 32, lane = threadIdx.x % 32;
    if (i >= y.rows()) return;
    const double dot = warp_sum(blocked_sum(lane, y.cols(), 32, [&](std::int64_t j) { return y(i, j) * dy(i, j); }));
    const double along = norms(i) < least_norm ? 0.0 : dot, scale = 1 / norm_divisor(norms(i));
    for (std::int64_t j = lane; j < y.cols(); j += 32)
      dx(i, j) = static_cast<T>((static_cast<double>(dy(i, j)) - along * static_cast<double>(y(i, j))) * scale);
  }
};

template <>
struct l2_normalise_impl<cuda> {
  template <class T>
  static void run(cuda& backend, device_matrix<const T> x, device_matrix<T> y, device_vector<double> norms) {
    using kernel = l2_normalise_kernel<T>;
    launch(backend, {chunk_count(x.rows(), kernel::threads / 32)}, kernel{x, y, norms});
  }
};

template <>
struct l2_normalise_backward_impl<cuda> {
  template <class T>
  static void run(cuda& backend, device_matrix<const T> y, device_vector<const double> norms, device_matrix<const T> dy,
                  device_matrix<T> dx) {
    using kernel = l2_normalise_backward_kernel<T>;
    launch(backend, {chunk_count(y.rows(), kernel::threads / 32)}, kernel{y, norms, dy, dx});
  }
};

}  // namespace milkit::ops::detail
