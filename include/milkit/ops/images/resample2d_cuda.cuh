#pragma once

#include <milkit/ops/images/pool2d_cuda.cuh>
#include <milkit/ops/images/resample2d.hpp>

namespace milkit::ops::detail {

/// Each pixel of y gathers: no atomics, in the backward pass either.
template <class Axis, class T>
struct resample2d_element {
  resampling<Axis> by;
  device_images<const T> x;
  device_images<T> y;
  __device__ void operator()(std::int64_t plane, std::int64_t e) const {
    const std::int64_t i = e / y.extent(3), j = e % y.extent(3);
    const row_range rows = by.rows.sources(i), columns = by.columns.sources(j);
    const T* from = plane_of(x, plane);
    double total = 0;
    for (std::int64_t r = rows.first; r < rows.first + rows.count; ++r) {
      const T* row = from + r * x.extent(3);
      const auto term = [&](std::int64_t c) { return static_cast<T>(by.columns.weight(j, c)) * row[c]; };
      total += by.rows.weight(i, r) * blocked_sum(columns.first, columns.first + columns.count, 1, term);
    }
    plane_of(y, plane)[e] = static_cast<T>(total);
  }
};

template <>
struct resample2d_impl<cuda> {
  template <class Axis, class T>
  static void run(cuda& backend, const resampling<Axis>& by, device_images<const T> x, device_images<T> y) {
    for_each_pixel(backend, y.shape(), resample2d_element<Axis, T>{by, x, y});
  }
};

}  // namespace milkit::ops::detail
