#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

#include <milkit/core/macros.hpp>
#include <milkit/slide/openslide_file.hpp>
#include <milkit/slide/region.hpp>

namespace milkit::slide {

/// One level of a slide's pyramid.
struct level {
  pixel_size size;
  downsample factor;
  /// False for a level that ends in parts of tiles which this libtiff garbles, silently (`level_is_readable`). The next
  /// finer level is averaged instead.
  bool readable = true;
};

/// Memory that reads need beside their result; keep one for each thread to read without allocating.
struct region_buffer {
  std::vector<std::uint32_t> argb;
  std::vector<std::uint8_t> row;
};

namespace detail {

/// A read of a level starts at a whole level-0 pixel, which for a downsample of 4.016 is seldom a whole level pixel.
struct aligned_start {
  std::int64_t pixel = 0;   // of the level: the one that the read is taken to start with
  std::int64_t level0 = 0;  // where it starts
  double shift = 0;         // where that is, in level pixels from `pixel`; at most half a level-0 pixel

  /// The best of a few starts at or before `wanted`.
  MILKIT_INLINE aligned_start(std::int64_t wanted, downsample factor);
};

/// The part of a level that a block of target pixels needs, read in bands and handed out row by row; white around the
/// level.
class level_rows {
 public:
  MILKIT_INLINE level_rows(const openslide_file& file, std::int32_t index, const level& from, aligned_start x,
                           aligned_start y, const axis_weights& columns, const axis_weights& rows,
                           region_buffer& buffer);

  static constexpr std::int64_t block_side = 2048;
  static constexpr std::int64_t block_pixels = block_side * block_side;

  const std::uint8_t* operator()(std::int64_t row) {
    if (width_ == 0 || row < y_.pixel || row >= bottom_) return white_.data();
    if (row == converted_) return buffer_.row.data();
    if (row >= read_end_) read_band(row);
    const std::uint32_t* argb = buffer_.argb.data() + (row - read_first_) * width_;
    const std::int64_t skip = (std::max)(first_ - x_.pixel, std::int64_t{0});
    const std::int64_t margin = (std::max)(x_.pixel - first_, std::int64_t{0});
    if (width_ > skip) argb_over_white(argb + skip, width_ - skip, buffer_.row.data() + 3 * margin);
    converted_ = row;
    return buffer_.row.data();
  }

 private:
  MILKIT_INLINE void read_band(std::int64_t row);

  const openslide_file& file_;
  std::int32_t index_;
  downsample factor_;
  aligned_start x_, y_;
  std::int64_t first_, width_ = 0, bottom_ = 0, band_ = 0, read_first_ = 0, read_end_ = 0, converted_ = -1;
  region_buffer& buffer_;
  std::vector<std::uint8_t> white_;
};

}  // namespace detail

}  // namespace milkit::slide

#if !defined(MILKIT_COMPILED)
#include <milkit/slide/level_rows.ipp>
#endif
