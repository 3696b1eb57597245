#pragma once

#include <milkit/slide/partial_tiles.hpp>

namespace milkit::slide::detail {

MILKIT_INLINE tile_end end_of(std::int64_t extent, std::int64_t tile) {
  return extent < tile ? tile_end::less_than_one : extent % tile == 0 ? tile_end::whole : tile_end::part;
}

MILKIT_INLINE std::uint8_t known_colour(std::int64_t x, std::int64_t y, int c) {
  return static_cast<std::uint8_t>(1 + (x * 31 + y * 17 + c * 71) % 250);
}

MILKIT_INLINE std::string known_tiff(std::int64_t width, std::int64_t height) {
  constexpr std::int64_t side = 32, tile_bytes = side * side * 3, entries = 11, table = 8 + 2 + entries * 12 + 4;
  const std::int64_t columns = (width + side - 1) / side, rows = (height + side - 1) / side, tiles = columns * rows;
  const std::int64_t offsets = table + 8, counts = offsets + 4 * tiles, pixels = counts + 4 * tiles;
  std::string bytes;
  const auto put = [&](std::int64_t value, int size) {
    for (int i = 0; i < size; ++i) bytes += static_cast<char>(value >> 8 * i & 0xFF);
  };
  const auto entry = [&](std::int64_t tag, std::int64_t type, std::int64_t count, std::int64_t value) {
    put(tag, 2), put(type, 2), put(count, 4), put(value, 4);
  };
  bytes += "II";
  put(42, 2), put(8, 4), put(entries, 2);
  entry(256, 4, 1, width), entry(257, 4, 1, height), entry(258, 3, 3, table), entry(259, 3, 1, 1);
  entry(262, 3, 1, 2), entry(277, 3, 1, 3), entry(284, 3, 1, 1), entry(322, 4, 1, side), entry(323, 4, 1, side);
  entry(324, 4, tiles, tiles == 1 ? pixels : offsets), entry(325, 4, tiles, tiles == 1 ? tile_bytes : counts);
  put(0, 4), put(8, 2), put(8, 2), put(8, 2), put(0, 2);
  for (std::int64_t i = 0; i < tiles; ++i) put(pixels + i * tile_bytes, 4);
  for (std::int64_t i = 0; i < tiles; ++i) put(tile_bytes, 4);
  for (std::int64_t tile = 0; tile < tiles; ++tile)
    for (std::int64_t i = 0; i < side * side; ++i)
      for (int c = 0; c < 3; ++c)
        put(known_colour(tile % columns * side + i % side, tile / columns * side + i / side, c), 1);
  return bytes;
}

MILKIT_INLINE bool reads_known_tiff(std::int64_t width, std::int64_t height) {
  std::error_code error;
  std::string name = (std::filesystem::temp_directory_path(error) / "milkit-XXXXXX").string();
  const int descriptor = error ? -1 : ::mkstemp(name.data());
  if (descriptor < 0) return false;
  const std::string bytes = known_tiff(width, height);
  const bool written = ::write(descriptor, bytes.data(), bytes.size()) == static_cast<::ssize_t>(bytes.size());
  ::close(descriptor);
  bool good = false;
  if (openslide_t* slide = written ? openslide_open(name.c_str()) : nullptr) {
    std::vector<std::uint32_t> argb(static_cast<std::size_t>(width * height));
    openslide_read_region(slide, argb.data(), 0, 0, 0, width, height);
    good = !openslide_get_error(slide);
    for (std::int64_t i = 0; i < width * height; ++i) {
      std::uint32_t want = 0xFF;
      for (int c = 0; c < 3; ++c) want = want << 8 | known_colour(i % width, i / width, c);
      good = good && argb[static_cast<std::size_t>(i)] == want;
    }
    openslide_close(slide);
  }
  ::unlink(name.c_str());
  return good;
}

}  // namespace milkit::slide::detail

namespace milkit::slide {

MILKIT_INLINE bool reads_partial_tiles(pixel_size level, pixel_size tile) {
  static std::mutex mutex;
  static std::optional<bool> right[9];
  constexpr std::int64_t extents[] = {64, 48, 16};  // in the order of tile_end, for tiles of 32
  const auto x = static_cast<std::size_t>(detail::end_of(level.width, tile.width)),
             y = static_cast<std::size_t>(detail::end_of(level.height, tile.height));
  const std::lock_guard lock(mutex);
  std::optional<bool>& found = right[3 * x + y];
  if (!found) found = detail::reads_known_tiff(extents[x], extents[y]);
  return *found;
}

MILKIT_INLINE bool level_is_readable(pixel_size level, pixel_size tile,
                                     const std::vector<tiff_directory>& directories) {
  const bool whole = detail::end_of(level.width, tile.width) == detail::tile_end::whole &&
                     detail::end_of(level.height, tile.height) == detail::tile_end::whole;
  if (whole || directories.empty()) return true;  // what is no TIFF does not go through libtiff
  bool known = false;
  for (const tiff_directory& each : directories) {
    if (each.width != level.width || each.height != level.height || each.tile_width != tile.width ||
        each.tile_height != tile.height)
      continue;
    known = true;
    if (each.decoded_by_libtiff() && !reads_partial_tiles(level, tile)) return false;
  }
  return known || (level.width >= tile.width && level.height >= tile.height);
}

}  // namespace milkit::slide
