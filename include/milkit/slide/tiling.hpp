#pragma once

#include <cmath>
#include <cstdint>
#include <optional>
#include <vector>

#include <milkit/core/macros.hpp>
#include <milkit/slide/slide.hpp>
#include <milkit/slide/tissue.hpp>

namespace milkit::slide {

/// A square of a slide, at the resolution of its grid. The origin is a whole level-0 pixel, so that other tools read
/// the same pixels from it; the size is a fraction where the resolution asks for one.
struct tile {
  level0_rectangle area;
  std::int64_t column = 0, row = 0;
  double tissue = 1;  ///< share of the whole tile, parts outside the slide included; 1 where no mask was given
};

struct grid_options {
  target_resolution resolution = mpp{0.5};
  std::int64_t tile_size = 256;                 ///< target pixels
  std::int64_t overlap = 0;                     ///< target pixels shared by neighbours
  double min_tissue = 0.1;                      ///< tiles with a smaller share are left out; 0 keeps all
  std::optional<level0_rectangle> region = {};  ///< the whole slide where it is not given
  scaling_options scaling = {};
};

/// The tiles of a slide, row by row.
struct tile_grid {
  std::int64_t tile_size = 0;
  pixel_scale scale;                   ///< level-0 pixels a target pixel
  std::int64_t columns = 0, rows = 0;  ///< of the full grid, tiles left out included
  std::vector<tile> tiles;
};

namespace detail {

MILKIT_INLINE tile_grid make_grid(const whole_slide& slide, const tissue_mask* tissue, const grid_options& options);

}  // namespace detail

/// The tiles of `slide` with at least `min_tissue` tissue, row by row; none where there is no tissue (unless
/// `min_tissue` is 0), which is a valid grid. Tiles start every `tile_size - overlap` target pixels from the region's
/// corner, rounded to a whole level-0 pixel. The last column and row are the first that reach the region's end: tiles
/// there may stick out, are kept if their share of tissue suffices, and read as white outside the slide; none is moved
/// inwards or cut. Errors: those of `whole_slide::scale_for`, and value_error for options out of range.
MILKIT_INLINE tile_grid make_tiles(const whole_slide& slide, const tissue_mask& tissue,
                                   const grid_options& options = {});
/// The same without a mask: every tile of the grid.
MILKIT_INLINE tile_grid make_tiles(const whole_slide& slide, const grid_options& options = {});

}  // namespace milkit::slide

#if !defined(MILKIT_COMPILED)
#include <milkit/slide/tiling.ipp>
#endif
