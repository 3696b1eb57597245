#pragma once

#include <milkit/ops/activation.hpp>
#include <milkit/ops/fill_cuda.cuh>

namespace milkit::ops::detail {

template <class Function, class T>
struct activate_element {
  device_matrix<const T> x;
  device_matrix<T> y;
  __device__ void operator()(std::int64_t i, std::int64_t j) const { y(i, j) = Function::value(x(i, j)); }
};

template <class Function, class T>
struct activate_backward_element {
  device_matrix<const T> x_or_y, dy;
  device_matrix<T> dx;
  __device__ void operator()(std::int64_t i, std::int64_t j) const { dx(i, j) = dy(i, j) * Function::slope(x_or_y(i, j), x_or_y(i, j)); }
};

template <>
struct activate_impl<cuda> {
  template <class Function, class T>
  static void run(cuda& backend, Function, device_matrix<const T> x, device_matrix<T> y) {
    const shape<2> s = element_shape(x.shape(), x, y);
    for_each_element(backend, s[0], s[1], activate_element<Function, T>{x, y});
  }
};

template <>
struct activate_backward_impl<cuda> {
  template <class Function, class T>
  static void run(cuda& backend, Function, device_matrix<const T> x_or_y, device_matrix<const T> dy, device_matrix<T> dx) {
    const shape<2> s = element_shape(dx.shape(), x_or_y, dy, dx);
    for_each_element(backend, s[0], s[1], activate_backward_element<Function, T>{x_or_y, dy, dx});
  }
};

}  // namespace milkit::ops::detail
