#pragma once

#include <algorithm>
#include <limits>

#include <milkit/core/compiled.hpp>
#include <milkit/core/parallel_for.hpp>
#include <milkit/ops/images/pool2d.hpp>

namespace milkit::ops::detail {

/// Calls `body(image, channel)` for every plane, in fixed chunks of planes.
template <class Body>
void for_each_plane(cpu& backend, const shape<4>& x, Body&& body) {
  const std::int64_t planes = (std::max)(std::int64_t{1}, 16384 / (std::max)(x[2] * x[3], std::int64_t{1}));
  parallel_for(backend, x[0] * x[1], planes, [&](row_range chunk) {
    for (std::int64_t p = chunk.first; p < chunk.first + chunk.count; ++p) body(p / x[1], p % x[1]);
  });
}

template <class T>
T* plane_of(image_view<T> x, std::int64_t image, std::int64_t channel) {
  return x.row(image) + channel * x.extent(2) * x.extent(3);
}

/// The part of window i that lies on an axis of `size` elements.
inline row_range window_at(std::int64_t size, const pool2d_options& o, std::int64_t i) {
  const std::int64_t begin = i * o.stride - o.padding, first = (std::max)(begin, std::int64_t{0});
  return {first, (std::min)(begin + o.kernel, size) - first};
}

/// The common case: windows of 2 x 2 side by side.
inline bool halves(const pool2d_options& o) { return o.kernel == 2 && o.stride == 2 && o.padding == 0; }

/// The position is a number of any type: one of T's width lets the compiler work on whole vectors.
template <class T, class Position>
void take_larger(T value, Position position, T& best, Position& best_position) {
  const bool take = (value > best) | (value != value);
  best = take ? value : best;
  best_position = take ? position : best_position;
}

template <>
struct max_pool2d_impl<cpu> {
  template <class T>
  static void run(cpu& backend, image_view<const T> x, image_view<T> y, image_view<window_position> position,
                  const pool2d_options& options) {
    const std::int64_t height = x.extent(2), width = x.extent(3), out_height = y.extent(2), out_width = y.extent(3);
    for_each_plane(backend, x.shape(), [&](std::int64_t image, std::int64_t channel) {
      const T* from = plane_of(x, image, channel);
      T* to = plane_of(y, image, channel);
      if (position.absent()) {
        for (std::int64_t i = 0; i < out_height; ++i)
          largest_of_row(from, width, window_at(height, options, i), options, to + i * out_width, out_width);
        return;
      }
      window_position* where = plane_of(position, image, channel);
      for (std::int64_t i = 0; i < out_height; ++i, to += out_width, where += out_width) {
        if (halves(options)) {
          halve_rows(from + 2 * i * width, from + (2 * i + 1) * width, to, where, out_width);
          continue;
        }
        for (std::int64_t j = 0; j < out_width; ++j)
          largest(from, width, window_at(height, options, i), window_at(width, options, j),
                  i * options.stride - options.padding, j * options.stride - options.padding, options.kernel, to[j],
                  where[j]);
      }
    });
  }

 private:
  /// A row of maxima alone: one place in the windows after the other, so that the loop runs along the row.
  template <class T>
  static void largest_of_row(const T* from, std::int64_t width, row_range rows, const pool2d_options& o, T* to,
                             std::int64_t count) {
    std::fill_n(to, count, -std::numeric_limits<T>::infinity());
    for (std::int64_t r = rows.first; r < rows.first + rows.count; ++r)
      for (std::int64_t c = 0; c < o.kernel; ++c) {
        const std::int64_t first = chunk_count(o.padding - c, o.stride);
        const std::int64_t last = (std::min)(count, chunk_count(width + o.padding - c, o.stride));
        const T* at = from + r * width + c - o.padding;
        if (o.stride == 2) take_along<2>(at, o.stride, first, last, to);
        else take_along<0>(at, o.stride, first, last, to);
      }
  }
  template <int Stride, class T>
  static void take_along(const T* from, std::int64_t stride, std::int64_t first, std::int64_t last, T* to) {
    for (std::int64_t j = first; j < last; ++j) {
      const T value = from[j * (Stride > 0 ? Stride : stride)];
      const bool take = (value > to[j]) | (value != value);
      to[j] = take ? value : to[j];
    }
  }

  template <class T>
  static void halve_rows(const T* upper, const T* lower, T* to, window_position* where, std::int64_t count) {
    for (std::int64_t j = 0; j < count; ++j) {
      T best = upper[2 * j], position = 0;
      take_larger(upper[2 * j + 1], T(1), best, position);
      take_larger(lower[2 * j], T(2), best, position);
      take_larger(lower[2 * j + 1], T(3), best, position);
      to[j] = best;
      where[j] = static_cast<window_position>(position);
    }
  }

  template <class T>
  static void largest(const T* from, std::int64_t width, row_range rows, row_range columns, std::int64_t top,
                      std::int64_t left, std::int64_t kernel, T& best, window_position& position) {
    const auto position_of = [&](std::int64_t r, std::int64_t c) {
      return static_cast<window_position>((r - top) * kernel + c - left);
    };
    best = from[rows.first * width + columns.first];
    position = position_of(rows.first, columns.first);
    for (std::int64_t r = rows.first; r < rows.first + rows.count; ++r)
      for (std::int64_t c = columns.first; c < columns.first + columns.count; ++c)
        take_larger(from[r * width + c], position_of(r, c), best, position);
  }
};

template <>
struct max_pool2d_backward_impl<cpu> {
  template <class T>
  static void run(cpu& backend, image_view<const window_position> position, image_view<const T> dy, image_view<T> dx,
                  const pool2d_options& options) {
    const std::int64_t height = dx.extent(2), width = dx.extent(3), out_height = dy.extent(2), out_width = dy.extent(3);
    for_each_plane(backend, dx.shape(), [&](std::int64_t image, std::int64_t channel) {
      const T* from = plane_of(dy, image, channel);
      const window_position* where = plane_of(position, image, channel);
      T* to = plane_of(dx, image, channel);
      if (halves(options)) {
        for (std::int64_t i = 0; i < out_height; ++i)
          for (std::int64_t r = 0; r < 2; ++r)
            spread_row(from + i * out_width, where + i * out_width, T(2 * r), to + (2 * i + r) * width, out_width,
                       width);
        std::fill_n(to + 2 * out_height * width, (height - 2 * out_height) * width, T(0));
        return;
      }
      std::fill_n(to, height * width, T(0));
      for (std::int64_t i = 0; i < out_height; ++i)
        for (std::int64_t j = 0; j < out_width; ++j) {
          const std::int64_t at = where[i * out_width + j];
          const std::int64_t r = i * options.stride - options.padding + at / options.kernel;
          const std::int64_t c = j * options.stride - options.padding + at % options.kernel;
          to[r * width + c] += from[i * out_width + j];
        }
    });
  }

 private:
  /// One row of dx, which two windows' positions `left` and `left + 1` fall into.
  template <class T>
  static void spread_row(const T* from, const window_position* where, T left, T* to, std::int64_t count,
                         std::int64_t width) {
    for (std::int64_t j = 0; j < count; ++j) {
      const T value = from[j], position = static_cast<T>(where[j]);
      to[2 * j] = position == left ? value : T(0);
      to[2 * j + 1] = position == left + T(1) ? value : T(0);
    }
    if (2 * count < width) to[2 * count] = T(0);
  }
};

template <>
struct avg_pool2d_impl<cpu> {
  template <class T>
  static void run(cpu& backend, image_view<const T> x, image_view<T> y, const pool2d_options& options) {
    const std::int64_t height = x.extent(2), width = x.extent(3), out_height = y.extent(2), out_width = y.extent(3);
    const T share = T(1) / static_cast<T>(options.kernel * options.kernel);
    for_each_plane(backend, x.shape(), [&](std::int64_t image, std::int64_t channel) {
      const T* from = plane_of(x, image, channel);
      T* to = plane_of(y, image, channel);
      for (std::int64_t i = 0; i < out_height; ++i, to += out_width) {
        if (halves(options)) {
          const T *upper = from + 2 * i * width, *lower = upper + width;
          for (std::int64_t j = 0; j < out_width; ++j)
            to[j] = (upper[2 * j] + upper[2 * j + 1] + lower[2 * j] + lower[2 * j + 1]) * share;
          continue;
        }
        for (std::int64_t j = 0; j < out_width; ++j) {
          const row_range rows = window_at(height, options, i), columns = window_at(width, options, j);
          double total = 0;
          for (std::int64_t r = rows.first; r < rows.first + rows.count; ++r)
            for (std::int64_t c = columns.first; c < columns.first + columns.count; ++c)
              total += static_cast<double>(from[r * width + c]);
          to[j] = static_cast<T>(total * static_cast<double>(share));
        }
      }
    });
  }
};

template <>
struct avg_pool2d_backward_impl<cpu> {
  template <class T>
  static void run(cpu& backend, image_view<const T> dy, image_view<T> dx, const pool2d_options& options) {
    const std::int64_t height = dx.extent(2), width = dx.extent(3), out_height = dy.extent(2), out_width = dy.extent(3);
    const T share = T(1) / static_cast<T>(options.kernel * options.kernel);
    for_each_plane(backend, dx.shape(), [&](std::int64_t image, std::int64_t channel) {
      const T* from = plane_of(dy, image, channel);
      T* to = plane_of(dx, image, channel);
      std::fill_n(to, height * width, T(0));
      for (std::int64_t i = 0; i < out_height; ++i)
        for (std::int64_t j = 0; j < out_width; ++j) {
          const row_range rows = window_at(height, options, i), columns = window_at(width, options, j);
          const T part = from[i * out_width + j] * share;
          for (std::int64_t r = rows.first; r < rows.first + rows.count; ++r)
            for (std::int64_t c = columns.first; c < columns.first + columns.count; ++c) to[r * width + c] += part;
        }
    });
  }
};

template <>
struct global_average_pool_impl<cpu> {
  template <class T>
  static void run(cpu& backend, image_view<const T> x, matrix_view<T> y) {
    const std::int64_t pixels = x.extent(2) * x.extent(3);
    for_each_plane(backend, x.shape(), [&](std::int64_t image, std::int64_t channel) {
      const T* from = plane_of(x, image, channel);
      double total = 0;
      for (std::int64_t i = 0; i < pixels; ++i) total += static_cast<double>(from[i]);
      y(image, channel) = static_cast<T>(total / static_cast<double>(pixels));
    });
  }
};

template <>
struct global_average_pool_backward_impl<cpu> {
  template <class T>
  static void run(cpu& backend, matrix_view<const T> dy, image_view<T> dx) {
    const std::int64_t pixels = dx.extent(2) * dx.extent(3);
    for_each_plane(backend, dx.shape(), [&](std::int64_t image, std::int64_t channel) {
      std::fill_n(plane_of(dx, image, channel), pixels, dy(image, channel) / static_cast<T>(pixels));
    });
  }
};

MILKIT_COMPILED_OP(max_pool2d_impl, image_view<const T>, image_view<T>, image_view<window_position>, pool2d_options);
MILKIT_COMPILED_OP(max_pool2d_backward_impl, image_view<const window_position>, image_view<const T>, image_view<T>,
                   pool2d_options);
MILKIT_COMPILED_OP(avg_pool2d_impl, image_view<const T>, image_view<T>, pool2d_options);
MILKIT_COMPILED_OP(avg_pool2d_backward_impl, image_view<const T>, image_view<T>, pool2d_options);
MILKIT_COMPILED_OP(global_average_pool_impl, image_view<const T>, matrix_view<T>);
MILKIT_COMPILED_OP(global_average_pool_backward_impl, matrix_view<const T>, image_view<T>);

}  // namespace milkit::ops::detail
