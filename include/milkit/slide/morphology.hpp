#pragma once

#include <algorithm>
#include <cstdint>
#include <utility>
#include <vector>

#include <milkit/core/macros.hpp>
#include <milkit/core/tensor.hpp>

namespace milkit::slide {

/// A binary picture `[height, width]` of 0 and 1.
using mask_image = tensor<std::uint8_t, 2>;
using mask_view = view<std::uint8_t, 2>;
using const_mask_view = view<const std::uint8_t, 2>;

/// Sums of a mask over any rectangle in four reads: entry (y, x) is the count above and left of corner (x, y).
class area_table {
 public:
  area_table() = default;
  MILKIT_INLINE explicit area_table(const_mask_view mask);

  std::int64_t width() const { return width_; }
  std::int64_t height() const { return height_; }

  /// Pixels set in [left, right) x [top, bottom), which lies inside the mask.
  MILKIT_INLINE std::int64_t count(std::int64_t left, std::int64_t top, std::int64_t right, std::int64_t bottom) const;

  /// The set area of [left, right) x [top, bottom), whose borders may cut pixels and may lie outside (nothing is set
  /// there).
  double area(double left, double top, double right, double bottom) const {
    return corner(right, bottom) - corner(left, bottom) - corner(right, top) + corner(left, top);
  }

 private:
  /// Between corners the table is bilinear, because a pixel is set as a whole.
  MILKIT_INLINE double corner(double x, double y) const;

  std::int64_t width_ = 0, height_ = 0;
  tensor<std::int64_t, 2> sums_ = tensor<std::int64_t, 2>(shape{std::int64_t{1}, std::int64_t{1}});
};

namespace detail {

/// Sets each pixel to `decide(set pixels, pixels)` of the (2 radius + 1)-square around it, cut off at the border.
template <class Decide>
void box_filter(mask_image& mask, std::int64_t radius, Decide&& decide) {
  if (radius <= 0) return;
  const area_table table(std::as_const(mask).view());
  const auto out = mask.view();
  for (std::int64_t y = 0; y < table.height(); ++y)
    for (std::int64_t x = 0; x < table.width(); ++x) {
      const std::int64_t left = (std::max)(x - radius, std::int64_t{0});
      const std::int64_t right = (std::min)(x + radius + 1, table.width());
      const std::int64_t top = (std::max)(y - radius, std::int64_t{0});
      const std::int64_t bottom = (std::min)(y + radius + 1, table.height());
      out(y, x) = decide(table.count(left, top, right, bottom), (right - left) * (bottom - top)) ? 1 : 0;
    }
}

}  // namespace detail

/// Majority of the square of side 2 radius + 1 around each pixel (the median of a binary picture); a tie clears.
MILKIT_INLINE void median(mask_image& mask, std::int64_t radius);
MILKIT_INLINE void dilate(mask_image& mask, std::int64_t radius);
/// Pixels outside the mask count as set, so a mask that is all set stays so.
MILKIT_INLINE void erode(mask_image& mask, std::int64_t radius);
MILKIT_INLINE void close(mask_image& mask, std::int64_t radius);
MILKIT_INLINE void open(mask_image& mask, std::int64_t radius);

namespace detail {

/// Flips every connected region of `value` with fewer than `least` pixels; with `enclosed`, only those off the border.
MILKIT_INLINE void flip_small(mask_image& mask, std::uint8_t value, std::int64_t least, bool diagonal, bool enclosed);

}  // namespace detail

/// Clears objects (8-connected) of fewer than `least` pixels.
MILKIT_INLINE void drop_small_objects(mask_image& mask, std::int64_t least);
/// Sets holes (4-connected, not touching the border) of fewer than `least` pixels.
inline void fill_small_holes(mask_image& mask, std::int64_t least) { detail::flip_small(mask, 0, least, false, true); }

}  // namespace milkit::slide

#if !defined(MILKIT_COMPILED)
#include <milkit/slide/morphology.ipp>
#endif
