#pragma once

#include <milkit/slide/tile_pyramid.hpp>

namespace milkit::slide {

MILKIT_INLINE std::int64_t tile_pyramid::tiles() const {
  std::int64_t sum = 0;
  for (const tile_grid& each : levels) sum += static_cast<std::int64_t>(each.tiles.size());
  return sum;
}

}  // namespace milkit::slide

namespace milkit::slide::detail {

MILKIT_INLINE std::vector<std::int64_t> pyramid_steps(const std::vector<pixel_scale>& scales) {
  std::vector<std::int64_t> steps;
  for (std::size_t m = 0; m + 1 < scales.size(); ++m) {
    const double step = scales[m].x / scales[m + 1].x;
    const std::int64_t nearest = std::llround(step);
    expect_value(
        (nearest == 2 || nearest == 4 || nearest == 8) && std::abs(step / static_cast<double>(nearest) - 1) < 0.02,
        "milkit::slide::make_pyramid", "resolution ", m + 2, " is ", step, " times as fine as resolution ", m + 1,
        ", expected 2, 4 or 8 times");
    steps.push_back(nearest);
  }
  return steps;
}

}  // namespace milkit::slide::detail

namespace milkit::slide {

MILKIT_INLINE tile_pyramid make_pyramid(const whole_slide& slide, const tissue_mask& tissue,
                                        const tile_pyramid_options& options) {
  constexpr auto op = "milkit::slide::make_pyramid";
  expect_value(!options.resolutions.empty(), op, "there are 0 resolutions, expected at least 1");
  expect_value(options.tile_size >= 1, op, "tile_size is ", options.tile_size, ", expected 1 or more");
  expect_value(options.min_tissue >= 0 && options.min_tissue <= 1, op, "min_tissue is ", options.min_tissue,
               ", expected 0 to 1");
  scaling_options lenient = options.scaling;
  lenient.upsample = lenient.upsample || options.leave_out_finer;
  std::vector<pixel_scale> scales;
  for (const target_resolution& each : options.resolutions) {
    const pixel_scale scale = slide.scale_for(each, lenient);
    const bool finer = !options.scaling.allow(scale);
    if (finer && options.leave_out_finer && scales.size() >= 2) break;
    expect_value(!finer, op, "resolution ", scales.size() + 1, " of ", options.resolutions.size(), " is ", 1 / scale.x,
                 " times as fine as the slide's finest level, expected at most 1");
    scales.push_back(scale);
  }
  const std::vector<std::int64_t> steps = detail::pyramid_steps(scales);
  for (std::size_t m = steps.size(); m-- > 0;) {
    const auto step = static_cast<double>(steps[m]);
    scales[m] = {scales[m + 1].x * step, scales[m + 1].y * step};
  }

  const auto side = static_cast<double>(options.tile_size);
  const auto tiles_along = [&](double length, double scale) {
    return (std::max)(static_cast<std::int64_t>(std::ceil((length / scale - 0.01) / side)), std::int64_t{1});
  };
  tile_pyramid made;
  const std::int64_t columns = tiles_along(slide.size().width, scales[0].x),
                     rows = tiles_along(slide.size().height, scales[0].y);
  const double left = std::round((slide.size().width - static_cast<double>(columns) * side * scales[0].x) / 2);
  const double top = std::round((slide.size().height - static_cast<double>(rows) * side * scales[0].y) / 2);
  const auto tile_at = [&](const pixel_scale& scale, std::int64_t column, std::int64_t row) {
    const double x = left + static_cast<double>(column) * side * scale.x,
                 y = top + static_cast<double>(row) * side * scale.y;
    const level0_rectangle area(level0_point(std::round(x), std::round(y)),
                                level0_extent(side * scale.x, side * scale.y));
    return tile{area, column, row, tissue.share(area)};
  };
  const auto outside = [&](const tile& one) {
    return one.area.right() <= 0 || one.area.bottom() <= 0 || one.area.origin.x >= slide.size().width ||
           one.area.origin.y >= slide.size().height;
  };

  std::vector<tile> all, kept;
  for (std::int64_t row = 0; row < rows; ++row)
    for (std::int64_t column = 0; column < columns; ++column) {
      all.push_back(tile_at(scales[0], column, row));
      if (all.back().tissue >= options.min_tissue) kept.push_back(all.back());
    }
  made.without_tissue = kept.empty();
  made.levels.push_back(
      {options.tile_size, scales[0], columns, rows, made.without_tissue ? std::move(all) : std::move(kept)});
  for (std::size_t m = 0; m < steps.size(); ++m) {
    const std::int64_t step = steps[m];
    const tile_grid& parents = made.levels[m];
    tile_grid grid{options.tile_size, scales[m + 1], parents.columns * step, parents.rows * step, {}};
    std::vector<std::int64_t> starts{0};
    for (const tile& parent : parents.tiles) {
      for (std::int64_t child = 0; child < step * step; ++child) {
        const tile one = tile_at(grid.scale, parent.column * step + child % step, parent.row * step + child / step);
        if (options.keep_outside || !outside(one)) grid.tiles.push_back(one);
      }
      starts.push_back(static_cast<std::int64_t>(grid.tiles.size()));
    }
    made.widths.push_back(step * step);
    made.offsets.push_back(std::move(starts));
    made.levels.push_back(std::move(grid));
  }
  return made;
}

}  // namespace milkit::slide
