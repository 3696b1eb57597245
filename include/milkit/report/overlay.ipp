#pragma once

#include <milkit/report/overlay.hpp>

namespace milkit::report {

MILKIT_INLINE rgb_image draw_overlay(const rgb_image& thumbnail, matrix_view<const std::uint8_t> mask,
                                     std::span<const pixel_rectangle> tiles, const overlay_options& options) {
  rgb_image picture = thumbnail.clone();
  for (const pixel_rectangle& tile : tiles) outline(picture, tile, options.tile_colour, options.tile_opacity);
  if (mask.size() == 0) return picture;
  const std::int64_t height = picture.extent(0), width = picture.extent(1);
  const auto tissue = [&](std::int64_t y, std::int64_t x) {
    if (y < 0 || x < 0 || y >= height || x >= width) return false;
    return mask(y * mask.rows() / height, x * mask.cols() / width) != 0;
  };
  const std::int64_t t = options.outline_thickness;
  for (std::int64_t y = 0; y < height; ++y)
    for (std::int64_t x = 0; x < width; ++x)
      if (tissue(y, x) && !(tissue(y - t, x) && tissue(y + t, x) && tissue(y, x - t) && tissue(y, x + t) &&
                            tissue(y - 1, x) && tissue(y + 1, x) && tissue(y, x - 1) && tissue(y, x + 1)))
        blend(pixel(picture, y, x), options.outline_colour, 1);
  return picture;
}

}  // namespace milkit::report
