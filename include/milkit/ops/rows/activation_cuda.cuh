#pragma once

#include <milkit/ops/rows/activation.hpp>
#include <milkit/ops/rows/fill_cuda.cuh>

namespace milkit::ops::detail {

template <class Function>
struct activation_value {
  Function f;
  template <class T>
  __device__ T operator()(T x) const {
    return f.value(x);
  }
};
template <class Function>
struct activation_slope {
  Function f;
  template <class T>
  __device__ T operator()(T x_or_y, T dy) const {
    return dy * f.slope(x_or_y, x_or_y);
  }
};

template <>
struct activate_impl<cuda> {
  template <class Function, class T>
  static void run(cuda& backend, Function f, device_matrix<const T> x, device_matrix<T> y) {
    map(backend, activation_value<Function>{f}, y, x);
  }
};

template <>
struct activate_backward_impl<cuda> {
  template <class Function, class T>
  static void run(cuda& backend, Function f, device_matrix<const T> x_or_y, device_matrix<const T> dy,
                  device_matrix<T> dx) {
    map(backend, activation_slope<Function>{f}, dx, x_or_y, dy);
  }
};

}  // namespace milkit::ops::detail
