#pragma once

#include <milkit/ops/images/batch_norm2d.hpp>
#include <milkit/ops/images/pool2d_cuda.cuh>
#include <milkit/ops/rows/layer_norm_cuda.cuh>

namespace milkit::ops::detail {

/// Two sums over each channel, in double and in parts of a fixed size, which are added in ascending order: a block a part.
template <class Terms>
struct channel_sums_kernel {
  static constexpr int threads = 256;
  static constexpr std::int64_t part = 8192;
  Terms terms;
  std::int64_t pixels, count;
  device_matrix<double> partial;  ///< [channels, 2 parts]

  __device__ void operator()() const {
    const std::int64_t c = blockIdx.y, first = std::int64_t{blockIdx.x} * part,
                       last = first + part < count ? first + part : count;
    double sums[2] = {0, 0};
    for (std::int64_t e = first + threadIdx.x; e < last; e += threads) terms(e / pixels, c, e % pixels, sums);
    for (int s = 0; s < 2; ++s) {
      const double sum = block_sum<threads>(sums[s]);
      if (threadIdx.x == 0) partial(c, 2 * std::int64_t{blockIdx.x} + s) = sum;
    }
  }
};
__device__ inline double channel_sum(device_matrix<double> partial, std::int64_t c, std::int64_t which) {
  double sum = 0;
  for (std::int64_t j = which; j < partial.cols(); j += 2) sum += partial(c, j);
  return sum;
}

inline device_matrix<double> channel_sums_scratch(cuda& backend, const shape<4>& x) {
  const std::int64_t parts = chunk_count(x[0] * x[2] * x[3], channel_sums_kernel<int>::part);
  return backend.workspace.template allocate<double>(shape<2>{x[1], 2 * parts});
}
template <class Terms>
void channel_sums(cuda& backend, device_matrix<double> partial, const shape<4>& x, const Terms& terms) {
  launch(backend, {partial.cols() / 2, x[1]},
         channel_sums_kernel<Terms>{terms, x[2] * x[3], x[0] * x[2] * x[3], partial});
}

/// Sums of x - its channel's first value, which keep their digits far from 0, and of their squares.
template <class T>
struct batch_moments_terms {
  device_images<const T> x;
  __device__ double pivot(std::int64_t c) const { return static_cast<double>(x.row(0)[c * x.extent(2) * x.extent(3)]); }
  __device__ void operator()(std::int64_t n, std::int64_t c, std::int64_t p, double* sums) const {
    const double off = static_cast<double>(x.row(n)[c * x.extent(2) * x.extent(3) + p]) - pivot(c);
    sums[0] += off, sums[1] += off * off;
  }
};
template <class T>
struct batch_moments_element {
  batch_moments_terms<T> of;
  channel_statistics<const T, device_space> running;
  device_matrix<double> partial;
  double eps;
  device_matrix<double> moments;
  __device__ void operator()(std::int64_t, std::int64_t c) const {
    using std::sqrt;
    const auto count = static_cast<double>(of.x.size() / of.x.extent(1));
    channel_moments m;
    if (running.mean.absent()) {
      m = moments_of(count == 0 ? 0.0 : of.pivot(c), channel_sum(partial, c, 0), channel_sum(partial, c, 1), count,
                     eps);
    } else {
      m.mean = static_cast<double>(running.mean(c)), m.variance = static_cast<double>(running.variance(c));
      m.scale = 1 / sqrt(m.variance + eps);
    }
    moments(c, 0) = m.mean, moments(c, 1) = m.scale, moments(c, 2) = m.variance;
  }
};
template <class T>
struct batch_norm2d_element {
  device_images<const T> x;
  device_matrix<const double> moments;
  device_vector<const T> weight, bias;
  device_images<T> y;
  __device__ void operator()(std::int64_t plane, std::int64_t p) const {
    const std::int64_t c = plane % x.extent(1);
    const T h = split_mean<T>(moments(c, 0)).distance(plane_of(x, plane)[p]) * static_cast<T>(moments(c, 1));
    plane_of(y, plane)[p] = h * weight(c) + bias(c);
  }
};

/// Sums of dy and of dy h.
template <class T>
struct batch_norm2d_backward_terms {
  device_images<const T> x, dy;
  device_matrix<const double> moments;
  __device__ T normalised(std::int64_t n, std::int64_t c, std::int64_t at) const {
    return split_mean<T>(moments(c, 0)).distance(x.row(n)[at]) * static_cast<T>(moments(c, 1));
  }
  __device__ void operator()(std::int64_t n, std::int64_t c, std::int64_t p, double* sums) const {
    const std::int64_t at = c * x.extent(2) * x.extent(3) + p;
    const T up = dy.row(n)[at];
    sums[0] += static_cast<double>(up), sums[1] += static_cast<double>(up * normalised(n, c, at));
  }
};
template <class T>
struct batch_norm2d_gradient_element {
  device_matrix<double> partial, sums;
  device_vector<T> dweight, dbias;
  __device__ void operator()(std::int64_t, std::int64_t c) const {
    for (int s = 0; s < 2; ++s) sums(c, s) = channel_sum(partial, c, s);
    dbias(c) += static_cast<T>(sums(c, 0)), dweight(c) += static_cast<T>(sums(c, 1));
  }
};
template <class T>
struct batch_norm2d_backward_element {
  batch_norm2d_backward_terms<T> of;
  device_matrix<double> sums;
  bool constant;
  device_vector<const T> weight;
  device_images<T> dx;
  __device__ void operator()(std::int64_t plane, std::int64_t p) const {
    const std::int64_t n = plane / dx.extent(1), c = plane % dx.extent(1), at = c * dx.extent(2) * dx.extent(3) + p;
    T up = of.dy.row(n)[at];
    if (!constant) {
      const auto count = static_cast<double>(dx.size() / dx.extent(1));
      up -= static_cast<T>(sums(c, 0) / count) + of.normalised(n, c, at) * static_cast<T>(sums(c, 1) / count);
    }
    dx.row(n)[at] = weight(c) * static_cast<T>(of.moments(c, 1)) * up;
  }
};

template <class T>
struct batch_norm2d_track_element {
  device_matrix<const double> moments;
  double values, momentum;
  channel_statistics<const T, device_space> running;
  channel_statistics<T, device_space> step;
  device_vector<T> steps;
  __device__ void operator()(std::int64_t, std::int64_t c) const {
    const double unbiased = moments(c, 2) * values / (values - 1);
    step.mean(c) += static_cast<T>(momentum * (moments(c, 0) - static_cast<double>(running.mean(c))));
    step.variance(c) += static_cast<T>(momentum * (unbiased - static_cast<double>(running.variance(c))));
    if (c == 0) steps(0) += T(1);
  }
};

template <>
struct batch_norm2d_impl<cuda> {
  template <class T, class... Rest>
  static device_matrix<double> scratch(cuda& backend, device_images<const T> x, const Rest&...) {
    return channel_sums_scratch(backend, x.shape());
  }
  template <class T>
  static void run(cuda& backend, device_matrix<double> partial, device_images<const T> x, device_vector<const T> weight,
                  device_vector<const T> bias, const channel_statistics<const T, device_space>& running, double eps,
                  device_images<T> y, device_matrix<double> moments) {
    const batch_moments_terms<T> of{x};
    if (running.mean.absent()) channel_sums(backend, partial, x.shape(), of);
    for_each_element(backend, 1, x.extent(1), batch_moments_element<T>{of, running, partial, eps, moments});
    for_each_pixel(backend, x.shape(), batch_norm2d_element<T>{x, moments, weight, bias, y});
  }
};

/// The parts of the sums, and the sums.
struct batch_norm2d_sums {
  device_matrix<double> partial, sums;
};
template <>
struct batch_norm2d_backward_impl<cuda> {
  template <class T, class... Rest>
  static batch_norm2d_sums scratch(cuda& backend, device_images<const T> x, const Rest&...) {
    return {channel_sums_scratch(backend, x.shape()),
            backend.workspace.template allocate<double>(shape<2>{x.extent(1), 2})};
  }
  template <class T>
  static void run(cuda& backend, const batch_norm2d_sums& use, device_images<const T> x,
                  device_matrix<const double> moments, bool constant, device_vector<const T> weight,
                  device_images<const T> dy, device_images<T> dx, device_vector<T> dweight, device_vector<T> dbias) {
    if (x.size() == 0) return;
    const batch_norm2d_backward_terms<T> of{x, dy, moments};
    channel_sums(backend, use.partial, x.shape(), of);
    for_each_element(backend, 1, x.extent(1), batch_norm2d_gradient_element<T>{use.partial, use.sums, dweight, dbias});
    if (!dx.absent())
      for_each_pixel(backend, dx.shape(), batch_norm2d_backward_element<T>{of, use.sums, constant, weight, dx});
  }
};

template <>
struct batch_norm2d_track_impl<cuda> {
  template <class T>
  static void run(cuda& backend, device_matrix<const double> moments, double values, double momentum,
                  const channel_statistics<const T, device_space>& running,
                  const channel_statistics<T, device_space>& step, device_vector<T> steps) {
    for_each_element(backend, 1, moments.rows(),
                     batch_norm2d_track_element<T>{moments, values, momentum, running, step, steps});
  }
};

}  // namespace milkit::ops::detail
