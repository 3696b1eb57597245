#pragma once

#include <milkit/core/launch.cuh>
#include <milkit/ops/fill.hpp>

namespace milkit::ops::detail {

/// Views of one shape as one row, where none of them has gaps: no division for each element.
template <class... Views>
shape<2> element_shape(const shape<2>& s, const Views&... views) {
  return (views.contiguous() && ...) ? shape<2>{1, s.size()} : s;
}

template <class T>
struct fill_element {
  device_matrix<T> x;
  T value;
  __device__ void operator()(std::int64_t i, std::int64_t j) const { x(i, j) = value; }
};

template <class T>
struct copy_element {
  device_matrix<const T> x;
  device_matrix<T> y;
  bool accumulate;
  __device__ void operator()(std::int64_t i, std::int64_t j) const { y(i, j) = accumulate ? y(i, j) + x(i, j) : x(i, j); }
};

template <>
struct fill_impl<cuda> {
  template <class T>
  static void run(cuda& backend, device_matrix<T> x, T value) {
    const shape<2> s = element_shape(x.shape(), x);
    for_each_element(backend, s[0], s[1], fill_element<T>{x, value});
  }
};

template <>
struct copy_rows_impl<cuda> {
  template <class T>
  static void run(cuda& backend, device_matrix<const T> x, device_matrix<T> y, bool accumulate) {
    const shape<2> s = element_shape(x.shape(), x, y);
    for_each_element(backend, s[0], s[1], copy_element<T>{x, y, accumulate});
  }
};

}  // namespace milkit::ops::detail
