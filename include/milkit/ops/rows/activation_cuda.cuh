#pragma once

#include <milkit/ops/rows/activation.hpp>
#include <milkit/ops/rows/fill_cuda.cuh>

namespace milkit::ops::detail {

template <class Function>
struct activation_value {
  template <class T>
  __device__ T operator()(T x) const {
    return Function::value(x);
  }
};
template <class Function>
struct activation_slope {
  template <class T>
  __device__ T operator()(T x_or_y, T dy) const {
    return dy * Function::slope(x_or_y, x_or_y);
  }
};

template <>
struct activate_impl<cuda> {
  template <class Function, class T>
  static void run(cuda& backend, Function, device_matrix<const T> x, device_matrix<T> y) {
    map(backend, activation_value<Function>(), y, x);
  }
};

template <>
struct activate_backward_impl<cuda> {
  template <class Function, class T>
  static void run(cuda& backend, Function, device_matrix<const T> x_or_y, device_matrix<const T> dy,
                  device_matrix<T> dx) {
    map(backend, activation_slope<Function>(), dx, x_or_y, dy);
  }
};

}  // namespace milkit::ops::detail
