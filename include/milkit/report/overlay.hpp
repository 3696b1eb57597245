#pragma once

#include <cstdint>
#include <span>

#include <milkit/core/macros.hpp>
#include <milkit/report/canvas.hpp>

namespace milkit::report {

struct overlay_options {
  rgb outline_colour = {0, 122, 61};
  rgb tile_colour = {33, 70, 190};
  double tile_opacity = 0.75;
  std::int64_t outline_thickness = 2;  ///< pixels, on each side of the edge inwards
};

/// A thumbnail with the outline of its tissue and the grid of its tiles. `mask` is any picture of the same field of
/// view, of any size, not 0 where there is tissue (an absent view: no outline); `tiles` are in pixels of the thumbnail.
/// The outline runs inside the tissue, also along the border of the picture.
MILKIT_INLINE rgb_image draw_overlay(const rgb_image& thumbnail, matrix_view<const std::uint8_t> mask,
                                     std::span<const pixel_rectangle> tiles, const overlay_options& options = {});

}  // namespace milkit::report

#if !defined(MILKIT_COMPILED)
#include <milkit/report/overlay.ipp>
#endif
