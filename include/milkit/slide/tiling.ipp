#pragma once

#include <milkit/slide/tiling.hpp>

namespace milkit::slide::detail {

MILKIT_INLINE tile_grid make_grid(const whole_slide& slide, const tissue_mask* tissue, const grid_options& options) {
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

}  // namespace milkit::slide::detail

namespace milkit::slide {

MILKIT_INLINE tile_grid make_tiles(const whole_slide& slide, const tissue_mask& tissue, const grid_options& options) {
  return detail::make_grid(slide, &tissue, options);
}

MILKIT_INLINE tile_grid make_tiles(const whole_slide& slide, const grid_options& options) {
  return detail::make_grid(slide, nullptr, options);
}

}  // namespace milkit::slide
