#pragma once

#include <algorithm>
#include <array>
#include <utility>

#include <Eigen/Core>

#include <milkit/core/parallel_for.hpp>
#include <milkit/ops/images/conv2d.hpp>
#include <milkit/ops/images/conv2d/lanes_cpu.hpp>

namespace milkit::ops::detail {

/// A convolution of stride 1 whose vectors run along output channels: for small images, whose rows fill no vectors. A tile
/// of pixels of one row by one or two vectors stays in registers while its terms are added: a term is one broadcast a
/// pixel, times the term's weights of all channels, which lie side by side in a packed copy. Rows are cut into tiles of
/// nearly equal length, as long as registers allow. A band of output rows has a patch of its input with zeros in place, and
/// its sums [pixels, channels], which are transposed when they are written. Terms come in blocks, whose weights stay in
/// the first-level cache for all tiles. An output's bits depend on its window and the weights alone.
template <class T>
class channel_conv2d : conv2d_extents {
  using packet = typename lanes_of<T>::packet;
  static constexpr int lanes = lanes_of<T>::count, vectors = 2, most_pixels = lanes_of<T>::many_registers ? 14 : 6;
  static constexpr std::int64_t patch_bytes = 128 << 10, sums_bytes = 96 << 10, block_bytes = 20 << 10, most_taps = 64;
  static constexpr std::int64_t block_terms = block_bytes / (vectors * lanes * std::int64_t{sizeof(T)});

 public:
  channel_conv2d(const shape<4>& x, const shape<4>& weight, const shape<4>& y, const conv2d_options& o)
      : conv2d_extents(x, weight, y, o), pitch_(y[3] + kernel_x_ - 1), terms_(weight.row_size()) {
    pixels_ = chunk_count(out_width_, chunk_count(out_width_, most_pixels));
    const auto rows_of = [](std::int64_t bytes, std::int64_t row_size) {
      return bytes / (std::max)(row_size * std::int64_t{sizeof(T)}, std::int64_t{1});
    };
    const std::int64_t most = (std::max)(rows_of(patch_bytes, channels_ * pitch_) - kernel_y_ + 1, std::int64_t{1});
    rows_ = chunk_count(out_height_, chunk_count(out_height_, most));
    sum_rows_ = std::clamp(rows_of(sums_bytes, out_width_ * vectors * lanes), std::int64_t{1},
                           (std::max)(rows_, std::int64_t{1}));
    bands_ = chunk_count(out_height_, rows_);
  }

  /// The share of the lanes that have something to compute, or 0 where this is not for such a convolution.
  double fill() const {
    if (stride_y_ * stride_x_ != 1 || kernel_y_ * kernel_x_ > most_taps || terms_ == 0) return 0;
    const auto share = [](std::int64_t used, std::int64_t all) {
      return static_cast<double>(used) / static_cast<double>(all);
    };
    return share(out_, lanes_of<T>::padded(out_)) * share(terms_, terms_ + 16);
  }
  std::int64_t bands() const { return bands_; }
  std::int64_t band_terms() const { return terms_ * rows_ * out_width_; }
  /// Elements of the packed weights, and of a thread's memory.
  std::int64_t packed_size() const { return terms_ * lanes_of<T>::padded(out_); }
  std::int64_t memory_size() const { return sums_size() + patch_size(); }

  /// The weights [out, terms] as [vectors of out, terms, lanes].
  void pack(cpu& backend, const T* weight, T* packed) const {
    parallel_for(backend, terms_, (std::max)(std::int64_t{16}, 65536 / out_), [&](row_range terms) {
      for (std::int64_t o = 0; o < out_; o += vectors * lanes) {
        const std::int64_t count = (std::min)(out_ - o, std::int64_t{vectors * lanes});
        const std::int64_t step = lanes_of<T>::padded(count);
        T* to = packed + o * terms_ + terms.first * step;
        const T* from = weight + o * terms_ + terms.first;
        for (std::int64_t k = 0; k < terms.count; ++k, to += step, ++from) {
          for (std::int64_t i = 0; i < count; ++i) to[i] = from[i * terms_];
          std::fill(to + count, to + step, T(0));
        }
      }
    });
  }

  /// One band of one image, with `memory_size()` elements of the caller's memory.
  void run(std::int64_t band, std::int64_t image, view<const T, 4> x, const T* packed, view<const T, 1> bias,
           view<T, 4> y, const conv2d_finish<T, host_space>& finish, T* memory) const {
    const row_range rows = chunk_at(out_height_, rows_, band);
    const std::int64_t patch_rows = rows.count + kernel_y_ - 1;
    T *sums = memory, *patch = memory + sums_size();
    copy_patch(x.row(image), channels_, height_, width_, rows.first - pad_y_, -pad_x_, patch_rows, pitch_, patch);
    const T* residual = finish.residual.absent() ? nullptr : finish.residual.row(image);
    for (std::int64_t r = 0; r < rows.count; r += sum_rows_) {
      const row_range some{rows.first + r, (std::min)(sum_rows_, rows.count - r)};
      for (std::int64_t o = 0; o < out_; o += vectors * lanes) {
        const std::int64_t count = (std::min)(out_ - o, std::int64_t{vectors * lanes});
        if (count <= lanes) add_all<1>(some.count, patch + r * pitch_, patch_rows, packed + o * terms_, sums);
        else add_all<vectors>(some.count, patch + r * pitch_, patch_rows, packed + o * terms_, sums);
        write(some, o, count, sums, bias, residual, y.row(image), finish.relu);
      }
    }
  }

 private:
  using adder = void (*)(const T* x, const std::int64_t* offset, std::int64_t terms, const T* weight, bool more,
                         T* sums);

  std::int64_t sums_size() const { return sum_rows_ * out_width_ * vectors * lanes; }
  std::int64_t patch_size() const { return channels_ * (rows_ + kernel_y_ - 1) * pitch_; }

  /// sums [rows, out_width, Vectors lanes]: all terms of all tiles, a block of terms after the other.
  template <int Vectors>
  void add_all(std::int64_t rows, const T* patch, std::int64_t patch_rows, const T* weight, T* sums) const {
    constexpr std::int64_t step = Vectors * lanes;
    const auto& add = table<Vectors>();
    const std::int64_t blocks = chunk_count(terms_, block_terms), size = chunk_count(terms_, blocks);
    std::int64_t offset[static_cast<unsigned>(block_terms)], u = 0, v = 0, next = 0;
    for (std::int64_t first = 0; first < terms_; first += size) {
      const std::int64_t count = (std::min)(size, terms_ - first);
      for (std::int64_t k = 0; k < count; ++k) {
        offset[k] = next++;
        if (++v < kernel_x_) continue;
        v = 0, next += pitch_ - kernel_x_;
        if (++u == kernel_y_) u = 0, next += (patch_rows - kernel_y_) * pitch_;
      }
      for (std::int64_t r = 0; r < rows; ++r)
        for (std::int64_t p = 0; p < out_width_; p += pixels_)
          add[static_cast<std::size_t>((std::min)(pixels_, out_width_ - p) - 1)](patch + r * pitch_ + p, offset, count,
                                                                                 weight + first * step, first > 0,
                                                                                 sums + (r * out_width_ + p) * step);
    }
  }

  /// sums [Pixels, Vectors lanes] = or += the terms. Loops over the tile are unrolled, or compilers keep its sums in memory.
  template <int Pixels, int Vectors>
  [[gnu::noinline]] static void add_terms(const T* x, const std::int64_t* offset, std::int64_t terms, const T* weight,
                                          bool more, T* sums) {
    using namespace Eigen::internal;
    packet sum[static_cast<unsigned>(Pixels)][static_cast<unsigned>(Vectors)];
    unrolled<Pixels * Vectors>(
        [&](auto i) { sum[i / Vectors][i % Vectors] = more ? ploadu<packet>(sums + i * lanes) : pset1<packet>(T(0)); });
    for (std::int64_t k = 0; k < terms; ++k, weight += Vectors * lanes) {
      const T* pixel = x + offset[k];
      packet factor[static_cast<unsigned>(Vectors)];
      unrolled<Vectors>([&](auto v) { factor[v] = ploadu<packet>(weight + v * lanes); });
      unrolled<Pixels>([&](auto p) {
        const packet value = pset1<packet>(pixel[p]);
        unrolled<Vectors>([&](auto v) { sum[p][v] = pmadd(value, factor[v], sum[p][v]); });
      });
    }
    unrolled<Pixels * Vectors>([&](auto i) { pstoreu(sums + i * lanes, sum[i / Vectors][i % Vectors]); });
  }

  template <int Vectors, int... Index>
  static std::array<adder, sizeof...(Index)> make_table(std::integer_sequence<int, Index...>) {
    return {&add_terms<Index + 1, Vectors>...};
  }
  /// The function for each number of pixels from 1 on.
  template <int Vectors>
  static const auto& table() {
    static const auto all = make_table<Vectors>(std::make_integer_sequence<int, most_pixels>());
    return all;
  }

  /// Channels [first, first + count) of y, a vector of pixels at a time.
  void write(row_range rows, std::int64_t first, std::int64_t count, const T* sums, view<const T, 1> bias,
             const T* before, T* y, bool relu) const {
    using namespace Eigen::internal;
    const std::int64_t step = lanes_of<T>::padded(count), plane = out_height_ * out_width_,
                       all = rows.count * out_width_;
    for (std::int64_t p = 0; p < all; p += lanes) {
      const std::int64_t pixels = (std::min)(all - p, std::int64_t{lanes}), last = all - 1 - p;
      for (std::int64_t o = 0; o < count; o += lanes) {
        T turned[static_cast<unsigned>(lanes)][static_cast<unsigned>(lanes)];
        typename lanes_of<T>::block block;
        unrolled<lanes>([&](auto i) {
          block.packet[i] = ploadu<packet>(sums + (p + (std::min)(std::int64_t{i}, last)) * step + o);
        });
        if constexpr (lanes > 1) ptranspose(block);
        unrolled<lanes>([&](auto i) { pstoreu(turned[i], block.packet[i]); });
        for (std::int64_t i = 0; i < (std::min)(count - o, std::int64_t{lanes}); ++i) {
          const std::int64_t at = (first + o + i) * plane + rows.first * out_width_ + p;
          write_pixels(turned[i], bias.absent() ? T(0) : bias(first + o + i), before ? before + at : nullptr, y + at,
                       pixels, relu);
        }
      }
    }
  }

  std::int64_t pitch_, terms_;
  std::int64_t pixels_, rows_, sum_rows_, bands_;  ///< of a tile, of a band, of the sums at a time, of an image
};

}  // namespace milkit::ops::detail
