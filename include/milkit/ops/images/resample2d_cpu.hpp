#pragma once

#include <algorithm>

#include <milkit/core/compiled.hpp>
#include <milkit/core/parallel_for.hpp>
#include <milkit/ops/images/resample2d.hpp>

namespace milkit::ops::detail {

template <>
struct resample2d_impl<cpu> {
  /// What a thread sums a row of y in, before its columns are; and which columns of x each column of y is made of.
  template <class T>
  struct memory {
    matrix_view<double> sums;
    matrix_view<T> own_sums;  ///< of whole pixels
    vector_view<row_range> sources;
  };

  template <class Axis, class T>
  static memory<T> scratch(cpu& backend, const resampling<Axis>& by, image_view<const T> x, image_view<T> y) {
    const shape<2> lines{backend.thread_count(), x.extent(3)};
    if (in_own_type(by, x, y)) return {{}, backend.workspace.allocate<T>(lines), {}};
    return {backend.workspace.allocate<double>(lines), {}, backend.workspace.allocate<row_range>(y.extent(3))};
  }

  template <class Axis, class T>
  static void run(cpu& backend, const memory<T>& use, const resampling<Axis>& by, image_view<const T> x,
                  image_view<T> y) {
    const std::int64_t height = x.extent(2), width = x.extent(3), out_height = y.extent(2), out_width = y.extent(3);
    for (std::int64_t j = 0; j < use.sources.extent(0); ++j) use.sources(j) = by.columns.sources(j);
    const std::int64_t work = width * (height / out_height + 1) + out_width;
    const std::int64_t lines_a_chunk = (std::max)(std::int64_t{1}, 16384 / work);
    parallel_for(backend, x.rows() * x.extent(1) * out_height, lines_a_chunk, [&](row_range lines, int thread) {
      for (std::int64_t line = lines.first; line < lines.first + lines.count; ++line) {
        const std::int64_t plane = line / out_height, i = line % out_height;
        const T* from = x.row(plane / x.extent(1)) + plane % x.extent(1) * height * width;
        T* to = y.row(plane / x.extent(1)) + (plane % x.extent(1) * out_height + i) * out_width;
        if (use.sums.absent()) whole_line(from, i, height / out_height, width, use.own_sums.row(thread), to, out_width);
        else weighted_line(by, from, i, width, use.sums.row(thread), to, use.sources);
      }
    });
  }

 private:
  template <class Axis, class T>
  static bool in_own_type(const resampling<Axis>& by, image_view<const T> x, image_view<T> y) {
    constexpr std::int64_t most = 1000;
    return by.rows.whole() && by.columns.whole() && x.extent(2) * x.extent(3) <= most * y.extent(2) * y.extent(3);
  }

  /// The mean of `factor` whole rows and of so many whole columns as make one of y.
  template <class T>
  static void whole_line(const T* from, std::int64_t i, std::int64_t factor, std::int64_t width, T* sums, T* to,
                         std::int64_t out_width) {
    const T* row = from + i * factor * width;
    std::copy_n(row, width, sums);
    for (std::int64_t r = 1; r < factor; ++r)
      for (std::int64_t c = 0; c < width; ++c) sums[c] += row[r * width + c];
    const std::int64_t across = width / out_width;
    const T share = T(1) / static_cast<T>(factor * across);
    for (std::int64_t j = 0; j < out_width; ++j) {
      T sum = 0;
      for (std::int64_t c = 0; c < across; ++c) sum += sums[j * across + c];
      to[j] = sum * share;
    }
  }

  template <class Axis, class T>
  static void weighted_line(const resampling<Axis>& by, const T* from, std::int64_t i, std::int64_t width, double* sums,
                            T* to, vector_view<const row_range> sources) {
    const row_range rows = by.rows.sources(i);
    std::fill_n(sums, width, 0.0);
    for (std::int64_t r = rows.first; r < rows.first + rows.count; ++r) {
      const double weight = by.rows.weight(i, r);
      for (std::int64_t c = 0; c < width; ++c) sums[c] += weight * static_cast<double>(from[r * width + c]);
    }
    for (std::int64_t j = 0; j < sources.extent(0); ++j) {
      double sum = 0;
      for (std::int64_t c = sources(j).first; c < sources(j).first + sources(j).count; ++c)
        sum += by.columns.weight(j, c) * sums[c];
      to[j] = static_cast<T>(sum);
    }
  }
};

MILKIT_COMPILED_OP(resample2d_impl, resampling<area_axis>, image_view<const T>, image_view<T>);
MILKIT_COMPILED_OP(resample2d_impl, resampling<bilinear_axis>, image_view<const T>, image_view<T>);
MILKIT_COMPILED_OP(resample2d_impl, resampling<adjoint_axis<area_axis>>, image_view<const T>, image_view<T>);
MILKIT_COMPILED_OP(resample2d_impl, resampling<adjoint_axis<bilinear_axis>>, image_view<const T>, image_view<T>);

}  // namespace milkit::ops::detail
