#pragma once

#include <algorithm>

#include <Eigen/Core>

#include <milkit/core/parallel_for.hpp>
#include <milkit/ops/images/conv2d.hpp>
#include <milkit/ops/images/conv2d/lanes_cpu.hpp>

namespace milkit::ops::detail {

/// A convolution without a matrix of windows: vectors run along the pixels of a row, and a tile of `group` output channels
/// by `vectors` vectors stays in registers while its terms are added. A band of output rows first copies its input to a
/// patch [channels, phases, rows, pitch] with the zeros around the image in place; phase p holds the columns p, p + stride,
/// ..., so that the pixels of a term lie side by side. Terms come in blocks of whole channels: a block's pixels stay near
/// for all output channels, and no sum is one long chain. An output's bits depend on its window and the weights alone.
template <class T>
class direct_conv2d : conv2d_extents {
  using packet = typename Eigen::internal::packet_traits<T>::type;
  static constexpr std::int64_t lanes = Eigen::internal::unpacket_traits<packet>::size;
  static constexpr int vectors = EIGEN_ARCH_DEFAULT_NUMBER_OF_REGISTERS >= 32 ? 4 : 2, group = 6;
  static constexpr std::size_t tile_pixels = static_cast<std::size_t>(lanes * vectors);
  static constexpr std::int64_t patch_bytes = 256 << 10, block_terms = 512, most_taps = 64;

 public:
  direct_conv2d(const shape<4>& x, const shape<4>& weight, const shape<4>& y, const conv2d_options& o)
      : conv2d_extents(x, weight, y, o),
        plane_(y[2] * y[3]),
        pointwise_(kernel_y_ * kernel_x_ * stride_y_ * stride_x_ == 1 && pad_y_ + pad_x_ == 0) {
    if (pointwise_) {  // no windows to mind: the image is cut into rows that fill a tile
      out_width_ = lanes * vectors;
      out_height_ = chunk_count(plane_, out_width_);
    }
    const std::int64_t line = chunk_count(out_width_, lanes) * lanes;
    phases_ = (std::min)(stride_x_, kernel_x_);
    pitch_ = line + (kernel_x_ - 1) / stride_x_;
    const std::int64_t row_bytes =
        (std::max)(channels_ * phases_ * pitch_ * stride_y_ * std::int64_t{sizeof(T)}, std::int64_t{1});
    const std::int64_t least = chunk_count(lanes * vectors, (std::max)(line, std::int64_t{1}));
    const std::int64_t most = (std::max)(patch_bytes / row_bytes, least);
    rows_ = chunk_count(out_height_, (std::max)(chunk_count(out_height_, most), std::int64_t{1}));
    bands_ = chunk_count(out_height_, (std::max)(rows_, std::int64_t{1}));
    const std::int64_t channels = (std::max)(block_terms / (std::max)(taps(), std::int64_t{1}), std::int64_t{1});
    block_channels_ = chunk_count(channels_, (std::max)(chunk_count(channels_, channels), std::int64_t{1}));
  }

  /// Whether most lanes of the vectors have a pixel, and the kernel is none of the largest.
  bool fits() const { return taps() <= most_taps && 8 * row_pixels() >= 7 * padded_pixels(); }
  /// The share of the lanes that have a pixel.
  double fill() const { return static_cast<double>(row_pixels()) / static_cast<double>(padded_pixels()); }
  std::int64_t bands() const { return bands_; }
  std::int64_t patch_size() const { return channels_ * phases_ * patch_rows(rows_) * pitch_; }
  /// Terms of all elements of a band, for one output channel.
  std::int64_t band_terms() const { return channels_ * taps() * rows_ * out_width_; }

  /// One band of one image, with `patch_size()` elements of the caller's memory.
  void run(std::int64_t band, std::int64_t image, view<const T, 4> x, view<const T, 4> weight, view<const T, 1> bias,
           view<T, 4> y, const conv2d_finish<T, host_space>& finish, T* patch) const {
    const row_range rows = chunk_at(out_height_, rows_, band);
    if (pointwise_) load_pixels(rows, x.row(image), patch);
    else load_windows(rows, x.row(image), patch);
    block b;
    b.weight_row = weight.row_size();
    b.plane = plane_;
    b.y = y.row(image);
    const std::int64_t phase_size = patch_rows(rows.count) * pitch_, channel_size = phases_ * phase_size;
    for (std::int64_t i = 0, t = 0; i < block_channels_; ++i)
      for (std::int64_t u = 0; u < kernel_y_; ++u)
        for (std::int64_t v = 0; v < kernel_x_; ++v)
          b.offset[t++] = i * channel_size + v % stride_x_ * phase_size + u * pitch_ + v / stride_x_;
    for (std::int64_t c = 0; c < channels_; c += block_channels_) {
      const std::int64_t channels = (std::min)(block_channels_, channels_ - c);
      b.terms = channels * taps();
      b.weight = weight.data() + c * taps();
      b.bias = c == 0 && !bias.absent() ? &bias : nullptr;
      b.before = c > 0 ? b.y : finish.residual.absent() ? nullptr : finish.residual.row(image);
      b.relu = finish.relu && c + channels == channels_;
      each_tile(rows, patch + c * channel_size, b);
    }
  }

 private:
  /// The terms of a few channels: where their weights are and, from a pixel of the tile, their places in the patch.
  struct block {
    const T *weight, *before;
    const view<const T, 1>* bias;
    T* y;
    std::int64_t weight_row, plane, terms;
    bool relu;
    std::int64_t offset[block_terms];
    const T* x[vectors];
    std::int64_t at[vectors], count[vectors];
  };

  std::int64_t row_pixels() const { return pointwise_ ? plane_ : out_width_; }
  std::int64_t padded_pixels() const { return chunk_count(row_pixels(), lanes) * lanes; }
  std::int64_t taps() const { return kernel_y_ * kernel_x_; }
  std::int64_t patch_rows(std::int64_t rows) const { return (rows - 1) * stride_y_ + kernel_y_; }

  void load_pixels(row_range rows, const T* image, T* patch) const {
    const std::int64_t first = rows.first * out_width_, size = rows.count * out_width_,
                       count = (std::min)(size, plane_ - first);
    for (std::int64_t c = 0; c < channels_; ++c) {
      std::copy_n(image + c * plane_ + first, count, patch + c * size);
      std::fill_n(patch + c * size + count, size - count, T(0));
    }
  }

  void load_windows(row_range rows, const T* image, T* patch) const {
    const std::int64_t height = patch_rows(rows.count), top = rows.first * stride_y_ - pad_y_;
    for (std::int64_t c = 0; c < channels_; ++c)
      for (std::int64_t p = 0; p < phases_; ++p) {
        const std::int64_t first = (std::min)(pitch_, chunk_count(pad_x_ - p, stride_x_));
        const std::int64_t last = (std::max)(first, (std::min)(pitch_, chunk_count(width_ + pad_x_ - p, stride_x_)));
        for (std::int64_t r = 0; r < height; ++r, patch += pitch_) {
          if (top + r < 0 || top + r >= height_) {
            std::fill_n(patch, pitch_, T(0));
            continue;
          }
          const T* from = image + (c * height_ + top + r) * width_ + first * stride_x_ + p - pad_x_;
          std::fill_n(patch, first, T(0));
          if (stride_x_ == 1) std::copy_n(from, last - first, patch + first);
          else if (stride_x_ == 2) copy_every<2>(from, last - first, patch + first);
          else copy_every<0>(from, last - first, patch + first);
          std::fill_n(patch + last, pitch_ - last, T(0));
        }
      }
  }
  /// A stride that the compiler knows makes whole vectors.
  template <int Stride>
  void copy_every(const T* from, std::int64_t count, T* to) const {
    for (std::int64_t i = 0; i < count; ++i) to[i] = from[i * (Stride > 0 ? Stride : stride_x_)];
  }

  void each_tile(row_range rows, const T* patch, block& b) const {
    const std::int64_t row_vectors = chunk_count(out_width_, lanes), all = rows.count * row_vectors;
    for (std::int64_t first = 0; first < all; first += vectors) {
      for (int v = 0; v < vectors; ++v) {  // those beyond the last one repeat it, and are not written
        const std::int64_t at = (std::min)(first + v, all - 1), row = at / row_vectors, x = at % row_vectors * lanes;
        b.x[v] = patch + row * stride_y_ * pitch_ + x;
        b.at[v] = (rows.first + row) * out_width_ + x;
        b.count[v] = (std::min)(lanes, pointwise_ ? plane_ - b.at[v] : out_width_ - x);
        if (first + v >= all) b.count[v] = 0;
      }
      std::int64_t o = 0;
      for (; o + group <= out_; o += group) tile<group>(b, o);
      if (out_ - o >= 4) tile<4>(b, o), o += 4;
      if (out_ - o >= 2) tile<2>(b, o), o += 2;
      if (out_ - o >= 1) tile<1>(b, o);
    }
  }

  template <int Rows>
  static void tile(const block& b, std::int64_t o) {
    for (int r = 0; r < Rows; ++r)  // rows of y lie pages apart: while the terms are added they come nearer
      for (int v = 0; v < vectors; ++v) {
        const std::int64_t at = (o + r) * b.plane + b.at[v];
        __builtin_prefetch(b.y + at, 1);
        if (b.before) __builtin_prefetch(b.before + at);
      }
    T sums[static_cast<unsigned>(Rows)][tile_pixels];
    add_terms<Rows>(b, b.weight + o * b.weight_row, sums);
    for (int r = 0; r < Rows; ++r)
      for (int v = 0; v < vectors; ++v) {
        const std::int64_t at = (o + r) * b.plane + b.at[v];
        write_pixels(sums[r] + v * lanes, b.bias ? (*b.bias)(o + r) : T(0), b.before ? b.before + at : nullptr,
                     b.y + at, b.count[v], b.relu);
      }
  }

  /// Loops over the tile are unrolled, or compilers keep its sums in memory; and it is not inlined, or they keep its pointers
  /// there.
  template <int Rows>
  [[gnu::noinline]] static void add_terms(const block& b, const T* weight, T (*sums)[tile_pixels]) {
    using namespace Eigen::internal;
    constexpr int half = (Rows + 1) / 2;
    const std::int64_t terms = b.terms, weight_row = b.weight_row;
    const T* lower = weight + half * weight_row;
    const T* x[vectors];
    packet sum[static_cast<unsigned>(Rows)][static_cast<unsigned>(vectors)];
    unrolled<vectors>([&](auto v) { x[v] = b.x[v]; });
    unrolled<Rows * vectors>([&](auto i) { sum[i / vectors][i % vectors] = pset1<packet>(T(0)); });
    for (std::int64_t k = 0; k < terms; ++k) {
      const std::int64_t offset = b.offset[k];
      packet pixels[vectors], factor;
      unrolled<vectors>([&](auto v) { pixels[v] = ploadu<packet>(x[v] + offset); });
      unrolled<Rows * vectors>([&](auto i) {
        constexpr int r = i / vectors, v = i % vectors;
        if (v == 0) factor = pset1<packet>((r < half ? weight + r * weight_row : lower + (r - half) * weight_row)[k]);
        sum[r][v] = pmadd(factor, pixels[v], sum[r][v]);
      });
    }
    unrolled<Rows * vectors>(
        [&](auto i) { pstoreu(sums[i / vectors] + i % vectors * lanes, sum[i / vectors][i % vectors]); });
  }

  std::int64_t plane_;
  std::int64_t phases_, pitch_, rows_, bands_, block_channels_;
  bool pointwise_;
};

}  // namespace milkit::ops::detail
