#pragma once

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <limits>
#include <numeric>
#include <span>
#include <string>
#include <vector>

#include <milkit/core/macros.hpp>
#include <milkit/data/csv.hpp>
#include <milkit/report/colour_map.hpp>
#include <milkit/slide/geometry.hpp>

namespace milkit::report {

/// How raw values become colours. `linear`: smallest to largest finite value. `rank`: by order, ties sharing their mean
/// rank; it shows structure where few tiles hold most of the attention, but its colours are no longer proportional.
enum class colour_scale { linear, rank };

/// Maps raw values to [0, 1]. Values that are not finite become NaN; where all are equal, they become 0.5.
MILKIT_INLINE std::vector<double> normalised(std::span<const double> raw, colour_scale scale = colour_scale::linear);

struct heatmap_options {
  double opacity = 0.55;  ///< of the colours over the thumbnail
  colour_scale scale = colour_scale::linear;
  std::string caption = "attention";
};

namespace detail {

/// The pixels of a thumbnail that an area of level 0 covers: at least one.
MILKIT_INLINE pixel_rectangle on_thumbnail(slide::level0_rectangle area, double x_scale, double y_scale);

MILKIT_INLINE void expect_tiles(std::string_view op, std::size_t tiles, std::size_t values, slide::pixel_size level0);

}  // namespace detail

/// Attention over a thumbnail. `tiles` are areas of level 0, `raw` [tiles] their values, `level0` the size of the slide
/// that the thumbnail shows whole. Where tiles overlap their normalised values are averaged; a tile smaller than a
/// pixel still colours one; a value that is not finite colours none. To the right stands a colour bar with the raw
/// values of its ends. No tiles: the thumbnail and an unlabelled bar. Cost: the area of all tiles on the thumbnail.
MILKIT_INLINE rgb_image draw_heatmap(const rgb_image& thumbnail, slide::pixel_size level0,
                                     std::span<const slide::level0_rectangle> tiles, std::span<const double> raw,
                                     const heatmap_options& options = {});

/// Writes what a heatmap shows: `x,y,width,height,raw,normalised`, one tile a line, level-0 pixels.
MILKIT_INLINE void write_heatmap_csv(const std::filesystem::path& path, std::span<const slide::level0_rectangle> tiles,
                                     std::span<const double> raw, colour_scale scale = colour_scale::linear);

}  // namespace milkit::report

#if !defined(MILKIT_COMPILED)
#include <milkit/report/heatmap.ipp>
#endif
