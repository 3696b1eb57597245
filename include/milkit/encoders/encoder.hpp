#pragma once

#include <concepts>
#include <cstdint>
#include <string>

#include <milkit/core/cpu.hpp>

/// Encoders: tiles to embeddings. An encoder is a value that may own weights; it has
///
///     std::int64_t features() const;                    // of one embedding
///     std::string name() const;                         // kept with features: "resnet50-stage3 <digest of the weights>"
///     void encode(backend, tiles, embeddings) const;    // tiles [n, height, width, 3] -> embeddings [n, features]
///
/// `tiles` are 8-bit RGB in the host's memory, as slides give them; `embeddings` are rows of floats where the backend
/// works. A tile's embedding depends on that tile alone, so that tiles may come in batches of any size, 0 included. Two
/// encoders with the same name give the same embeddings.
namespace milkit::encoders {

/// 8-bit RGB tiles in the host's memory, [n, height, width, 3].
using tiles_view = view<const std::uint8_t, 4>;

template <class Encoder, class Backend = cpu>
concept encoder = requires(const Encoder each, Backend& backend, tiles_view tiles,
                           matrix_view<float, typename Backend::space> embeddings) {
  { each.features() } -> std::convertible_to<std::int64_t>;
  { each.name() } -> std::convertible_to<std::string>;
  each.encode(backend, tiles, embeddings);
};

/// Refuses tiles that an encoder cannot take: shape_error where they are not [n, height, width, 3] with at least one
/// pixel, or the embeddings not [n, features].
inline void expect_tiles(const char* op, const tiles_view& tiles, std::int64_t rows, std::int64_t cols,
                         std::int64_t features) {
  expect_extent(op, "colours of a tile", tiles.extent(3), 3);
  if (tiles.rows() > 0 && tiles.extent(1) * tiles.extent(2) == 0)
    throw shape_error(
        message(op, ": tiles are ", tiles.extent(1), " x ", tiles.extent(2), " pixels, expected at least 1 x 1"));
  expect_extent(op, "rows of the embeddings", rows, tiles.extent(0));
  expect_extent(op, "features of the embeddings", cols, features);
}

}  // namespace milkit::encoders
