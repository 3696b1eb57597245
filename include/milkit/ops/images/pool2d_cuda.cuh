#pragma once

#include <milkit/core/launch.cuh>
#include <milkit/ops/images/pool2d.hpp>

namespace milkit::ops::detail {

/// One axis of windows: which elements a window holds, and which windows hold an element.
struct window_axis {
  std::int64_t size, windows, kernel, stride, padding;
  __device__ std::int64_t begin(std::int64_t i) const { return i * stride - padding; }
  __device__ std::int64_t first(std::int64_t i) const { return begin(i) > 0 ? begin(i) : 0; }
  __device__ std::int64_t last(std::int64_t i) const { return begin(i) + kernel < size ? begin(i) + kernel : size; }
  __device__ std::int64_t first_window(std::int64_t at) const {
    const std::int64_t before = at + padding - kernel + 1;
    return before <= 0 ? 0 : (before + stride - 1) / stride;
  }
  __device__ std::int64_t last_window(std::int64_t at) const {
    const std::int64_t i = (at + padding) / stride;
    return i < windows - 1 ? i : windows - 1;
  }
};
struct window_axes {
  window_axis y, x;
  window_axes(const shape<4>& image, const shape<4>& pooled, const pool2d_options& o)
      : y{image[2], pooled[2], o.kernel, o.stride, o.padding}, x{image[3], pooled[3], o.kernel, o.stride, o.padding} {}
};

/// The start of plane p, of all images' channels.
template <class T>
__device__ T* plane_of(device_images<T> images, std::int64_t p) {
  return images.row(p / images.extent(1)) + p % images.extent(1) * images.extent(2) * images.extent(3);
}

template <class T>
struct max_pool2d_element {
  window_axes axes;
  device_images<const T> x;
  device_images<T> y;
  device_images<window_position> position;
  __device__ void operator()(std::int64_t plane, std::int64_t e) const {
    const std::int64_t i = e / axes.x.windows, j = e % axes.x.windows;
    const T* from = plane_of(x, plane);
    T best = from[axes.y.first(i) * axes.x.size + axes.x.first(j)];
    std::int64_t at = (axes.y.first(i) - axes.y.begin(i)) * axes.x.kernel + axes.x.first(j) - axes.x.begin(j);
    for (std::int64_t r = axes.y.first(i); r < axes.y.last(i); ++r)
      for (std::int64_t c = axes.x.first(j); c < axes.x.last(j); ++c)
        if (const T value = from[r * axes.x.size + c]; value > best || value != value) {
          best = value;
          at = (r - axes.y.begin(i)) * axes.x.kernel + c - axes.x.begin(j);
        }
    plane_of(y, plane)[e] = best;
    if (!position.absent()) plane_of(position, plane)[e] = static_cast<window_position>(at);
  }
};

/// Each element gathers from the windows that hold it, in their order: no atomics.
template <class T>
struct max_pool2d_backward_element {
  window_axes axes;
  device_images<const window_position> position;
  device_images<const T> dy;
  device_images<T> dx;
  __device__ void operator()(std::int64_t plane, std::int64_t e) const {
    const std::int64_t r = e / axes.x.size, c = e % axes.x.size;
    const T* from = plane_of(dy, plane);
    const window_position* where = plane_of(position, plane);
    T sum = 0;
    for (std::int64_t i = axes.y.first_window(r); i <= axes.y.last_window(r); ++i)
      for (std::int64_t j = axes.x.first_window(c); j <= axes.x.last_window(c); ++j)
        if (where[i * axes.x.windows + j] == (r - axes.y.begin(i)) * axes.x.kernel + c - axes.x.begin(j))
          sum += from[i * axes.x.windows + j];
    plane_of(dx, plane)[e] = sum;
  }
};

template <class T>
struct avg_pool2d_element {
  window_axes axes;
  device_images<const T> x;
  device_images<T> y;
  __device__ void operator()(std::int64_t plane, std::int64_t e) const {
    const std::int64_t i = e / axes.x.windows, j = e % axes.x.windows;
    const T* from = plane_of(x, plane);
    T sum = 0;
    for (std::int64_t r = axes.y.first(i); r < axes.y.last(i); ++r)
      for (std::int64_t c = axes.x.first(j); c < axes.x.last(j); ++c) sum += from[r * axes.x.size + c];
    plane_of(y, plane)[e] = sum / static_cast<T>(axes.x.kernel * axes.x.kernel);
  }
};

template <class T>
struct avg_pool2d_backward_element {
  window_axes axes;
  device_images<const T> dy;
  device_images<T> dx;
  __device__ void operator()(std::int64_t plane, std::int64_t e) const {
    const std::int64_t r = e / axes.x.size, c = e % axes.x.size;
    const T* from = plane_of(dy, plane);
    T sum = 0;
    for (std::int64_t i = axes.y.first_window(r); i <= axes.y.last_window(r); ++i)
      for (std::int64_t j = axes.x.first_window(c); j <= axes.x.last_window(c); ++j)
        sum += from[i * axes.x.windows + j];
    plane_of(dx, plane)[e] = sum / static_cast<T>(axes.x.kernel * axes.x.kernel);
  }
};

/// One warp a plane.
template <class T>
struct global_average_pool_kernel {
  static constexpr int threads = 128;
  device_images<const T> x;
  device_matrix<T> y;
  __device__ void operator()() const {
    const std::int64_t plane = grid_position::thread() / 32, lane = threadIdx.x % 32,
                       pixels = x.extent(2) * x.extent(3);
    if (plane >= y.size()) return;
    const T* from = plane_of(x, plane);
    const double sum = warp_sum(blocked_sum(lane, pixels, 32, [&](std::int64_t e) { return from[e]; }));
    if (lane == 0) y(plane / x.extent(1), plane % x.extent(1)) = static_cast<T>(sum / static_cast<double>(pixels));
  }
};
template <class T>
struct global_average_pool_backward_element {
  device_matrix<const T> dy;
  device_images<T> dx;
  __device__ void operator()(std::int64_t plane, std::int64_t e) const {
    plane_of(dx, plane)[e] =
        dy(plane / dx.extent(1), plane % dx.extent(1)) / static_cast<T>(dx.extent(2) * dx.extent(3));
  }
};

/// `element(plane, pixel)` for every pixel of images of this shape.
template <class Element>
void for_each_pixel(cuda& backend, const shape<4>& s, const Element& element) {
  for_each_element(backend, s[0] * s[1], s[2] * s[3], element);
}

template <>
struct max_pool2d_impl<cuda> {
  template <class T>
  static void run(cuda& backend, device_images<const T> x, device_images<T> y, device_images<window_position> position,
                  const pool2d_options& o) {
    for_each_pixel(backend, y.shape(), max_pool2d_element<T>{{x.shape(), y.shape(), o}, x, y, position});
  }
};
template <>
struct max_pool2d_backward_impl<cuda> {
  template <class T>
  static void run(cuda& backend, device_images<const window_position> position, device_images<const T> dy,
                  device_images<T> dx, const pool2d_options& o) {
    for_each_pixel(backend, dx.shape(), max_pool2d_backward_element<T>{{dx.shape(), dy.shape(), o}, position, dy, dx});
  }
};
template <>
struct avg_pool2d_impl<cuda> {
  template <class T>
  static void run(cuda& backend, device_images<const T> x, device_images<T> y, const pool2d_options& o) {
    for_each_pixel(backend, y.shape(), avg_pool2d_element<T>{{x.shape(), y.shape(), o}, x, y});
  }
};
template <>
struct avg_pool2d_backward_impl<cuda> {
  template <class T>
  static void run(cuda& backend, device_images<const T> dy, device_images<T> dx, const pool2d_options& o) {
    for_each_pixel(backend, dx.shape(), avg_pool2d_backward_element<T>{{dx.shape(), dy.shape(), o}, dy, dx});
  }
};
template <>
struct global_average_pool_impl<cuda> {
  template <class T>
  static void run(cuda& backend, device_images<const T> x, device_matrix<T> y) {
    using kernel = global_average_pool_kernel<T>;
    launch(backend, {chunk_count(y.size(), kernel::threads / 32)}, kernel{x, y});
  }
};
template <>
struct global_average_pool_backward_impl<cuda> {
  template <class T>
  static void run(cuda& backend, device_matrix<const T> dy, device_images<T> dx) {
    for_each_pixel(backend, dx.shape(), global_average_pool_backward_element<T>{dy, dx});
  }
};

}  // namespace milkit::ops::detail
