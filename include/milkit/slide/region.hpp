#pragma once

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <vector>

#include <milkit/core/image.hpp>
#include <milkit/slide/geometry.hpp>

namespace milkit::slide {

/// RGB pictures `[height, width, 3]`, as `rgb_image` owns them.
using rgb_view = view<std::uint8_t, 3>;
using const_rgb_view = view<const std::uint8_t, 3>;

inline pixel_size size_of(const_rgb_view picture) { return {picture.extent(1), picture.extent(0)}; }

namespace detail {

constexpr std::uint32_t over_white(std::uint32_t argb) {
  return (argb & 0xffffffu) + (255u - (argb >> 24)) * 0x010101u;
}
/// The same colour with red in the lowest byte; compiles to one byte swap and one shift.
constexpr std::uint64_t red_first(std::uint32_t argb) {
  return (argb >> 24 | (argb >> 8 & 0xff00u) | (argb << 8 & 0xff0000u) | argb << 24) >> 8;
}

}  // namespace detail

/// Lays premultiplied ARGB pixels (OpenSlide's, alpha in the highest byte) over white: out = colour + (255 - alpha). No
/// division, exact for every alpha; a transparent pixel becomes white. `rgb` receives 3 * count bytes.
inline void argb_over_white(const std::uint32_t* argb, std::int64_t count, std::uint8_t* rgb) {
  std::int64_t i = 0;
  // Four pixels are one and a half words, and nearly always opaque: several times faster than byte by byte.
  constexpr bool little = std::endian::native == std::endian::little;
  for (; little && i + 4 <= count; i += 4, rgb += 12) {
    std::uint32_t four[4] = {argb[i], argb[i + 1], argb[i + 2], argb[i + 3]};
    if ((four[0] & four[1] & four[2] & four[3]) < 0xff000000u)
      for (std::uint32_t& pixel : four) pixel = detail::over_white(pixel);
    const std::uint64_t third = detail::red_first(four[2]);
    const std::uint64_t low = detail::red_first(four[0]) | detail::red_first(four[1]) << 24 | third << 48;
    const auto high = static_cast<std::uint32_t>(third >> 16 | detail::red_first(four[3]) << 8);
    std::memcpy(rgb, &low, 8);
    std::memcpy(rgb + 8, &high, 4);
  }
  for (; i < count; ++i, rgb += 3) {
    const std::uint32_t pixel = detail::over_white(argb[i]);
    rgb[0] = static_cast<std::uint8_t>(pixel >> 16);
    rgb[1] = static_cast<std::uint8_t>(pixel >> 8);
    rgb[2] = static_cast<std::uint8_t>(pixel);
  }
}

namespace detail {

/// Which source pixels a run of target pixels averages, and with which weights, along one axis.
struct axis_weights {
  struct span {
    std::int64_t first = 0;  // source pixel
    std::size_t weight = 0;  // its place in `weights`
    std::int64_t count = 0;
  };
  std::vector<span> spans;
  std::vector<double> weights;

  /// Target pixel j covers [start + j * step, start + (j + 1) * step) in units of source pixels, and source pixel i
  /// covers [i, i + 1); the weight is the shared length over `step`, so that the weights of a target pixel sum to one.
  axis_weights(double start, double step, std::int64_t count) : spans(static_cast<std::size_t>(count)) {
    for (std::int64_t j = 0; j < count; ++j) {
      const double low = start + static_cast<double>(j) * step;
      const double high = start + static_cast<double>(j + 1) * step;
      // A sliver thinner than this comes from rounding the bounds, and no 8-bit value can show it.
      const double sliver = 1e-6 * step;
      const auto first = static_cast<std::int64_t>(std::floor(low + sliver));
      const auto last = (std::max)(static_cast<std::int64_t>(std::ceil(high - sliver)), first + 1);
      spans[static_cast<std::size_t>(j)] = {first, weights.size(), last - first};
      double sum = 0;
      for (std::int64_t i = first; i < last; ++i) {
        const auto at = static_cast<double>(i);
        const double shared = (std::max)((std::min)(high, at + 1) - (std::max)(low, at), 0.0);
        weights.push_back(shared);
        sum += shared;
      }
      for (std::size_t w = spans[static_cast<std::size_t>(j)].weight; w < weights.size(); ++w) weights[w] /= sum;
    }
  }

  std::int64_t first() const { return spans.front().first; }
  std::int64_t end() const { return spans.back().first + spans.back().count; }
};

/// Averages a strip of source rows into target rows: rows are weighted first, across the whole width and vectorised,
/// then columns, once a target row. `row(i)` gives source row `i` as RGB from column `columns.first()` on; it is called
/// for ascending `i`, at most twice for one. `Sum` is float where few pixels are averaged and double where many are.
template <class Sum, class SourceRow>
void area_average(const axis_weights& columns, const axis_weights& rows, SourceRow&& row, rgb_view target) {
  const auto rounded = [](Sum value) {
    return static_cast<std::uint8_t>((std::min)((std::max)(value + Sum(0.5), Sum(0)), Sum(255)));
  };
  const std::int64_t first_column = columns.first();
  const auto values = static_cast<std::size_t>(3 * (columns.end() - first_column));
  std::vector<Sum> sums(values);
  for (std::int64_t y = 0; y < target.extent(0); ++y) {
    const axis_weights::span& across = rows.spans[static_cast<std::size_t>(y)];
    std::fill(sums.begin(), sums.end(), Sum(0));
    for (std::int64_t i = 0; i < across.count; ++i) {
      const Sum weight = static_cast<Sum>(rows.weights[across.weight + static_cast<std::size_t>(i)]);
      const std::uint8_t* source = row(across.first + i);
      for (std::size_t v = 0; v < values; ++v) sums[v] += weight * static_cast<Sum>(source[v]);
    }
    std::uint8_t* out = target.row(y);
    for (const axis_weights::span& along : columns.spans) {
      const Sum* from = sums.data() + 3 * (along.first - first_column);
      const double* weights = columns.weights.data() + along.weight;
      Sum red = 0, green = 0, blue = 0;
      for (std::int64_t i = 0; i < along.count; ++i, from += 3) {
        const Sum weight = static_cast<Sum>(weights[i]);
        red += weight * from[0];
        green += weight * from[1];
        blue += weight * from[2];
      }
      *out++ = rounded(red);
      *out++ = rounded(green);
      *out++ = rounded(blue);
    }
  }
}

}  // namespace detail
}  // namespace milkit::slide
