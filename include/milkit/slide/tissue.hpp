#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <optional>
#include <utility>

#include <milkit/core/macros.hpp>
#include <milkit/slide/morphology.hpp>
#include <milkit/slide/slide.hpp>

namespace milkit::slide {

/// Lengths and areas are in pixels of the mask.
struct tissue_options {
  double mpp = 8;                ///< microns a pixel of the mask, where the slide knows its own
  std::int64_t min_side = 256;   ///< the mask's longer side; a small slide gets a finer mask, down to its own pixels
  std::int64_t max_side = 4096;  ///< ... and a large one a coarser; half way where the resolution is not known
  std::optional<double> saturation = {};  ///< tissue has more than this (0 to 1); without it, Otsu's threshold
  double lowest_otsu = 0.06;  ///< Otsu's threshold is held between these two: it splits any picture in two, even
  double highest_otsu = 0.2;  ///< one of nothing but glass, or nothing but tissue
  double darkest = 0.1;       ///< tissue has at least this value (0 to 1): black is pen or edge, of no colour
  std::int64_t median_radius = 2;
  std::int64_t closing_radius = 2;
  std::int64_t opening_radius = 1;
  std::int64_t min_object = 64;  ///< smaller objects are dropped
  std::int64_t min_hole = 64;    ///< smaller holes are filled
};

/// Where a slide has tissue. No tissue at all is a valid mask.
class tissue_mask {
 public:
  /// `mask` `[height, width]` of 0 and 1 covers the whole slide, whose size it stretches over.
  tissue_mask(mask_image mask, level0_extent slide_size, double threshold)
      : mask_(std::move(mask)), slide_size_(slide_size), threshold_(threshold), sums_(std::as_const(mask_).view()) {}

  const_mask_view mask() const { return mask_.view(); }
  level0_extent slide_size() const { return slide_size_; }
  /// The saturation above which pixels were taken for tissue.
  double threshold() const { return threshold_; }
  bool empty() const { return sums_.count(0, 0, sums_.width(), sums_.height()) == 0; }
  double share() const { return share(level0_rectangle(level0_point(0, 0), slide_size_)); }

  /// The share of `area` that is tissue, exact to the fraction of a mask pixel; what lies outside the slide is none.
  MILKIT_INLINE double share(level0_rectangle area) const;

 private:
  mask_image mask_;
  level0_extent slide_size_;
  double threshold_ = 0;
  area_table sums_;
};

/// The threshold of Otsu (1979): the bin t that maximises w0 w1 (m0 - m1)^2 between bins 0 .. t and the rest; the
/// middle of the best bins where several are equal. A histogram with one filled bin (or none) gives that bin (or 0).
MILKIT_INLINE int otsu_threshold(const std::array<std::int64_t, 256>& histogram);

/// Tissue in a picture of the whole slide: pixels whose HSV saturation (max - min) / max is above a threshold (Otsu's
/// over the picture unless given) and that are not black; then median, closing and opening, small objects dropped,
/// small holes filled, in this order. Throws value_error for a picture without pixels.
MILKIT_INLINE tissue_mask tissue_of(const_rgb_view picture, level0_extent slide_size,
                                    const tissue_options& options = {});

/// The length of the longer side of the mask of this slide.
MILKIT_INLINE std::int64_t tissue_mask_side(const whole_slide& slide, const tissue_options& options = {});

/// Reads a thumbnail of the slide and finds its tissue (see `tissue_of`). Works with and without a known resolution.
MILKIT_INLINE tissue_mask find_tissue(const whole_slide& slide, const tissue_options& options = {});

}  // namespace milkit::slide

#if !defined(MILKIT_COMPILED)
#include <milkit/slide/tissue.ipp>
#endif
