#pragma once

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <stdexcept>
#include <string>
#include <vector>

#include <tiffio.h>

namespace milkit::test {

/// Interleaved RGB or RGBA, 8 bits, `channels` values a pixel.
struct picture {
  std::int64_t width = 0, height = 0, channels = 3;
  std::vector<std::uint8_t> values;

  picture(std::int64_t w, std::int64_t h, std::int64_t c = 3, std::uint8_t fill = 0)
      : width(w), height(h), channels(c), values(static_cast<std::size_t>(w * h * c), fill) {}
  std::uint8_t& at(std::int64_t x, std::int64_t y, std::int64_t c) {
    return values[static_cast<std::size_t>((y * width + x) * channels + c)];
  }
  std::uint8_t at(std::int64_t x, std::int64_t y, std::int64_t c) const {
    return values[static_cast<std::size_t>((y * width + x) * channels + c)];
  }
};

struct pyramid_options {
  std::int64_t tile = 64;
  double mpp = 0;  ///< written as pixels per centimetre; 0 writes none
};

/// Writes a lossless tiled TIFF whose directories are `levels`, largest first: what OpenSlide calls "generic-tiff".
inline void write_tiff_pyramid(const std::filesystem::path& path, const std::vector<picture>& levels,
                               const pyramid_options& options = {}) {
  TIFF* file = TIFFOpen(path.c_str(), "w");
  if (!file) throw std::runtime_error("cannot write " + path.string());
  const auto side = static_cast<std::uint32_t>(options.tile);
  for (std::size_t i = 0; i < levels.size(); ++i) {
    const picture& level = levels[i];
    TIFFSetField(file, TIFFTAG_SUBFILETYPE, i == 0 ? 0 : FILETYPE_REDUCEDIMAGE);
    TIFFSetField(file, TIFFTAG_IMAGEWIDTH, static_cast<std::uint32_t>(level.width));
    TIFFSetField(file, TIFFTAG_IMAGELENGTH, static_cast<std::uint32_t>(level.height));
    TIFFSetField(file, TIFFTAG_TILEWIDTH, side);
    TIFFSetField(file, TIFFTAG_TILELENGTH, side);
    TIFFSetField(file, TIFFTAG_BITSPERSAMPLE, 8);
    TIFFSetField(file, TIFFTAG_SAMPLESPERPIXEL, static_cast<int>(level.channels));
    TIFFSetField(file, TIFFTAG_PHOTOMETRIC, PHOTOMETRIC_RGB);
    TIFFSetField(file, TIFFTAG_PLANARCONFIG, PLANARCONFIG_CONTIG);
    TIFFSetField(file, TIFFTAG_COMPRESSION, COMPRESSION_ADOBE_DEFLATE);
    if (level.channels == 4) {
      const std::uint16_t straight = EXTRASAMPLE_UNASSALPHA;
      TIFFSetField(file, TIFFTAG_EXTRASAMPLES, 1, &straight);
    }
    if (options.mpp > 0) {
      TIFFSetField(file, TIFFTAG_RESOLUTIONUNIT, RESUNIT_CENTIMETER);
      TIFFSetField(file, TIFFTAG_XRESOLUTION, 10000.0 / options.mpp);
      TIFFSetField(file, TIFFTAG_YRESOLUTION, 10000.0 / options.mpp);
    }
    std::vector<std::uint8_t> tile(static_cast<std::size_t>(options.tile * options.tile * level.channels));
    for (std::int64_t y = 0; y < level.height; y += options.tile)
      for (std::int64_t x = 0; x < level.width; x += options.tile) {
        for (std::int64_t ty = 0; ty < options.tile; ++ty)
          for (std::int64_t tx = 0; tx < options.tile; ++tx)
            for (std::int64_t c = 0; c < level.channels; ++c)
              tile[static_cast<std::size_t>((ty * options.tile + tx) * level.channels + c)] =
                  x + tx < level.width && y + ty < level.height ? level.at(x + tx, y + ty, c) : std::uint8_t{0};
        TIFFWriteTile(file, tile.data(), static_cast<std::uint32_t>(x), static_cast<std::uint32_t>(y), 0, 0);
      }
    TIFFWriteDirectory(file);
  }
  TIFFClose(file);
}

/// Overwrites the bytes of one tile with nonsense, so that it no longer decodes.
inline void damage_tile(const std::filesystem::path& path, std::uint16_t level, std::uint32_t tile) {
  TIFF* file = TIFFOpen(path.c_str(), "r");
  if (!file || !TIFFSetDirectory(file, level)) throw std::runtime_error("cannot read " + path.string());
  const std::uint64_t offset = TIFFGetStrileOffset(file, tile), bytes = TIFFGetStrileByteCount(file, tile);
  TIFFClose(file);
  std::fstream stream(path, std::ios::in | std::ios::out | std::ios::binary);
  stream.seekp(static_cast<std::streamoff>(offset));
  stream << std::string(bytes, '\xaa');
}

}  // namespace milkit::test
