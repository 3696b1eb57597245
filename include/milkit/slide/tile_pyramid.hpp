#pragma once

#include <cmath>
#include <cstdint>
#include <vector>

#include <milkit/core/macros.hpp>
#include <milkit/slide/tiling.hpp>

namespace milkit::slide {

struct tile_pyramid_options {
  /// From low to high, each 2, 4 or 8 times as fine as the one before: `{magnification{1.25}, magnification{2.5},
  /// magnification{10}}`.
  std::vector<target_resolution> resolutions;
  std::int64_t tile_size = 256;  ///< target pixels, the same at every resolution
  double min_tissue = 0.1;       ///< of a tile at the lowest resolution; all that lies below a kept tile is kept
  /// Keep tiles that lie wholly outside the slide, where its sides were padded: every tile then has all its children.
  bool keep_outside = true;
  /// Leave out resolutions that are finer than level 0, as long as two remain; otherwise they are refused.
  bool leave_out_finer = false;
  scaling_options scaling = {};
};

/// Tiles of one size at several resolutions, on grids that fit into each other: a tile covers exactly those of the next
/// resolution that belong to it.
struct tile_pyramid {
  /// From low to high. The tiles at one resolution lie parent by parent, and row by row within a parent.
  std::vector<tile_grid> levels;
  /// [levels - 1]: the children of tile n of level m are tiles offsets[m][n] .. offsets[m][n + 1] - 1 of level m + 1.
  std::vector<std::vector<std::int64_t>> offsets;
  /// [levels - 1]: the most children that a tile has: 4 for a step of 2x, 16 for 4x, 64 for 8x.
  std::vector<std::int64_t> widths;
  /// No tile had enough tissue, so that all were kept, as the official code of ZoomMIL does.
  bool without_tissue = false;
  /// All of them, at every level.
  MILKIT_INLINE std::int64_t tiles() const;
};

namespace detail {

/// The steps from each resolution to the next, in pixels; value_error unless each is 2, 4 or 8.
MILKIT_INLINE std::vector<std::int64_t> pyramid_steps(const std::vector<pixel_scale>& scales);

}  // namespace detail

/// The pyramid of a slide's tiles (Thandiackal et al. 2022; docs/papers/zoommil.md 3). The grid of the lowest
/// resolution is laid over the slide centred: its sides are padded, half on either side (to a whole level-0 pixel), to
/// whole tiles; what is outside reads as white. Tiles of the lowest resolution are kept by their share of tissue, and
/// everything below a kept tile is; where none has enough, all are kept and `without_tissue` is set. The highest
/// resolution is a level of the slide, or read from the next finer one and averaged; the others are multiples of it, so
/// that grids fit to the pixel whatever the slide's own downsamples are. Tiles start at whole level-0 pixels. Errors:
/// value_error for fewer than one resolution, steps other than 2, 4 or 8, and (unless `leave_out_finer`) a resolution
/// finer than level 0; those of `whole_slide::scale_for`.
MILKIT_INLINE tile_pyramid make_pyramid(const whole_slide& slide, const tissue_mask& tissue,
                                        const tile_pyramid_options& options);

}  // namespace milkit::slide

#if !defined(MILKIT_COMPILED)
#include <milkit/slide/tile_pyramid.ipp>
#endif
