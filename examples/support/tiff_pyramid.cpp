#include "tiff_pyramid.hpp"

#include <algorithm>
#include <memory>

#include <milkit/data/atomic_file.hpp>

#include <tiffio.h>

namespace example {

namespace {

constexpr std::int64_t tile_side = 256;

milkit::rgb_image halved(const milkit::rgb_image& full) {
  const std::int64_t height = std::max(full.extent(0) / 2, std::int64_t{1}),
                     width = std::max(full.extent(1) / 2, std::int64_t{1});
  milkit::rgb_image half({height, width, 3});
  for (std::int64_t y = 0; y < height; ++y) {
    const std::uint8_t *upper = milkit::pixel(full, 2 * y, 0),
                       *lower = milkit::pixel(full, std::min(2 * y + 1, full.extent(0) - 1), 0);
    std::uint8_t* out = milkit::pixel(half, y, 0);
    for (std::int64_t x = 0; x < width; ++x)
      for (std::int64_t c = 0; c < 3; ++c)
        out[3 * x + c] = static_cast<std::uint8_t>(
            (upper[6 * x + c] + upper[6 * x + 3 + c] + lower[6 * x + c] + lower[6 * x + 3 + c] + 2) / 4);
  }
  return half;
}

void write_level(TIFF* file, const milkit::rgb_image& picture, bool reduced, double mpp, int quality) {
  const std::int64_t height = picture.extent(0), width = picture.extent(1);
  TIFFSetField(file, TIFFTAG_SUBFILETYPE, reduced ? FILETYPE_REDUCEDIMAGE : 0);
  TIFFSetField(file, TIFFTAG_IMAGEWIDTH, static_cast<std::uint32_t>(width));
  TIFFSetField(file, TIFFTAG_IMAGELENGTH, static_cast<std::uint32_t>(height));
  TIFFSetField(file, TIFFTAG_TILEWIDTH, static_cast<std::uint32_t>(tile_side));
  TIFFSetField(file, TIFFTAG_TILELENGTH, static_cast<std::uint32_t>(tile_side));
  TIFFSetField(file, TIFFTAG_BITSPERSAMPLE, 8);
  TIFFSetField(file, TIFFTAG_SAMPLESPERPIXEL, 3);
  TIFFSetField(file, TIFFTAG_PLANARCONFIG, PLANARCONFIG_CONTIG);
  TIFFSetField(file, TIFFTAG_COMPRESSION, COMPRESSION_JPEG);
  TIFFSetField(file, TIFFTAG_PHOTOMETRIC, PHOTOMETRIC_YCBCR);
  TIFFSetField(file, TIFFTAG_JPEGQUALITY, quality);
  TIFFSetField(file, TIFFTAG_JPEGCOLORMODE, JPEGCOLORMODE_RGB);
  TIFFSetField(file, TIFFTAG_RESOLUTIONUNIT, RESUNIT_CENTIMETER);
  TIFFSetField(file, TIFFTAG_XRESOLUTION, 10000.0 / mpp);
  TIFFSetField(file, TIFFTAG_YRESOLUTION, 10000.0 / mpp);
  milkit::rgb_image tile({tile_side, tile_side, 3});
  for (std::int64_t y = 0; y < height; y += tile_side)
    for (std::int64_t x = 0; x < width; x += tile_side) {
      for (std::int64_t v = 0; v < tile_side; ++v) {  // beyond the border the last pixels are repeated
        const std::int64_t from = std::min(y + v, height - 1), inside = std::min(tile_side, width - x);
        std::copy_n(milkit::pixel(picture, from, x), 3 * inside, milkit::pixel(tile, v, 0));
        for (std::int64_t u = inside; u < tile_side; ++u)
          std::copy_n(milkit::pixel(picture, from, width - 1), 3, milkit::pixel(tile, v, u));
      }
      if (TIFFWriteTile(file, tile.data(), static_cast<std::uint32_t>(x), static_cast<std::uint32_t>(y), 0, 0) < 0)
        throw milkit::io_error(milkit::message(TIFFFileName(file), ": a tile cannot be written"));
    }
  if (!TIFFWriteDirectory(file))
    throw milkit::io_error(milkit::message(TIFFFileName(file), ": a level cannot be written"));
}

}  // namespace

void write_tiff_pyramid(const std::filesystem::path& path, const milkit::rgb_image& picture, double mpp, int levels,
                        int quality) {
  milkit::data::atomic_file file(path);
  {
    const std::unique_ptr<TIFF, void (*)(TIFF*)> tiff(TIFFOpen(file.temporary_name().c_str(), "w"), TIFFClose);
    if (!tiff) throw milkit::io_error(path.string() + ": cannot be created");
    write_level(tiff.get(), picture, false, mpp, quality);
    milkit::rgb_image level = picture.extent(0) > 0 && levels > 1 ? halved(picture) : milkit::rgb_image();
    for (int i = 1; i < levels; ++i) {
      write_level(tiff.get(), level, true, mpp * static_cast<double>(1 << i), quality);
      if (i + 1 < levels) level = halved(level);
    }
  }
  file.commit();
}

}  // namespace example
