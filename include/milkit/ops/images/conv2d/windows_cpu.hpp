#pragma once

#include <algorithm>
#include <cstring>

#include <milkit/core/parallel_for.hpp>
#include <milkit/ops/images/conv2d.hpp>

namespace milkit::ops::detail {

/// A convolution cut into bands of output rows, so that a band's unfolded windows [terms, pixels] stay in the
/// second-level cache. A band's input rows are first copied to a `patch` [channels, patch rows, pitch] with the zeros
/// around the image in place: so unfolding has no borders to mind, and may read and write `slack` elements too far.
template <class T>
struct conv2d_bands {
  static constexpr std::int64_t slack = 8;
  static constexpr std::int64_t band_bytes = 256 << 10;
  static constexpr std::int64_t least_pixels = 64;

  std::int64_t channels, height, width, out, kernel_height, kernel_width, out_height, out_width, stride_y, stride_x,
      pad_y, pad_x;
  std::int64_t terms;                ///< of one output element: channels kernel_height kernel_width
  std::int64_t rows = 1, bands = 1;  ///< output rows a band, bands an image
  std::int64_t pitch, patch_size, column_size;
  bool unfolds;  ///< false where the input itself is the matrix of windows

  conv2d_bands(const shape<4>& x, const shape<4>& weight, const shape<4>& y, const conv2d_options& options)
      : channels(x[1]),
        height(x[2]),
        width(x[3]),
        out(weight[0]),
        kernel_height(weight[2]),
        kernel_width(weight[3]),
        out_height(y[2]),
        out_width(y[3]),
        stride_y(options.stride[0]),
        stride_x(options.stride[1]),
        pad_y(options.padding[0]),
        pad_x(options.padding[1]),
        terms(weight.row_size()) {
    const std::int64_t row_bytes = (std::max)(terms * out_width * std::int64_t{sizeof(T)}, std::int64_t{1});
    const std::int64_t most = (std::max)(band_bytes / row_bytes, chunk_count(least_pixels, out_width));
    bands = chunk_count(out_height, (std::min)(most, out_height));
    rows = chunk_count(out_height, bands);
    bands = chunk_count(out_height, rows);
    unfolds = kernel_height * kernel_width * stride_y * stride_x != 1 || pad_y + pad_x != 0;
    pitch = (out_width - 1) * stride_x + kernel_width;
    patch_size = unfolds ? channels * patch_rows(rows) * pitch + slack : 0;
    column_size = unfolds ? terms * pixels(rows) + slack : 0;
  }

  std::int64_t pixels(std::int64_t band_rows) const { return band_rows * out_width; }
  std::int64_t plane() const { return out_height * out_width; }
  std::int64_t patch_rows(std::int64_t band_rows) const { return (band_rows - 1) * stride_y + kernel_height; }

  /// Calls `row(image row, patch row, length)` for every row of the patch that meets the image, with pointers to the
  /// first elements that do.
  template <class Image, class Row>
  void each_row(row_range band, Image* image, T* patch, Row&& row) const {
    const std::int64_t first = (std::max)(std::int64_t{0}, -(band.first * stride_y - pad_y));
    const std::int64_t last = (std::min)(patch_rows(band.count), height - (band.first * stride_y - pad_y));
    const std::int64_t length = (std::min)(pitch - pad_x, width);
    for (std::int64_t c = 0; c < channels && length > 0; ++c)
      for (std::int64_t y = first; y < last; ++y)
        row(image + (c * height + band.first * stride_y - pad_y + y) * width,
            patch + (c * patch_rows(band.count) + y) * pitch + pad_x, length);
  }

  void load(row_range band, const T* image, T* patch) const {
    std::fill_n(patch, channels * patch_rows(band.count) * pitch + slack, T(0));
    each_row(band, image, patch, [](const T* from, T* to, std::int64_t n) { std::copy_n(from, n, to); });
  }
  void add(row_range band, T* patch, T* image) const {
    each_row(band, image, patch, [](T* to, const T* from, std::int64_t n) {
      for (std::int64_t i = 0; i < n; ++i) to[i] += from[i];
    });
  }

  /// Calls `line(patch, columns)` for each run of one output row in the matrix of windows, in the order of its memory.
  template <class Line>
  void each_line(row_range band, T* patch, T* columns, Line&& line) const {
    for (std::int64_t c = 0; c < channels; ++c)
      for (std::int64_t u = 0; u < kernel_height; ++u)
        for (std::int64_t v = 0; v < kernel_width; ++v) {
          T* from = patch + (c * patch_rows(band.count) + u) * pitch + v;
          for (std::int64_t y = 0; y < band.count; ++y, from += stride_y * pitch, columns += out_width)
            line(from, columns);
        }
  }

  void unfold(row_range band, T* patch, T* columns) const {
    if (stride_x == 1)  // whole vectors: what is written too far, the next line overwrites
      each_line(band, patch, columns, [&](const T* from, T* to) {
        for (std::int64_t x = 0; x < out_width; x += slack) std::memcpy(to + x, from + x, slack * sizeof(T));
      });
    else
      each_line(band, patch, columns, [&](const T* from, T* to) {
        for (std::int64_t x = 0; x < out_width; ++x) to[x] = from[x * stride_x];
      });
  }
  void fold(row_range band, T* columns, T* patch) const {
    std::fill_n(patch, channels * patch_rows(band.count) * pitch, T(0));
    if (stride_x == 1)
      each_line(band, patch, columns, [&](T* to, const T* from) {
        for (std::int64_t x = 0; x < out_width; ++x) to[x] += from[x];
      });
    else
      each_line(band, patch, columns, [&](T* to, const T* from) {
        for (std::int64_t x = 0; x < out_width; ++x) to[x * stride_x] += from[x];
      });
  }
};

/// The three pieces of one thread's memory.
template <class T>
struct conv2d_memory {
  T *patch, *columns, *packing;
  conv2d_memory(const conv2d_bands<T>& bands, T* memory)
      : patch(memory), columns(patch + aligned(bands.patch_size)), packing(columns + aligned(bands.column_size)) {}
  static std::int64_t aligned(std::int64_t count) { return (count + 15) / 16 * 16; }
  static std::int64_t size(const conv2d_bands<T>& bands, std::int64_t packing) {
    return aligned(bands.patch_size) + aligned(bands.column_size) + aligned(packing);
  }
};

}  // namespace milkit::ops::detail
