#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include <milkit/core/macros.hpp>
#include <milkit/report/font.hpp>
#include <milkit/report/heatmap.hpp>

namespace milkit::report {

/// What a network that zooms did at one magnification.
struct zoom_step {
  std::string name;                                ///< of the magnification: "5x"
  std::vector<slide::level0_rectangle> looked_at;  ///< all tiles that were encoded
  std::vector<std::int64_t> selected;              ///< of them, those that it zoomed into; none at the last
  std::vector<rgb_image> insets;                   ///< tiles to show large, all of one size
};

struct zoom_path_options {
  std::int64_t inset = 150;  ///< pixels a side
  double pale = 0.35;        ///< how far the thumbnail fades to white, so that outlines stand out
};

/// The colour of a magnification in `draw_zoom_path`, counted from 0 at the lowest; they repeat after four.
MILKIT_INLINE rgb zoom_colour(std::size_t level);

namespace detail {

/// A picture of another size: each pixel that of its middle.
MILKIT_INLINE rgb_image resized(const rgb_image& picture, std::int64_t height, std::int64_t width);

}  // namespace detail

/// The zoom path: the thumbnail with the tiles that were selected at each magnification as nested outlines, those of the
/// last magnification as faint areas, and to the right a row of insets for each magnification, framed in its colour.
/// `level0` is the size of the slide that the thumbnail shows whole.
MILKIT_INLINE rgb_image draw_zoom_path(const rgb_image& thumbnail, slide::pixel_size level0,
                                       std::span<const zoom_step> steps, const zoom_path_options& options = {});

}  // namespace milkit::report

#if !defined(MILKIT_COMPILED)
#include <milkit/report/zoom_path.ipp>
#endif
