#pragma once

#include <algorithm>

#include <Eigen/Core>

#include <milkit/core/parallel_for.hpp>
#include <milkit/ops/images/conv2d.hpp>
#include <milkit/ops/images/conv2d/lanes_cpu.hpp>

namespace milkit::ops::detail {

/// The gradient of a convolution's weights without a matrix of windows: vectors run along output channels. The dy of a
/// band of rows is transposed to [pixels, channels], one or two vectors of channels at a time, so that it stays in the
/// first-level cache. A tile of `group` terms by these vectors stays in registers while the band's pixels are added, each
/// a broadcast of x times vectors of dy: no sum runs across a vector. Terms are numbered through the input channels and
/// taps, so that only the last group has too many. Where few channels leave lanes idle, it is still faster than products.
template <class T>
class channel_dweight : conv2d_extents {
  using packet = typename lanes_of<T>::packet;
  static constexpr int lanes = lanes_of<T>::count, vectors = 2, group = lanes_of<T>::many_registers ? 9 : 6;
  static constexpr std::int64_t patch_bytes = 256 << 10, dy_bytes = 48 << 10;

 public:
  channel_dweight(const shape<4>& x, const shape<4>& weight, const shape<4>& y, const conv2d_options& o)
      : conv2d_extents(x, weight, y, o), pitch_((y[3] - 1) * stride_x_ + kernel_x_), terms_(weight.row_size()) {
    const auto rows_of = [](std::int64_t bytes, std::int64_t row_size) {
      return bytes / (std::max)(row_size * std::int64_t{sizeof(T)}, std::int64_t{1});
    };
    const std::int64_t patch = (rows_of(patch_bytes, channels_ * pitch_) - kernel_y_) / stride_y_ + 1;
    const std::int64_t turned = rows_of(dy_bytes, out_width_ * step(0));
    const std::int64_t most = (std::max)((std::min)(patch, turned), std::int64_t{1});
    rows_ = chunk_count(out_height_, chunk_count(out_height_, most));
    bands_ = chunk_count(out_height_, rows_);
  }

  /// The share of the lanes that have something to compute.
  double fill() const { return static_cast<double>(out_) / static_cast<double>(lanes_of<T>::padded(out_)); }
  std::int64_t bands() const { return bands_; }
  row_range rows(std::int64_t band) const { return chunk_at(out_height_, rows_, band); }
  /// Elements of a thread's memory, and of a part of the gradient: [vectors of out, terms, lanes].
  std::int64_t memory_size() const { return step(0) * rows_ * out_width_ + channels_ * patch_rows(rows_) * pitch_; }
  std::int64_t part_size() const { return lanes_of<T>::padded(out_) * padded_terms(); }
  /// Which weight's gradient is element i of a part, or -1 where that is padding.
  std::int64_t place(std::int64_t i) const {
    const std::int64_t first = i / (wide * padded_terms()) * wide;
    i -= first * padded_terms();
    const std::int64_t term = i / step(first), o = first + i % step(first);
    return term < terms_ && o < out_ ? o * terms_ + term : -1;
  }

  /// part = (or, with `more`, +=) the gradient of one band of one image, with `memory_size()` elements of the caller's
  /// memory.
  void run(std::int64_t band, const T* x, const T* dy, bool more, T* part, T* memory) const {
    const row_range rows = this->rows(band);
    const std::int64_t pixels = rows.count * out_width_, plane = patch_rows(rows.count) * pitch_;
    T *turned = memory, *patch = memory + step(0) * pixels;
    copy_patch(x, channels_, height_, width_, rows.first * stride_y_ - pad_y_, -pad_x_, patch_rows(rows.count), pitch_,
               patch);
    const pixel_walk walk{rows.count, out_width_, stride_x_, stride_y_ * pitch_ - out_width_ * stride_x_};
    for (std::int64_t o = 0; o < out_; o += wide) {  // its dy stays in the first-level cache for all terms
      turn(dy + o * out_height_ * out_width_ + rows.first * out_width_, pixels, (std::min)(out_ - o, wide), step(o),
           turned);
      for (std::int64_t first = 0; first < terms_; first += group) {
        const T* at[static_cast<unsigned>(group)];
        for (int i = 0; i < group; ++i) {  // those beyond the last one repeat it, and are not read
          const std::int64_t term = (std::min)(first + i, terms_ - 1), taps = kernel_y_ * kernel_x_, tap = term % taps;
          at[i] = patch + term / taps * plane + tap / kernel_x_ * pitch_ + tap % kernel_x_;
        }
        T* to = part + o * padded_terms() + first * step(o);
        if (step(o) == lanes) add_pixels<1>(walk, at, turned, more, to);
        else add_pixels<vectors>(walk, at, turned, more, to);
      }
    }
  }

 private:
  static constexpr std::int64_t wide = vectors * lanes;

  /// The pixels of a band: from one to the next in x, and from the end of a row to the next one.
  struct pixel_walk {
    std::int64_t rows, columns, along, down;
  };

  std::int64_t patch_rows(std::int64_t rows) const { return (rows - 1) * stride_y_ + kernel_y_; }
  std::int64_t padded_terms() const { return chunk_count(terms_, group) * group; }
  /// Channels from the `first` on that are computed at a time.
  std::int64_t step(std::int64_t first) const { return (std::min)(lanes_of<T>::padded(out_ - first), wide); }

  void turn(const T* dy, std::int64_t pixels, std::int64_t channels, std::int64_t to_step, T* to) const {
    const std::int64_t plane = out_height_ * out_width_;
    for (std::int64_t o = 0; o < channels; o += lanes)
      for (std::int64_t p = 0; p < pixels; p += lanes)
        transpose_lanes(dy + o * plane + p, plane, (std::min)(channels - o, std::int64_t{lanes}),
                        (std::min)(pixels - p, std::int64_t{lanes}), to + p * to_step + o, to_step);
  }

  /// part [group, Vectors lanes] = or += sum over the pixels. Unrolled and not inlined, or compilers keep the sums in memory.
  template <int Vectors>
  [[gnu::noinline]] static void add_pixels(const pixel_walk& walk, const T* const* at, const T* dy, bool more,
                                           T* part) {
    using namespace Eigen::internal;
    const T* x[static_cast<unsigned>(group)];
    packet sum[static_cast<unsigned>(group)][static_cast<unsigned>(Vectors)];
    unrolled<group>([&](auto i) { x[i] = at[i]; });
    unrolled<group * Vectors>([&](auto i) { sum[i / Vectors][i % Vectors] = pset1<packet>(T(0)); });
    const std::int64_t columns = walk.columns, along = walk.along;
    std::int64_t pixel = 0;
    for (std::int64_t r = walk.rows; r > 0; --r, pixel += walk.down)
      for (std::int64_t p = columns; p > 0; --p, pixel += along, dy += Vectors * lanes) {
        packet upstream[static_cast<unsigned>(Vectors)];
        unrolled<Vectors>([&](auto v) { upstream[v] = ploadu<packet>(dy + v * lanes); });
        unrolled<group>([&](auto i) {
          const packet value = pset1<packet>(x[i][pixel]);
          unrolled<Vectors>([&](auto v) { sum[i][v] = pmadd(value, upstream[v], sum[i][v]); });
        });
      }
    unrolled<group * Vectors>([&](auto i) {
      const packet& one = sum[i / Vectors][i % Vectors];
      pstoreu(part + i * lanes, more ? padd(ploadu<packet>(part + i * lanes), one) : one);
    });
  }

  std::int64_t pitch_, terms_;
  std::int64_t rows_, bands_;
};

}  // namespace milkit::ops::detail
