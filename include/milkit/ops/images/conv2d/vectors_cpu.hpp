#pragma once

#include <algorithm>

#include <milkit/core/parallel_for.hpp>
#include <milkit/ops/images/conv2d.hpp>
#include <milkit/ops/images/conv2d/channels_cpu.hpp>
#include <milkit/ops/images/conv2d/direct_cpu.hpp>

namespace milkit::ops::detail {

/// Bands that a thread takes at a time: small ones together, so that handing them out costs nothing.
inline std::int64_t bands_at_once(std::int64_t band_terms) {
  return (std::max)(std::int64_t{1}, 8192 / (std::max)(band_terms, std::int64_t{1}));
}

/// A convolution without products, where vectors along rows or along output channels are well filled: the better of the
/// two.
template <class T>
class vector_conv2d {
  /// Where fewer lanes are filled, unfolding and products are faster.
  static constexpr double least_fill = 0.6;

 public:
  struct memory {
    matrix_view<T> threads;
    vector_view<T> packed;  ///< weights, where vectors run along channels
  };

  vector_conv2d(const shape<4>& x, const shape<4>& weight, const shape<4>& y, const conv2d_options& options)
      : rows_(x, weight, y, options), channels_(x, weight, y, options), images_(x[0]) {
    const double along_rows = rows_.fits() ? rows_.fill() : 0;
    by_channels_ = channels_.fill() > (std::max)(along_rows, least_fill);
    fits_ = by_channels_ || along_rows > 0;
  }

  bool fits() const { return fits_; }

  memory scratch(cpu& backend) const {
    const std::int64_t tasks = chunk_count(images_ * bands(), bands_at_once(band_terms()));
    const std::int64_t size = by_channels_ ? channels_.memory_size() : rows_.patch_size();
    memory m;
    m.threads = backend.workspace.allocate<T>(
        shape<2>{(std::min)(tasks, std::int64_t{backend.thread_count()}), chunk_count(size, 16) * 16});
    if (by_channels_) m.packed = backend.workspace.allocate<T>(channels_.packed_size());
    return m;
  }

  void run(cpu& backend, const memory& scratch_memory, image_view<const T> x, image_view<const T> weight,
           vector_view<const T> bias, image_view<T> y, const conv2d_finish<T, host_space>& finish) const {
    if (by_channels_) channels_.pack(backend, weight.data(), scratch_memory.packed.data());
    parallel_for(backend, images_ * bands(), bands_at_once(band_terms()), [&](row_range tasks, int thread) {
      for (std::int64_t i = tasks.first; i < tasks.first + tasks.count; ++i) {
        const std::int64_t band = i % bands(), image = i / bands();
        T* own = scratch_memory.threads.row(thread);
        if (by_channels_) channels_.run(band, image, x, scratch_memory.packed.data(), bias, y, finish, own);
        else rows_.run(band, image, x, weight, bias, y, finish, own);
      }
    });
  }

 private:
  std::int64_t bands() const { return by_channels_ ? channels_.bands() : rows_.bands(); }
  std::int64_t band_terms() const { return by_channels_ ? channels_.band_terms() : rows_.band_terms(); }

  direct_conv2d<T> rows_;
  channel_conv2d<T> channels_;
  std::int64_t images_;
  bool by_channels_, fits_;
};

}  // namespace milkit::ops::detail
