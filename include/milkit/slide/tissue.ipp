#pragma once

#include <milkit/slide/tissue.hpp>

namespace milkit::slide {

MILKIT_INLINE double tissue_mask::share(level0_rectangle area) const {
  const double x = static_cast<double>(sums_.width()) / slide_size_.width;
  const double y = static_cast<double>(sums_.height()) / slide_size_.height;
  const double set = sums_.area(area.origin.x * x, area.origin.y * y, area.right() * x, area.bottom() * y);
  return std::clamp(set / (area.size.area() * x * y), 0.0, 1.0);
}

MILKIT_INLINE int otsu_threshold(const std::array<std::int64_t, 256>& histogram) {
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

MILKIT_INLINE tissue_mask tissue_of(const_rgb_view picture, level0_extent slide_size, const tissue_options& options) {
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

MILKIT_INLINE std::int64_t tissue_mask_side(const whole_slide& slide, const tissue_options& options) {
  const double longest = (std::max)(slide.size().width, slide.size().height);
  const auto& known = slide.known_resolution();
  const double wanted = known ? longest * known->mean().value / options.mpp
                              : static_cast<double>(options.min_side + options.max_side) / 2;
  const double held =
      (std::min)((std::max)(wanted, static_cast<double>(options.min_side)), static_cast<double>(options.max_side));
  return std::llround((std::max)((std::min)(held, longest), 1.0));
}

MILKIT_INLINE tissue_mask find_tissue(const whole_slide& slide, const tissue_options& options) {
  const rgb_image picture = slide.thumbnail(tissue_mask_side(slide, options));
  return tissue_of(picture.view(), slide.size(), options);
}

}  // namespace milkit::slide
