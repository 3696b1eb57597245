#pragma once

#include <concepts>
#include <cstdint>

#include <milkit/core/parallel_for.hpp>
#include <milkit/slide/slide.hpp>
#include <milkit/slide/tiling.hpp>

namespace milkit::slide {

/// The tiles of a slide as the instances of one bag, images [n, 3, tile, tile] of value / 255, read as they are needed:
/// an `instance_source` for `cpu` whose pixels are never in memory at once.
///
///     const whole_slide slide("CMU-1.svs");
///     const tile_grid grid = make_tiles(slide, find_tissue(slide), {.resolution = mpp{0.5}, .tile_size = 256});
///     const auto seen = models::predict(cpu, network, weights, bag_batch(slide::tile_source(slide, grid)));
///
/// `seen.attention` has a row for each of `grid.tiles`. Slide and grid must outlive the source, which is cheap to copy.
/// Several threads may read at once; tiles lie in the reading backend's memory. Errors: io_error of the slide for a
/// tile that cannot be read.
template <std::floating_point T = float>
class tile_source {
 public:
  using value_type = T;
  static constexpr int rank = 4;

  tile_source(const whole_slide& slide, const tile_grid& grid) : slide_(&slide), grid_(&grid) {}

  milkit::shape<4> shape() const {
    return {static_cast<std::int64_t>(grid_->tiles.size()), 3, grid_->tile_size, grid_->tile_size};
  }

  template <class Backend>
  requires std::same_as<typename Backend::space, host_space> image_view<const T> read(Backend& backend, row_range rows)
  const {
    const auto chunk = backend.kept_memory().template allocate<T>(shape().with_rows(rows.count));
    const std::int64_t side = grid_->tile_size, pixels = side * side;
    const auto scope = backend.workspace.scope();
    const auto bytes = backend.workspace.template allocate<std::uint8_t>(milkit::shape<3>{side, side, 3});
    if (backend.workspace.planning()) return chunk;
    region_buffer buffer;
    for (std::int64_t i = 0; i < rows.count; ++i) {
      slide_->read_region(grid_->tiles[static_cast<std::size_t>(rows.first + i)].area, bytes, buffer);
      for (std::int64_t p = 0; p < pixels; ++p)
        for (std::int64_t c = 0; c < 3; ++c)
          chunk.row(i)[c * pixels + p] = static_cast<T>(bytes.data()[3 * p + c]) / T(255);
    }
    return chunk;
  }

 private:
  const whole_slide* slide_;
  const tile_grid* grid_;
};

}  // namespace milkit::slide
