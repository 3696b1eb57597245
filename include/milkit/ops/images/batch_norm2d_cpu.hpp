#pragma once

#include <cmath>

#include <milkit/core/compiled.hpp>
#include <milkit/ops/images/batch_norm2d.hpp>
#include <milkit/ops/rows/layer_norm_cpu.hpp>

namespace milkit::ops::detail {

/// Calls `body(channel)` for every channel, in fixed chunks of them.
template <class Body>
void for_each_channel(cpu& backend, const shape<4>& x, Body&& body) {
  parallel_for(backend, x[1], elementwise_rows(x[0] * x[2] * x[3]), [&](row_range channels) {
    for (std::int64_t c = channels.first; c < channels.first + channels.count; ++c) body(c);
  });
}

/// The start of a channel in each image, and sums over the channel in a fixed order.
template <class T>
struct channel_of {
  image_view<T> x;
  std::int64_t channel;
  std::int64_t pixels = x.extent(2) * x.extent(3);

  T* operator()(std::int64_t image) const { return x.row(image) + channel * pixels; }
};

template <>
struct batch_norm2d_impl<cpu> {
  template <class T>
  static void run(cpu& backend, image_view<const T> x, vector_view<const T> weight, vector_view<const T> bias,
                  const channel_statistics<const T, host_space>& running, double eps, image_view<T> y,
                  matrix_view<double> moments) {
    for_each_channel(backend, x.shape(), [&](std::int64_t c) {
      const channel_of<const T> from{x, c};
      const channel_of<T> to{y, c};
      const channel_moments of = running.mean.absent() ? of_batch(from, eps) : of_running(running, c, eps);
      moments(c, 0) = of.mean, moments(c, 1) = of.scale, moments(c, 2) = of.variance;
      for (std::int64_t n = 0; n < x.rows(); ++n) {
        const T* in = from(n);
        T* out = to(n);
        for (std::int64_t p = 0; p < from.pixels; ++p)
          out[p] = static_cast<T>((static_cast<double>(in[p]) - of.mean) * of.scale) * weight(c) + bias(c);
      }
    });
  }

 private:
  template <class T>
  static channel_moments of_batch(const channel_of<const T>& from, double eps) {
    const double count = static_cast<double>(from.x.rows() * from.pixels);
    const double pivot = count == 0 ? 0 : static_cast<double>(from(0)[0]);
    double sum = 0, squares = 0;
    for (std::int64_t n = 0; n < from.x.rows(); ++n)
      sum += fixed_order_sum(from.pixels,
                             [in = from(n), pivot](std::int64_t p) { return static_cast<double>(in[p]) - pivot; });
    const double mean = count == 0 ? 0 : pivot + sum / count;
    for (std::int64_t n = 0; n < from.x.rows(); ++n)
      squares += fixed_order_sum(from.pixels, [in = from(n), mean](std::int64_t p) {
        const double off = static_cast<double>(in[p]) - mean;
        return off * off;
      });
    return moments_of(mean, 0, squares, count, eps);
  }
  template <class T>
  static channel_moments of_running(const channel_statistics<const T, host_space>& running, std::int64_t c,
                                    double eps) {
    const auto variance = static_cast<double>(running.variance(c));
    return {static_cast<double>(running.mean(c)), 1 / std::sqrt(variance + eps), variance};
  }
};

template <>
struct batch_norm2d_backward_impl<cpu> {
  template <class T>
  static void run(cpu& backend, image_view<const T> x, matrix_view<const double> moments, bool constant,
                  vector_view<const T> weight, image_view<const T> dy, image_view<T> dx, vector_view<T> dweight,
                  vector_view<T> dbias) {
    const double count = static_cast<double>(x.rows() * x.extent(2) * x.extent(3));
    if (count == 0) return;
    for_each_channel(backend, x.shape(), [&](std::int64_t c) {
      const channel_of<const T> from{x, c}, upstream{dy, c};
      const double mean = moments(c, 0), scale = moments(c, 1);
      double sum = 0, dot = 0;
      for (std::int64_t n = 0; n < x.rows(); ++n) {
        const T *in = from(n), *up = upstream(n);
        sum += fixed_order_sum(from.pixels, [&](std::int64_t p) { return static_cast<double>(up[p]); });
        dot += fixed_order_sum(from.pixels, [&](std::int64_t p) {
          return static_cast<double>(up[p]) * (static_cast<double>(in[p]) - mean) * scale;
        });
      }
      dweight(c) += static_cast<T>(dot);
      dbias(c) += static_cast<T>(sum);
      if (dx.absent()) return;
      const double slope = static_cast<double>(weight(c)) * scale;
      const double mean_dy = constant ? 0 : sum / count, mean_dot = constant ? 0 : dot / count;
      const channel_of<T> to{dx, c};
      for (std::int64_t n = 0; n < x.rows(); ++n) {
        const T *in = from(n), *up = upstream(n);
        T* out = to(n);
        for (std::int64_t p = 0; p < from.pixels; ++p) {
          const double h = (static_cast<double>(in[p]) - mean) * scale;
          out[p] = static_cast<T>(slope * (static_cast<double>(up[p]) - mean_dy - h * mean_dot));
        }
      }
    });
  }
};

template <>
struct batch_norm2d_track_impl<cpu> {
  template <class T>
  static void run(cpu&, matrix_view<const double> moments, double values, double momentum,
                  const channel_statistics<const T, host_space>& running, const channel_statistics<T, host_space>& step,
                  vector_view<T> steps) {
    for (std::int64_t c = 0; c < moments.rows(); ++c) {
      const double unbiased = moments(c, 2) * values / (values - 1);
      step.mean(c) += static_cast<T>(momentum * (moments(c, 0) - static_cast<double>(running.mean(c))));
      step.variance(c) += static_cast<T>(momentum * (unbiased - static_cast<double>(running.variance(c))));
    }
    steps(0) += T(1);
  }
};

MILKIT_COMPILED_OP(batch_norm2d_impl, image_view<const T>, vector_view<const T>, vector_view<const T>,
                   channel_statistics<const T, host_space>, double, image_view<T>, matrix_view<double>);
MILKIT_COMPILED_OP(batch_norm2d_backward_impl, image_view<const T>, matrix_view<const double>, bool,
                   vector_view<const T>, image_view<const T>, image_view<T>, vector_view<T>, vector_view<T>);
MILKIT_COMPILED_OP(batch_norm2d_track_impl, matrix_view<const double>, double, double,
                   channel_statistics<const T, host_space>, channel_statistics<T, host_space>, vector_view<T>);

}  // namespace milkit::ops::detail
