#pragma once

#include <milkit/core/backend.hpp>
#include <milkit/core/parallel_for.hpp>

namespace milkit::ops {

namespace detail {

/// One axis of an area average, from `size` pixels to `out`. In units of 1 / (size out) of the axis source pixel p covers
/// [p out, (p + 1) out) and target pixel j [j size, (j + 1) size), so that every bound and every weight is exact.
struct area_axis {
  std::int64_t size, out;
  double share;
  area_axis(std::int64_t size_, std::int64_t out_) : size(size_), out(out_), share(1 / static_cast<double>(size_)) {}

  /// The source pixels that target pixel j is made of; the target pixels that source pixel p is in.
  MILKIT_HD row_range sources(std::int64_t j) const { return covered(j, size, out); }
  MILKIT_HD row_range targets(std::int64_t p) const { return covered(p, out, size); }
  MILKIT_HD double weight(std::int64_t j, std::int64_t p) const {
    const std::int64_t low = j * size > p * out ? j * size : p * out;
    const std::int64_t high = (j + 1) * size < (p + 1) * out ? (j + 1) * size : (p + 1) * out;
    return static_cast<double>(high - low) * share;
  }
  /// Whether each target pixel is made of whole source pixels.
  bool whole() const { return size % out == 0; }

 private:
  MILKIT_HD static row_range covered(std::int64_t i, std::int64_t own, std::int64_t other) {
    const std::int64_t first = i * own / other;
    return {first, ((i + 1) * own + other - 1) / other - first};
  }
};

/// One axis of bilinear sampling: target pixel j lies at (j + 1/2) size / out - 1/2, which is at most half a pixel outside;
/// there the outermost pixel goes on. In units of 1 / (2 out) of a source pixel.
struct bilinear_axis {
  std::int64_t size, out;

  MILKIT_HD row_range sources(std::int64_t j) const {
    const std::int64_t at = place(j), first = at / (2 * out);
    return {first, at % (2 * out) == 0 || first == size - 1 ? 1 : 2};
  }
  MILKIT_HD row_range targets(std::int64_t p) const {
    const std::int64_t low = 2 * out * (p - 1) + out - size, high = 2 * out * (p + 1) + out - size;
    const std::int64_t first = p == 0 || low < 0 ? 0 : low / (2 * size) + 1;
    const std::int64_t last = p == size - 1 ? out : high <= 0 ? 0 : (high + 2 * size - 1) / (2 * size);
    return {first, last > first ? last - first : 0};
  }
  MILKIT_HD double weight(std::int64_t j, std::int64_t p) const {
    const std::int64_t off = place(j) - 2 * out * p;  // beyond the last pixel: positive, and nothing else has a share
    if (off > 0 && p == size - 1) return 1;
    return 1 - static_cast<double>(off < 0 ? -off : off) / static_cast<double>(2 * out);
  }
  bool whole() const { return false; }

 private:
  MILKIT_HD std::int64_t place(std::int64_t j) const {
    const std::int64_t at = (2 * j + 1) * size - out;
    return at > 0 ? at : 0;
  }
};

/// The same weights the other way: from the gradient of the targets to that of the sources.
template <class Axis>
struct adjoint_axis {
  Axis axis;
  MILKIT_HD row_range sources(std::int64_t p) const { return axis.targets(p); }
  MILKIT_HD double weight(std::int64_t p, std::int64_t j) const { return axis.weight(j, p); }
  bool whole() const { return false; }
};

/// A linear map of images to images of another size that works on rows and columns separately.
template <class Axis>
struct resampling {
  Axis rows, columns;
};

template <class Backend>
struct resample2d_impl {
  static_assert(dependent_false<Backend>,
                "milkit::ops::area_average, bilinear: no implementation for this backend here; include "
                "<milkit/ops/images/resample2d_cpu.hpp> for cpu or <milkit/ops/images/resample2d_cuda.cuh> for cuda");
};

/// Throws shape_error unless `y` has the images and channels of `x` and both have a pixel.
template <class X, class Y>
void expect_resampling(const char* op, const char* x_name, const X& x, const char* y_name, const Y& y) {
  expect_shape(op, y_name, y, shape<4>{x.extent(0), x.extent(1), y.extent(2), y.extent(3)});
  if (x.extent(2) * x.extent(3) == 0 || y.extent(2) * y.extent(3) == 0)
    throw shape_error(message(op, ": ", x_name, " is ", to_string(x.shape()), " and ", y_name, " ",
                              to_string(y.shape()), ", expected at least one pixel each"));
}

template <class Axis, class Backend, class X, class Y>
void resample2d(const char* op, Backend& backend, X x, Y y) {
  using T = typename Y::value_type;
  using Space = typename Backend::space;
  expect_resampling(op, "x", x, "y", y);
  execute<resample2d_impl>(backend, resampling<Axis>{{x.extent(2), y.extent(2)}, {x.extent(3), y.extent(3)}},
                           image_view<const T, Space>(x), image_view<T, Space>(y));
}
template <class Axis, class Backend, class Dy, class Dx>
void resample2d_backward(const char* op, Backend& backend, Dy dy, Dx dx) {
  using T = typename Dx::value_type;
  using Space = typename Backend::space;
  expect_resampling(op, "dx", dx, "dy", dy);
  execute<resample2d_impl>(
      backend, resampling<adjoint_axis<Axis>>{{{dx.extent(2), dy.extent(2)}}, {{dx.extent(3), dy.extent(3)}}},
      image_view<const T, Space>(dy), image_view<T, Space>(dx));
}

}  // namespace detail

/// Area average: y[n, c, i, j] is the mean of image x[n, c] over the rectangle [i h / h2, (i + 1) h / h2) x [j w / w2,
/// (j + 1) w / w2), where each source pixel counts with the part of it that lies inside. Shapes: x [n, c, h, w], y [n, c,
/// h2, w2] of any size of at least one pixel; n may be 0. Factors h / h2 need not be integers; below 1 each pixel of y has
/// the value of the pixel of x that it lies in, or of the part of two. Sums in double, except integer factors of at most
/// 1000 pixels, which cpu adds in the images' own type. NaN reaches the pixels of y that it has a share in. Cost: O(|x|).
/// cpu: parallel over rows of y, one row of x of memory a thread. Errors: shape_error.
template <backend Backend, class X, class Y>
requires resident_on<X, Backend> && resident_on<Y, Backend>
void area_average(Backend& backend, X x, Y y) {
  detail::resample2d<detail::area_axis>("milkit::ops::area_average", backend, x, y);
}
/// dx [n, c, h, w] from dy [n, c, h2, w2]: each pixel gathers its shares.
template <backend Backend, class Dy, class Dx>
requires resident_on<Dy, Backend> && resident_on<Dx, Backend>
void area_average_backward(Backend& backend, Dy dy, Dx dx) {
  detail::resample2d_backward<detail::area_axis>("milkit::ops::area_average_backward", backend, dy, dx);
}

/// Bilinear sampling without a filter, as cv2's INTER_LINEAR and PyTorch's align_corners=False have it: y[n, c, i, j] is x
/// at row (i + 1/2) h / h2 - 1/2 and column (j + 1/2) w / w2 - 1/2, linear between the four pixels around it; outside the
/// outermost pixels their values go on. An odd integer factor takes the centre pixel of each block, an even one the mean of
/// the central four. Shapes, errors and cost as `area_average`; enlarges as well.
template <backend Backend, class X, class Y>
requires resident_on<X, Backend> && resident_on<Y, Backend>
void bilinear(Backend& backend, X x, Y y) {
  detail::resample2d<detail::bilinear_axis>("milkit::ops::bilinear", backend, x, y);
}
template <backend Backend, class Dy, class Dx>
requires resident_on<Dy, Backend> && resident_on<Dx, Backend>
void bilinear_backward(Backend& backend, Dy dy, Dx dx) {
  detail::resample2d_backward<detail::bilinear_axis>("milkit::ops::bilinear_backward", backend, dy, dx);
}

}  // namespace milkit::ops
