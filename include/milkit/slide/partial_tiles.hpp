#pragma once

#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include <openslide.h>
#include <unistd.h>

#include <milkit/core/macros.hpp>
#include <milkit/slide/geometry.hpp>
#include <milkit/slide/tiff_directories.hpp>

namespace milkit::slide {

namespace detail {

/// How an extent ends in its tiles: with a whole one, with a part of one, or before the first is full.
enum class tile_end { whole, part, less_than_one };

MILKIT_INLINE tile_end end_of(std::int64_t extent, std::int64_t tile);

/// An uncompressed TIFF of 32 x 32 tiles whose pixel (x, y) has the colours `known_colour(x, y, 0 .. 2)`.
MILKIT_INLINE std::uint8_t known_colour(std::int64_t x, std::int64_t y, int c);
MILKIT_INLINE std::string known_tiff(std::int64_t width, std::int64_t height);

/// Whether OpenSlide gives back the pixels of `known_tiff`; no where it cannot be tried.
MILKIT_INLINE bool reads_known_tiff(std::int64_t width, std::int64_t height);

}  // namespace detail

/// Whether this OpenSlide, with this libtiff, reads levels that end like this one in their tiles. Several versions
/// (libtiff 4.5.0 where the level is less than a tile, others in every last row) leave uninitialised memory there
/// without a word, so the first call reads a small picture that is known, and looks.
MILKIT_INLINE bool reads_partial_tiles(pixel_size level, pixel_size tile);

/// Whether the pixels of a level can be believed: its tiles are whole, or OpenSlide decodes them itself, or reads such
/// levels well. `directories` are those of the file; a level that is none of them is believed where its tiles fill it.
MILKIT_INLINE bool level_is_readable(pixel_size level, pixel_size tile, const std::vector<tiff_directory>& directories);

}  // namespace milkit::slide

#if !defined(MILKIT_COMPILED)
#include <milkit/slide/partial_tiles.ipp>
#endif
