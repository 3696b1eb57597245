#pragma once

#include <milkit/report/patches.hpp>

namespace milkit::report {

MILKIT_INLINE rgb_image draw_weighted_patches(const rgb_image& picture, std::span<const pixel_rectangle> patches,
                                              std::span<const double> weights) {
  expect_extent("milkit::report::draw_weighted_patches", "weights", static_cast<std::int64_t>(weights.size()),
                static_cast<std::int64_t>(patches.size()));
  const std::int64_t height = picture.extent(0), width = picture.extent(1);
  std::vector<double> shares = normalised(weights);
  if (std::adjacent_find(weights.begin(), weights.end(), std::not_equal_to<>()) == weights.end())
    for (double& share : shares) share = std::isnan(share) ? share : 1;
  tensor<float, 2> brightness({height, width});
  for (std::size_t i = 0; i < patches.size(); ++i) {
    if (std::isnan(shares[i])) continue;
    const pixel_rectangle& patch = patches[i];
    for (std::int64_t y = (std::max)(patch.y, std::int64_t{0}); y < (std::min)(patch.y + patch.height, height); ++y)
      for (std::int64_t x = (std::max)(patch.x, std::int64_t{0}); x < (std::min)(patch.x + patch.width, width); ++x)
        brightness.view()(y, x) = (std::max)(brightness.view()(y, x), static_cast<float>(shares[i]));
  }
  rgb_image weighted = picture.clone();
  for (std::int64_t i = 0; i < weighted.size(); ++i)
    weighted.data()[i] =
        static_cast<std::uint8_t>(static_cast<float>(weighted.data()[i]) * brightness.data()[i / 3] + 0.5f);
  return weighted;
}

MILKIT_INLINE rgb_image draw_side_by_side(std::span<const captioned_picture> pictures) {
  const std::int64_t margin = 12, top = 2 * margin + text_height(2);
  std::int64_t width = margin, height = 0;
  for (const captioned_picture& each : pictures) {
    width += (std::max)(each.picture->extent(1), text_width(each.caption, 2)) + margin;
    height = (std::max)(height, each.picture->extent(0));
  }
  rgb_image row = blank_picture(top + height + margin, width);
  std::int64_t x = margin;
  for (const captioned_picture& each : pictures) {
    draw_text(row, x, margin, each.caption, {40, 44, 52}, 2);
    paste(row, *each.picture, x, top);
    x += (std::max)(each.picture->extent(1), text_width(each.caption, 2)) + margin;
  }
  return row;
}

}  // namespace milkit::report
