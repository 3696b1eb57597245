#pragma once

#include <cmath>

#include <milkit/core/backend.hpp>

namespace milkit::ops {

namespace detail {
template <class Backend>
struct batch_norm2d_impl {
  static_assert(
      dependent_false<Backend>,
      "milkit::ops::batch_norm2d: no implementation for this backend here; include "
      "<milkit/ops/images/batch_norm2d_cpu.hpp> for cpu or <milkit/ops/images/batch_norm2d_cuda.cuh> for cuda");
};
template <class Backend>
struct batch_norm2d_backward_impl {
  static_assert(
      dependent_false<Backend>,
      "milkit::ops::batch_norm2d_backward: no implementation for this backend here; include "
      "<milkit/ops/images/batch_norm2d_cpu.hpp> for cpu or <milkit/ops/images/batch_norm2d_cuda.cuh> for cuda");
};
template <class Backend>
struct batch_norm2d_track_impl {
  static_assert(
      dependent_false<Backend>,
      "milkit::ops::batch_norm2d_track: no implementation for this backend here; include "
      "<milkit/ops/images/batch_norm2d_cpu.hpp> for cpu or <milkit/ops/images/batch_norm2d_cuda.cuh> for cuda");
};

/// Mean and variance of a channel.
template <class T, class Space>
struct channel_statistics {
  vector_view<T, Space> mean, variance;
};

/// What normalises a channel, as it lies in `moments`.
struct channel_moments {
  double mean, scale, variance;
};
/// From sums of x - pivot and their squares over `count` values, or of no values.
MILKIT_HD inline channel_moments moments_of(double pivot, double sum, double squares, double count, double eps) {
  using std::sqrt;
  if (count == 0) return {0, 1 / sqrt(eps), 0};
  const double shift = sum / count, spread = squares / count - shift * shift;
  const double variance = spread < 0 ? 0 : spread;
  return {pivot + shift, 1 / sqrt(variance + eps), variance};
}
}  // namespace detail

/// Batch norm of images (Ioffe & Szegedy 2015): y = w_c (x - m_c) r_c + b_c with r = 1 / sqrt(variance + eps). Where
/// `running_mean` and `running_variance` are absent, m and the variance are those of channel c over batch, height and
/// width (divided by their number), else these constants. Shapes: x and y [n, c, h, w] (n may be 0), weight, bias and
/// running ones [c], moments [c, 3]: (m, r, variance) in double. A constant channel, a single value too, has variance 0 and
/// gives b (NaN for eps = 0); NaN in a channel of the batch: NaN in all of it. Sums in double. Cost: O(|x|), parallel over
/// channels on cpu. Errors: shape_error; value_error for an eps that is negative or NaN.
template <backend Backend, class X, class Weight, class Bias, class Running, class Y, class Moments>
requires resident_on<X, Backend> && resident_on<Y, Backend> && resident_on<Moments, Backend>
void batch_norm2d(Backend& backend, X x, Weight weight, Bias bias, Running running_mean, Running running_variance,
                  double eps, Y y, Moments moments) {
  using T = typename Y::value_type;
  using Space = typename Backend::space;
  constexpr const char* op = "milkit::ops::batch_norm2d";
  const std::int64_t channels = x.extent(1);
  expect_value(eps >= 0, op, "eps is ", eps, ", expected 0 or more");
  expect_extent(op, "extent of weight", weight.extent(0), channels);
  expect_extent(op, "extent of bias", bias.extent(0), channels);
  if (!running_mean.absent()) {
    expect_extent(op, "extent of running_mean", running_mean.extent(0), channels);
    expect_extent(op, "extent of running_variance", running_variance.extent(0), channels);
  }
  expect_shape(op, "y", y, x.shape());
  expect_shape(op, "moments", moments, shape<2>{channels, 3});
  execute<detail::batch_norm2d_impl>(backend, image_view<const T, Space>(x), vector_view<const T, Space>(weight),
                                     vector_view<const T, Space>(bias),
                                     detail::channel_statistics<const T, Space>{running_mean, running_variance}, eps,
                                     image_view<T, Space>(y), moments);
}

/// Gradients of `batch_norm2d` from dy, with h = (x - m) r: dweight += sum dy h, dbias += sum dy, and dx (left out when
/// absent; may be dy) = w r (dy - mean dy - h mean(dy h)), the means over the channel; with `constant` moments, running
/// ones, dx = w r dy.
template <backend Backend, class X, class Moments, class Weight, class Dy, class Dx, class Dweight, class Dbias>
requires resident_on<X, Backend> && resident_on<Dy, Backend> && resident_on<Dx, Backend>
void batch_norm2d_backward(Backend& backend, X x, Moments moments, bool constant, Weight weight, Dy dy, Dx dx,
                           Dweight dweight, Dbias dbias) {
  using T = typename Dweight::value_type;
  using Space = typename Backend::space;
  constexpr const char* op = "milkit::ops::batch_norm2d_backward";
  const std::int64_t channels = x.extent(1);
  expect_shape(op, "moments", moments, shape<2>{channels, 3});
  expect_extent(op, "extent of weight", weight.extent(0), channels);
  expect_shape(op, "dy", dy, x.shape());
  if (!dx.absent()) expect_shape(op, "dx", dx, x.shape());
  expect_extent(op, "extent of dweight", dweight.extent(0), channels);
  expect_extent(op, "extent of dbias", dbias.extent(0), channels);
  execute<detail::batch_norm2d_backward_impl>(
      backend, image_view<const T, Space>(x), matrix_view<const double, Space>(moments), constant,
      vector_view<const T, Space>(weight), image_view<const T, Space>(dy), image_view<T, Space>(dx),
      vector_view<T, Space>(dweight), vector_view<T, Space>(dbias));
}

/// How far a batch moves the running statistics, added to what earlier ones ask for: mean_step += momentum (m -
/// running_mean), variance_step likewise with the unbiased variance, variance values / (values - 1), and steps [1] += 1,
/// where `values`, the number of values of a channel, is at least 2; fewer have no such variance and move nothing.
template <backend Backend, class Moments, class Running, class Step>
requires resident_on<Moments, Backend> && resident_on<Running, Backend> && resident_on<Step, Backend>
void batch_norm2d_track(Backend& backend, Moments moments, std::int64_t values, double momentum, Running running_mean,
                        Running running_variance, Step mean_step, Step variance_step, Step steps) {
  using T = typename Step::value_type;
  using Space = typename Backend::space;
  constexpr const char* op = "milkit::ops::batch_norm2d_track";
  const std::int64_t channels = moments.rows();
  expect_value(momentum >= 0 && momentum <= 1, op, "momentum is ", momentum, ", expected 0 to 1");
  expect_shape(op, "moments", moments, shape<2>{channels, 3});
  for (const std::int64_t extent : {running_mean.extent(0), running_variance.extent(0)})
    expect_extent(op, "extent of a running statistic", extent, channels);
  for (const std::int64_t extent : {mean_step.extent(0), variance_step.extent(0)})
    expect_extent(op, "extent of a step", extent, channels);
  expect_extent(op, "extent of steps", steps.extent(0), 1);
  if (values < 2) return;
  execute<detail::batch_norm2d_track_impl>(
      backend, matrix_view<const double, Space>(moments), static_cast<double>(values), momentum,
      detail::channel_statistics<const T, Space>{running_mean, running_variance},
      detail::channel_statistics<T, Space>{mean_step, variance_step}, vector_view<T, Space>(steps));
}

}  // namespace milkit::ops
