#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <optional>
#include <utility>

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
  double share(level0_rectangle area) const {
    const double x = static_cast<double>(sums_.width()) / slide_size_.width;
    const double y = static_cast<double>(sums_.height()) / slide_size_.height;
    const double set = sums_.area(area.origin.x * x, area.origin.y * y, area.right() * x, area.bottom() * y);
    return std::clamp(set / (area.size.area() * x * y), 0.0, 1.0);
  }

 private:
  mask_image mask_;
  level0_extent slide_size_;
  double threshold_ = 0;
  area_table sums_;
};

/// The threshold of Otsu (1979): the bin t that maximises w0 w1 (m0 - m1)^2 between bins 0 .. t and the rest; the
/// middle of the best bins where several are equal. A histogram with one filled bin (or none) gives that bin (or 0).
inline int otsu_threshold(const std::array<std::int64_t, 256>& histogram) {
  double total = 0, moment = 0;
  int last = 0;
  for (int i = 0; i < 256; ++i) {
    const auto n = static_cast<double>(histogram[static_cast<std::size_t>(i)]);
    total += n, moment += i * n;
    if (n > 0) last = i;
  }
  double below = 0, below_moment = 0, best = 0;
  int first_best = last, last_best = last;
  for (int t = 0; t < 255; ++t) {
    const auto n = static_cast<double>(histogram[static_cast<std::size_t>(t)]);
    below += n, below_moment += t * n;
    const double above = total - below;
    if (below == 0 || above == 0) continue;
    const double apart = below_moment / below - (moment - below_moment) / above;
    const double between = below * above * apart * apart;
    if (between > best) best = between, first_best = t;
    if (between >= best) last_best = t;
  }
  return (first_best + last_best) / 2;
}

/// Tissue in a picture of the whole slide: pixels whose HSV saturation (max - min) / max is above a threshold (Otsu's
/// over the picture unless given) and that are not black; then median, closing and opening, small objects dropped,
/// small holes filled, in this order. Throws value_error for a picture without pixels.
inline tissue_mask tissue_of(const_rgb_view picture, level0_extent slide_size, const tissue_options& options = {}) {
  const pixel_size size = size_of(picture);
  expect_value(size.width > 0 && size.height > 0, "milkit::slide::tissue_of", "the picture is ", size.width, " x ",
               size.height, " pixels, expected 1 or more");
  mask_image mask(shape{size.height, size.width});
  std::array<std::int64_t, 256> histogram{};
  const auto saturation = [&](std::int64_t y, std::int64_t x) {
    const std::uint8_t* p = picture.row(y) + 3 * x;
    const int high = (std::max)({p[0], p[1], p[2]}), low = (std::min)({p[0], p[1], p[2]});
    return high < 255 * options.darkest || high == 0 ? 0 : (255 * (high - low) + high / 2) / high;
  };
  for (std::int64_t y = 0; y < size.height; ++y)
    for (std::int64_t x = 0; x < size.width; ++x) {
      const int bin = saturation(y, x);
      mask.view()(y, x) = static_cast<std::uint8_t>(bin);
      ++histogram[static_cast<std::size_t>(bin)];
    }
  const double threshold =
      options.saturation
          ? *options.saturation
          : (std::min)((std::max)(otsu_threshold(histogram) / 255.0, options.lowest_otsu), options.highest_otsu);
  for (std::int64_t i = 0; i < mask.size(); ++i) mask.data()[i] = mask.data()[i] > 255 * threshold ? 1 : 0;
  median(mask, options.median_radius);
  close(mask, options.closing_radius);
  open(mask, options.opening_radius);
  drop_small_objects(mask, options.min_object);
  fill_small_holes(mask, options.min_hole);
  return tissue_mask(std::move(mask), slide_size, threshold);
}

/// The length of the longer side of the mask of this slide.
inline std::int64_t tissue_mask_side(const whole_slide& slide, const tissue_options& options = {}) {
  const double longest = (std::max)(slide.size().width, slide.size().height);
  const auto& known = slide.known_resolution();
  const double wanted = known ? longest * known->mean().value / options.mpp
                              : static_cast<double>(options.min_side + options.max_side) / 2;
  const double held =
      (std::min)((std::max)(wanted, static_cast<double>(options.min_side)), static_cast<double>(options.max_side));
  return std::llround((std::max)((std::min)(held, longest), 1.0));
}

/// Reads a thumbnail of the slide and finds its tissue (see `tissue_of`). Works with and without a known resolution.
inline tissue_mask find_tissue(const whole_slide& slide, const tissue_options& options = {}) {
  const rgb_image picture = slide.thumbnail(tissue_mask_side(slide, options));
  return tissue_of(picture.view(), slide.size(), options);
}

}  // namespace milkit::slide
