#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include <milkit/data/feature_pyramid.hpp>
#include <milkit/encoders/encoder.hpp>
#include <milkit/ops/selection/zoom.hpp>
#include <milkit/pooling/bag.hpp>
#include <milkit/slide/slide.hpp>
#include <milkit/slide/tile_pyramid.hpp>

namespace milkit::encoders {

struct encode_options {
  std::int64_t batch = 32;                          ///< tiles read before they are encoded together: bounds the memory
  std::function<void(std::int64_t)> on_tiles = {};  ///< told, batch by batch, how many tiles are done
};

/// Reads tiles of a slide and encodes them: embeddings [n, features] of `grid.tiles[rows[i]]`, or of all tiles where
/// `rows` is absent. Tiles of a batch are read by all of the backend's threads, and then encoded by all. Memory: a batch
/// of tiles, and what the encoder takes. Errors: io_error of the slide for a tile that cannot be read, value_error for a
/// row that is no tile, shape_error for embeddings of another shape.
template <backend Backend, encoder<Backend> Encoder>
void encode_tiles(Backend& backend, const Encoder& encoder, const slide::whole_slide& slide,
                  const slide::tile_grid& grid, vector_view<const std::int64_t> rows,
                  matrix_view<float, typename Backend::space> embeddings, const encode_options& options = {}) {
  constexpr auto op = "milkit::encoders::encode_tiles";
  const auto all = static_cast<std::int64_t>(grid.tiles.size());
  const std::int64_t count = rows.absent() ? all : rows.extent(0), side = grid.tile_size;
  expect_value(options.batch >= 1, op, "batch is ", options.batch, ", expected 1 or more");
  expect_shape(op, "embeddings", embeddings, shape<2>{count, encoder.features()});
  const auto read = [&](cpu& host, auto& memory) {
    const std::int64_t bytes = 3 * side * side;
    const auto pixels = memory.template allocate_on_host<std::uint8_t>((std::min)(options.batch, count) * bytes);
    for (std::int64_t first = 0; first < count; first += options.batch) {
      const std::int64_t own = (std::min)(options.batch, count - first);
      if (!memory.planning())
        parallel_for(host, own, 1, [&](row_range range) {
          thread_local slide::region_buffer buffer;
          const std::int64_t i = first + range.first, tile = rows.absent() ? i : rows(i);
          expect_value(tile >= 0 && tile < all, op, "row ", i, " is tile ", tile, ", expected 0 to ", all - 1);
          slide.read_region(grid.tiles[static_cast<std::size_t>(tile)].area,
                            slide::rgb_view(pixels.data() + range.first * bytes, {side, side, 3}), buffer);
        });
      encoder.encode(backend, tiles_view(pixels.data(), {own, side, side, 3}), embeddings.rows(first, own));
      if (options.on_tiles) options.on_tiles(first + own);
    }
  };
  const auto scope = backend.workspace.scope();
  if constexpr (is_cpu<Backend>) {
    read(backend, backend.workspace);
  } else {
    cpu host;
    read(host, backend.workspace);
  }
}

/// The tiles of one grid as the instances of a bag, [n, features], read and encoded when they are asked for, and never
/// all in memory: `models::predict(cpu, network, weights, bag_batch(encoded_tiles(slide, grid, encoder)))`. Slide, grid
/// and encoder must outlive it.
template <class Encoder>
class encoded_tiles {
 public:
  using value_type = float;
  static constexpr int rank = 2;

  encoded_tiles(const slide::whole_slide& slide, const slide::tile_grid& grid, const Encoder& encoder)
      : slide_(&slide), grid_(&grid), encoder_(&encoder) {}

  milkit::shape<2> shape() const { return {static_cast<std::int64_t>(grid_->tiles.size()), encoder_->features()}; }

  template <class Backend>
  matrix_view<const float, typename Backend::space> read(Backend& backend, row_range rows) const {
    const auto chunk = backend.kept_memory().template allocate<float>(shape().with_rows(rows.count));
    const auto scope = backend.workspace.scope();
    const auto which = backend.workspace.template allocate_on_host<std::int64_t>(rows.count);
    for (std::int64_t i = 0; i < rows.count && !backend.workspace.planning(); ++i) which(i) = rows.first + i;
    encode_tiles(backend, *encoder_, *slide_, *grid_, which, chunk);
    return chunk;
  }

 private:
  const slide::whole_slide* slide_;
  const slide::tile_grid* grid_;
  const Encoder* encoder_;
};

/// A slide as ZoomMIL's inference reads it (`models::basic_zoom_mil::infer`): all tiles of the lowest resolution are
/// encoded, of the others only those that are zoomed into.
///
///     const auto tiles = slide::make_pyramid(slide, slide::find_tissue(slide), {.resolutions = ...});
///     const auto said = models::predict(cpu, network, weights, encoders::encoded_slide(slide, tiles, encoder));
///     // said.instances() of tiles.tiles() tiles were read and encoded
///
/// Slide, tiles and encoder must outlive it.
template <class Encoder>
class encoded_slide {
 public:
  using value_type = float;

  encoded_slide(const slide::whole_slide& slide, const slide::tile_pyramid& tiles, const Encoder& encoder)
      : slide_(&slide), tiles_(&tiles), encoder_(&encoder) {}

  encoded_tiles<Encoder> instances() const { return {*slide_, tiles_->levels.front(), *encoder_}; }

  ops::children<> children(std::size_t m) const {
    const auto& offsets = tiles_->offsets[m];
    return {tiles_->widths[m], {offsets.data(), {static_cast<std::int64_t>(offsets.size())}}, {}};
  }

  template <class Backend>
  matrix_view<const float, typename Backend::space> gather(Backend& backend, std::size_t m,
                                                           vector_view<const std::int64_t> rows) const {
    const auto made = backend.workspace.template allocate_rows<float>(shape<2>{rows.extent(0), encoder_->features()});
    encode_tiles(backend, *encoder_, *slide_, tiles_->levels[m], rows, made);
    return made;
  }

 private:
  const slide::whole_slide* slide_;
  const slide::tile_pyramid* tiles_;
  const Encoder* encoder_;
};

/// What features of tiles depend on: "encoder", "tile_size", "magnifications"; `data::read_features` refuses those of
/// others.
template <class Encoder>
std::map<std::string, std::string> feature_provenance(const Encoder& encoder, std::int64_t tile_size,
                                                      const std::vector<std::string>& names) {
  std::string magnifications;
  for (const auto& each : names) magnifications += (magnifications.empty() ? "" : " ") + each;
  return {{"encoder", encoder.name()}, {"tile_size", message(tile_size)}, {"magnifications", magnifications}};
}

/// The features of all tiles of a pyramid, to keep in a file (`data::write_features`). `names` [levels] are those of
/// the magnifications; the provenance is `feature_provenance`.
template <backend Backend, encoder<Backend> Encoder>
data::feature_pyramid encode_pyramid(Backend& backend, const Encoder& encoder, const slide::whole_slide& slide,
                                     const slide::tile_pyramid& tiles, const std::vector<std::string>& names,
                                     const encode_options& options = {}) {
  expect_extent("milkit::encoders::encode_pyramid", "names", static_cast<std::int64_t>(names.size()),
                static_cast<std::int64_t>(tiles.levels.size()));
  data::feature_pyramid made;
  std::int64_t before = 0;
  for (std::size_t m = 0; m < tiles.levels.size(); ++m) {
    const slide::tile_grid& grid = tiles.levels[m];
    const auto count = static_cast<std::int64_t>(grid.tiles.size());
    data::feature_level level{names[m], {}, tensor<std::int64_t, 2>({count, 2}), {}};
    for (std::int64_t i = 0; i < count; ++i) {
      const auto origin = grid.tiles[static_cast<std::size_t>(i)].area.origin;
      level.coordinates.view()(i, 0) = static_cast<std::int64_t>(origin.x);
      level.coordinates.view()(i, 1) = static_cast<std::int64_t>(origin.y);
    }
    for (std::size_t n = 0; m > 0 && n + 1 < tiles.offsets[m - 1].size(); ++n)
      level.parents.insert(level.parents.end(),
                           static_cast<std::size_t>(tiles.offsets[m - 1][n + 1] - tiles.offsets[m - 1][n]),
                           static_cast<std::int64_t>(n));
    encode_options own = options;
    if (options.on_tiles) own.on_tiles = [&options, before](std::int64_t done) { options.on_tiles(before + done); };
    tensor<float, 2, typename Backend::space> features({count, encoder.features()});
    encode_tiles(backend, encoder, slide, grid, {}, features.view(), own);
    if constexpr (is_cpu<Backend>) level.features = std::move(features);
    else level.features = features.template to<host_space>();
    before += count;
    made.levels.push_back(std::move(level));
  }
  made.provenance = feature_provenance(encoder, tiles.levels.front().tile_size, names);
  return made;
}

}  // namespace milkit::encoders
