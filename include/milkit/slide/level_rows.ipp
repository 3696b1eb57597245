#pragma once

#include <milkit/slide/level_rows.hpp>

namespace milkit::slide::detail {

MILKIT_INLINE aligned_start::aligned_start(std::int64_t wanted, downsample factor) {
  for (std::int64_t i = (std::max)(wanted, std::int64_t{0}), tries = 0; i >= 0 && tries < 16; --i, ++tries) {
    const double exact = static_cast<double>(i) * factor.value;
    const double off = (std::round(exact) - exact) / factor.value;
    if (tries > 0 && std::abs(off) >= std::abs(shift)) continue;
    pixel = i, level0 = static_cast<std::int64_t>(std::round(exact)), shift = off;
    if (std::abs(shift) < 1.0 / 512) break;
  }
}

MILKIT_INLINE level_rows::level_rows(const openslide_file& file, std::int32_t index, const level& from, aligned_start x,
                                     aligned_start y, const axis_weights& columns, const axis_weights& rows,
                                     region_buffer& buffer)
    : file_(file), index_(index), factor_(from.factor), x_(x), y_(y), first_(columns.first()), buffer_(buffer) {
  // One pixel more than the level has: a shifted read finds a share of the last one there.
  const std::int64_t right = (std::min)(columns.end(), from.size.width + 1);
  width_ = (std::max)(right - x_.pixel, std::int64_t{0});
  bottom_ = (std::min)(rows.end(), from.size.height + 1);
  band_ = width_ > 0 ? (std::max)(block_pixels / width_, std::int64_t{64}) : 0;
  buffer_.row.assign(static_cast<std::size_t>(3 * (columns.end() - first_)), 255);
  white_.assign(buffer_.row.size(), 255);
}

MILKIT_INLINE void level_rows::read_band(std::int64_t row) {
  // The first band starts where it is aligned best; later ones exist only where thousands of rows make one target
  // row.
  read_first_ = read_end_ == 0 ? y_.pixel : row;
  read_end_ = (std::min)((std::max)(read_first_ + band_, row + 1), bottom_);
  const auto start = read_first_ == y_.pixel
                         ? y_.level0
                         : static_cast<std::int64_t>(std::round(static_cast<double>(row) * factor_.value));
  const auto count = static_cast<std::size_t>(width_ * (read_end_ - read_first_));
  if (buffer_.argb.size() < count) buffer_.argb.resize(count);
  file_.read(buffer_.argb.data(), x_.level0, start, index_, width_, read_end_ - read_first_);
}

}  // namespace milkit::slide::detail
