#pragma once

#include <cmath>
#include <cstdint>
#include <optional>
#include <vector>

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

inline tile_grid make_grid(const whole_slide& slide, const tissue_mask* tissue, const grid_options& options) {
  expect_value(options.tile_size >= 1, "milkit::slide::make_tiles", "tile_size is ", options.tile_size,
               ", expected 1 or more");
  expect_value(options.overlap >= 0 && options.overlap < options.tile_size, "milkit::slide::make_tiles", "overlap is ",
               options.overlap, ", expected 0 or more and less than tile_size ", options.tile_size);
  expect_value(options.min_tissue >= 0 && options.min_tissue <= 1, "milkit::slide::make_tiles", "min_tissue is ",
               options.min_tissue, ", expected 0 to 1");
  const level0_rectangle region = options.region.value_or(slide.area());
  tile_grid grid{options.tile_size, slide.scale_for(options.resolution, options.scaling), 0, 0, {}};
  const auto side = static_cast<double>(options.tile_size);
  const auto stride = static_cast<double>(options.tile_size - options.overlap);
  const auto steps = [&](double length) {
    // The hundredth of a pixel forgives a length that rounding made a hair too long.
    return length <= 0 ? 0 : static_cast<std::int64_t>((std::max)(std::ceil((length - side - 0.01) / stride), 0.0)) + 1;
  };
  grid.columns = steps(region.size.width / grid.scale.x);
  grid.rows = steps(region.size.height / grid.scale.y);
  for (std::int64_t row = 0; row < grid.rows; ++row)
    for (std::int64_t column = 0; column < grid.columns; ++column) {
      const double x = region.origin.x + static_cast<double>(column) * stride * grid.scale.x;
      const double y = region.origin.y + static_cast<double>(row) * stride * grid.scale.y;
      const level0_rectangle area(level0_point(std::round(x), std::round(y)),
                                  level0_extent(side * grid.scale.x, side * grid.scale.y));
      const double share = tissue ? tissue->share(area) : 1;
      if (share >= options.min_tissue) grid.tiles.push_back({area, column, row, share});
    }
  return grid;
}

}  // namespace detail

/// The tiles of `slide` with at least `min_tissue` tissue, row by row; none where there is no tissue (unless
/// `min_tissue` is 0), which is a valid grid. Tiles start every `tile_size - overlap` target pixels from the region's
/// corner, rounded to a whole level-0 pixel. The last column and row are the first that reach the region's end: tiles
/// there may stick out, are kept if their share of tissue suffices, and read as white outside the slide; none is moved
/// inwards or cut. Errors: those of `whole_slide::scale_for`, and value_error for options out of range.
inline tile_grid make_tiles(const whole_slide& slide, const tissue_mask& tissue, const grid_options& options = {}) {
  return detail::make_grid(slide, &tissue, options);
}
/// The same without a mask: every tile of the grid.
inline tile_grid make_tiles(const whole_slide& slide, const grid_options& options = {}) {
  return detail::make_grid(slide, nullptr, options);
}

}  // namespace milkit::slide
