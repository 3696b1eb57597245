#pragma once

#include <cstdint>

#include <milkit/core/backend.hpp>
#include <milkit/ops/images/window.hpp>

namespace milkit::ops {

/// Square windows of `kernel` pixels a side, `stride` apart; windows that do not fit are left out.
struct pool2d_options {
  std::int64_t kernel = 2;
  std::int64_t stride = 2;
  std::int64_t padding = 0;
};

/// Where in its window the maximum was: row * kernel + column.
using window_position = std::uint16_t;

namespace detail {
template <class Backend>
struct max_pool2d_impl {
  static_assert(dependent_false<Backend>,
                "milkit::ops::max_pool2d: no implementation for this backend here; include "
                "<milkit/ops/images/pool2d_cpu.hpp> for cpu "
                "or <milkit/ops/images/pool2d_cuda.cuh> for cuda");
};
template <class Backend>
struct max_pool2d_backward_impl {
  static_assert(dependent_false<Backend>,
                "milkit::ops::max_pool2d_backward: no implementation for this backend here; include "
                "<milkit/ops/images/pool2d_cpu.hpp> "
                "for cpu or <milkit/ops/images/pool2d_cuda.cuh> for cuda");
};
template <class Backend>
struct avg_pool2d_impl {
  static_assert(dependent_false<Backend>,
                "milkit::ops::avg_pool2d: no implementation for this backend here; include "
                "<milkit/ops/images/pool2d_cpu.hpp> for cpu "
                "or <milkit/ops/images/pool2d_cuda.cuh> for cuda");
};
template <class Backend>
struct avg_pool2d_backward_impl {
  static_assert(dependent_false<Backend>,
                "milkit::ops::avg_pool2d_backward: no implementation for this backend here; include "
                "<milkit/ops/images/pool2d_cpu.hpp> "
                "for cpu or <milkit/ops/images/pool2d_cuda.cuh> for cuda");
};
template <class Backend>
struct global_average_pool_impl {
  static_assert(dependent_false<Backend>,
                "milkit::ops::global_average_pool: no implementation for this backend here; include "
                "<milkit/ops/images/pool2d_cpu.hpp> "
                "for cpu or <milkit/ops/images/pool2d_cuda.cuh> for cuda");
};
template <class Backend>
struct global_average_pool_backward_impl {
  static_assert(dependent_false<Backend>,
                "milkit::ops::global_average_pool_backward: no implementation for this backend here; include "
                "<milkit/ops/images/pool2d_cpu.hpp> for cpu or <milkit/ops/images/pool2d_cuda.cuh> for cuda");
};
}  // namespace detail

/// The shape of pooled images. Errors: shape_error where not one window fits; value_error for a padding beyond half the
/// kernel (a window could lie outside the image) and for a kernel above 256.
inline shape<4> pool2d_shape(const shape<4>& x, const pool2d_options& o) {
  constexpr const char* op = "milkit::ops::pool2d";
  expect_value(o.kernel <= 256, op, "the kernel's extent is ", o.kernel, ", expected at most 256");
  const shape<4> y{x[0], x[1], window_count(op, x[2], o.kernel, o.stride, o.padding),
                   window_count(op, x[3], o.kernel, o.stride, o.padding)};
  expect_value(2 * o.padding <= o.kernel, op, "the padding is ", o.padding,
               ", expected at most half the kernel's extent, ", o.kernel);
  return y;
}

/// Max pooling: y[n, c, i, j] = the largest element of the window, outside the image -infinity; `position` says which:
/// of equal ones the first in row-major order. NaN in a window: NaN, and the last NaN is the one that is taken. Shapes:
/// x [batch, channels, height, width], y and position as `pool2d_shape` says; batch may be 0. `position` is only there for
/// the backward pass and may be absent.
template <backend Backend, class X, class Y, class Position>
requires resident_on<X, Backend> && resident_on<Y, Backend> && resident_on<Position, Backend>
void max_pool2d(Backend& backend, X x, Y y, Position position, const pool2d_options& options = {}) {
  using T = typename Y::value_type;
  using Space = typename Backend::space;
  expect_shape("milkit::ops::max_pool2d", "y", y, pool2d_shape(x.shape(), options));
  if (!position.absent()) expect_shape("milkit::ops::max_pool2d", "position", position, y.shape());
  execute<detail::max_pool2d_impl>(backend, image_view<const T, Space>(x), image_view<T, Space>(y),
                                   image_view<window_position, Space>(position), options);
}

/// dx = dy at the positions that `max_pool2d` took (summed where windows overlap), else 0.
template <backend Backend, class Position, class Dy, class Dx>
requires resident_on<Position, Backend> && resident_on<Dy, Backend> && resident_on<Dx, Backend>
void max_pool2d_backward(Backend& backend, Position position, Dy dy, Dx dx, const pool2d_options& options = {}) {
  using T = typename Dx::value_type;
  using Space = typename Backend::space;
  expect_shape("milkit::ops::max_pool2d_backward", "dy", dy, pool2d_shape(dx.shape(), options));
  expect_shape("milkit::ops::max_pool2d_backward", "position", position, dy.shape());
  execute<detail::max_pool2d_backward_impl>(backend, image_view<const window_position, Space>(position),
                                            image_view<const T, Space>(dy), image_view<T, Space>(dx), options);
}

/// Average pooling: the sum of the window divided by kernel^2; padding counts as zeros. Shapes as `max_pool2d`.
template <backend Backend, class X, class Y>
requires resident_on<X, Backend> && resident_on<Y, Backend>
void avg_pool2d(Backend& backend, X x, Y y, const pool2d_options& options = {}) {
  using T = typename Y::value_type;
  using Space = typename Backend::space;
  expect_shape("milkit::ops::avg_pool2d", "y", y, pool2d_shape(x.shape(), options));
  execute<detail::avg_pool2d_impl>(backend, image_view<const T, Space>(x), image_view<T, Space>(y), options);
}

/// dx = the sum of dy / kernel^2 over the windows that an element is in.
template <backend Backend, class Dy, class Dx>
requires resident_on<Dy, Backend> && resident_on<Dx, Backend>
void avg_pool2d_backward(Backend& backend, Dy dy, Dx dx, const pool2d_options& options = {}) {
  using T = typename Dx::value_type;
  using Space = typename Backend::space;
  expect_shape("milkit::ops::avg_pool2d_backward", "dy", dy, pool2d_shape(dx.shape(), options));
  execute<detail::avg_pool2d_backward_impl>(backend, image_view<const T, Space>(dy), image_view<T, Space>(dx), options);
}

/// Mean over height and width: x [batch, channels, height, width], y [batch, channels]. Sums in double. Errors:
/// shape_error for images without pixels.
template <backend Backend, class X, class Y>
requires resident_on<X, Backend> && resident_on<Y, Backend>
void global_average_pool(Backend& backend, X x, Y y) {
  using T = typename Y::value_type;
  using Space = typename Backend::space;
  if (x.extent(2) * x.extent(3) == 0)
    throw shape_error(
        message("milkit::ops::global_average_pool: x is ", to_string(x.shape()), ", expected at least one pixel"));
  expect_shape("milkit::ops::global_average_pool", "y", y, shape<2>{x.extent(0), x.extent(1)});
  execute<detail::global_average_pool_impl>(backend, image_view<const T, Space>(x), matrix_view<T, Space>(y));
}

/// dx = dy / (height width) everywhere.
template <backend Backend, class Dy, class Dx>
requires resident_on<Dy, Backend> && resident_on<Dx, Backend>
void global_average_pool_backward(Backend& backend, Dy dy, Dx dx) {
  using T = typename Dx::value_type;
  using Space = typename Backend::space;
  expect_shape("milkit::ops::global_average_pool_backward", "dy", dy, shape<2>{dx.extent(0), dx.extent(1)});
  execute<detail::global_average_pool_backward_impl>(backend, matrix_view<const T, Space>(dy),
                                                     image_view<T, Space>(dx));
}

}  // namespace milkit::ops
