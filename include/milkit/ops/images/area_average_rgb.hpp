#pragma once

#include <algorithm>
#include <cstdint>
#include <type_traits>

#include <milkit/ops/images/resample2d.hpp>

namespace milkit::ops {

/// A rectangle of pixels of an image; it may leave the image.
struct pixel_rectangle {
  std::int64_t row = 0, column = 0;  ///< of its first pixel
  std::int64_t rows = 0, columns = 0;
};

namespace detail {

/// Sums of bytes: as integers where each target pixel is made of whole ones, else with exact weights in double.
template <class Sum>
struct rgb_sums {
  static constexpr bool whole = std::is_same_v<Sum, std::uint32_t>;
  resampling<area_axis> by;
  view<const std::uint8_t, 3> image;
  pixel_rectangle area;

  static Sum weight(const area_axis& axis, std::int64_t j, std::int64_t p) {
    if constexpr (whole) return 1;
    else return axis.weight(j, p);
  }

  /// Row i of `out`; `sums` holds 3 area.columns numbers.
  template <class T>
  void line(std::int64_t i, Sum* sums, view<T, 3> out) const {
    const std::int64_t left = (std::clamp)(-area.column, std::int64_t{0}, area.columns);
    const std::int64_t right = (std::clamp)(image.extent(1) - area.column, left, area.columns);
    const row_range rows = by.rows.sources(i);
    std::fill_n(sums, 3 * area.columns, Sum(0));
    for (std::int64_t r = rows.first; r < rows.first + rows.count; ++r) {
      if (area.row + r < 0 || area.row + r >= image.extent(0) || left == right) continue;
      const Sum share = weight(by.rows, i, r);
      const std::uint8_t* from = image.row(area.row + r) + 3 * (area.column + left);
      Sum* into = sums + 3 * left;
      for (std::int64_t v = 0; v < 3 * (right - left); ++v) into[v] += share * static_cast<Sum>(from[v]);
    }
    const double pixels = whole ? static_cast<double>((area.rows / out.extent(1)) * (area.columns / out.extent(2))) : 1;
    for (std::int64_t j = 0; j < out.extent(2); ++j) {
      const row_range columns = by.columns.sources(j);
      Sum rgb[3] = {};
      for (std::int64_t c = columns.first; c < columns.first + columns.count; ++c) {
        const Sum share = weight(by.columns, j, c);
        for (std::int64_t v = 0; v < 3; ++v) rgb[v] += share * sums[3 * c + v];
      }
      for (std::int64_t v = 0; v < 3; ++v)
        out.row(v)[i * out.extent(2) + j] = static_cast<T>(static_cast<double>(rgb[v]) / (255 * pixels));
    }
  }
};

template <class Sum, class T>
void average_rgb(cpu& backend, view<const std::uint8_t, 3> image, const pixel_rectangle& area, view<T, 3> out) {
  const auto scope = backend.workspace.scope();
  const auto sums = backend.workspace.allocate<Sum>(shape<2>{backend.thread_count(), 3 * area.columns});
  if (backend.workspace.planning()) return;
  const rgb_sums<Sum> of{{{area.rows, out.extent(1)}, {area.columns, out.extent(2)}}, image, area};
  const std::int64_t work = 3 * area.columns * (area.rows / out.extent(1) + 1);
  parallel_for(backend, out.extent(1), (std::max)(std::int64_t{1}, 65536 / work), [&](row_range lines, int thread) {
    for (std::int64_t i = lines.first; i < lines.first + lines.count; ++i) of.line(i, sums.row(thread), out);
  });
}

}  // namespace detail

/// A view of an 8-bit picture, which so can stay 8-bit in memory: the area average (see `area_average`) of a rectangle of
/// `image` [height, width, 3], its values divided by 255, as planes `out` [3, h2, w2]; pixels outside the image count as 0.
/// Of one tile of a batch [n, 3, h2, w2]: `view<float, 3>(batch.row(i), {3, h2, w2})`. Integer factors are summed as
/// integers and rounded once, others in double. Cost: O(area); cpu alone, parallel over rows of `out`, a row of sums a
/// thread. Errors: shape_error for an image of other channels and for a rectangle or `out` without pixels.
template <class T>
void area_average_rgb(cpu& backend, view<const std::uint8_t, 3> image, const pixel_rectangle& area, view<T, 3> out) {
  constexpr const char* op = "milkit::ops::area_average_rgb";
  expect_extent(op, "colours of image", image.extent(2), 3);
  expect_extent(op, "colours of out", out.extent(0), 3);
  if (area.rows < 1 || area.columns < 1 || out.row_size() == 0)
    throw shape_error(message(op, ": the rectangle has ", area.rows, " rows and ", area.columns, " columns and out is ",
                              to_string(out.shape()), ", expected at least one pixel each"));
  constexpr std::int64_t most = 0xFFFFFFFF / 255;  // pixels whose sum 32 bits hold
  const bool whole = area.rows % out.extent(1) == 0 && area.columns % out.extent(2) == 0 &&
                     area.rows * area.columns / out.row_size() <= most;
  if (whole) detail::average_rgb<std::uint32_t>(backend, image, area, out);
  else detail::average_rgb<double>(backend, image, area, out);
}

}  // namespace milkit::ops
