#pragma once

#include <cmath>

#include <milkit/core/launch.cuh>
#include <milkit/ops/training/cross_entropy.hpp>

namespace milkit::ops::detail {

/// One warp a row.
template <class T>
struct cross_entropy_kernel {
  static constexpr int threads = 128;
  device_matrix<const T> logits;
  device_vector<const std::int64_t> labels;
  device_vector<const double> class_weight;
  double scale;
  device_vector<double> losses;
  device_matrix<T> dlogits;

  __device__ void operator()() const {
    using std::exp;
    using std::log;
    const std::int64_t b = grid_position::thread() / 32, lane = threadIdx.x % 32;
    if (b >= logits.rows()) return;
    const T* z = logits.row(b);
    double peak = static_cast<double>(z[0]);
    for (std::int64_t c = lane; c < logits.cols(); c += 32) peak = larger_number()(peak, static_cast<double>(z[c]));
    peak = warp_combine(peak, larger_number());
    double mass = 0;
    for (std::int64_t c = lane; c < logits.cols(); c += 32) mass += exp(static_cast<double>(z[c]) - peak);
    mass = warp_sum(mass);
    const std::int64_t label = labels(b);
    const double weight = class_weight.absent() ? 1.0 : class_weight(label);
    if (lane == 0 && !losses.absent()) losses(b) = weight * (peak + log(mass) - static_cast<double>(z[label]));
    if (dlogits.absent()) return;
    for (std::int64_t c = lane; c < logits.cols(); c += 32)
      dlogits(b, c) =
          static_cast<T>(scale * weight * (exp(static_cast<double>(z[c]) - peak) / mass - (c == label ? 1.0 : 0.0)));
  }
};

template <class T>
struct binary_cross_entropy_element {
  device_vector<const T> logits;
  device_vector<const std::int64_t> labels;
  double positive_weight, scale;
  device_vector<double> losses;
  device_vector<T> dlogits;

  __device__ void operator()(std::int64_t, std::int64_t b) const {
    using std::exp;
    using std::fabs;
    using std::log1p;
    const bool positive = labels(b) != 0;
    const double z =
        positive ? -static_cast<double>(logits(b)) : static_cast<double>(logits(b));  // loss = log(1 + exp z)
    const double weight = positive ? positive_weight : 1.0, e = exp(-fabs(z));
    if (!losses.absent()) losses(b) = weight * ((z > 0 || z != z ? z : 0.0) + log1p(e));
    const double slope = (z < 0 ? e : 1.0) / (1.0 + e);
    if (!dlogits.absent()) dlogits(b) = static_cast<T>(scale * weight * (positive ? -slope : slope));
  }
};

template <>
struct cross_entropy_impl<cuda> {
  template <class T>
  static void run(cuda& backend, device_matrix<const T> logits, device_vector<const std::int64_t> labels,
                  device_vector<const double> class_weight, double scale, device_vector<double> losses,
                  device_matrix<T> dlogits) {
    using kernel = cross_entropy_kernel<T>;
    launch(backend, {chunk_count(logits.rows(), kernel::threads / 32)},
           kernel{logits, labels, class_weight, scale, losses, dlogits});
  }
};

template <>
struct binary_cross_entropy_impl<cuda> {
  template <class T>
  static void run(cuda& backend, device_vector<const T> logits, device_vector<const std::int64_t> labels,
                  double positive_weight, double scale, device_vector<double> losses, device_vector<T> dlogits) {
    for_each_element(backend, 1, logits.extent(0),
                     binary_cross_entropy_element<T>{logits, labels, positive_weight, scale, losses, dlogits});
  }
};

}  // namespace milkit::ops::detail
