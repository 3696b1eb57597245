#include "tiff_pyramid.hpp"

#include <algorithm>
#include <cstdio>
#include <memory>
#include <optional>
#include <string>
#include <utility>

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

// Rows of a level that is still to be written, in a file without a name, which is gone whatever happens.
class waiting_rows {
 public:
  explicit waiting_rows(const std::string& name) : file_(std::fopen(name.c_str(), "w+bx"), std::fclose) {
    if (!file_) throw milkit::io_error(name + ": cannot be created");
    std::filesystem::remove(name);
  }
  void add(const milkit::rgb_image& band, std::int64_t rows) {
    const auto bytes = static_cast<std::size_t>(rows * band.extent(1) * 3);
    if (std::fwrite(band.data(), 1, bytes, file_.get()) != bytes)
      throw milkit::io_error("a level of a TIFF pyramid cannot be kept beside it: the disk is full");
  }
  void rewind() { std::rewind(file_.get()); }
  void take(milkit::rgb_image& band) {
    const auto bytes = static_cast<std::size_t>(band.size());
    if (std::fread(band.data(), 1, bytes, file_.get()) != bytes)
      throw milkit::io_error("a level of a TIFF pyramid cannot be read back");
  }

 private:
  std::unique_ptr<std::FILE, int (*)(std::FILE*)> file_;
};

void begin_level(TIFF* file, std::int64_t height, std::int64_t width, bool reduced, double mpp, int quality) {
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
}

// The tiles of one band of rows; beyond the border the last pixels are repeated.
void write_tiles(TIFF* file, const milkit::rgb_image& band, std::int64_t y) {
  const std::int64_t height = band.extent(0), width = band.extent(1);
  milkit::rgb_image tile({tile_side, tile_side, 3});
  for (std::int64_t x = 0; x < width; x += tile_side) {
    for (std::int64_t v = 0; v < tile_side; ++v) {
      const std::int64_t from = std::min(v, height - 1), inside = std::min(tile_side, width - x);
      std::copy_n(milkit::pixel(band, from, x), 3 * inside, milkit::pixel(tile, v, 0));
      for (std::int64_t u = inside; u < tile_side; ++u)
        std::copy_n(milkit::pixel(band, from, width - 1), 3, milkit::pixel(tile, v, u));
    }
    if (TIFFWriteTile(file, tile.data(), static_cast<std::uint32_t>(x), static_cast<std::uint32_t>(y), 0, 0) < 0)
      throw milkit::io_error(milkit::message(TIFFFileName(file), ": a tile cannot be written"));
  }
}

}  // namespace

void write_tiff_pyramid(const std::filesystem::path& path, std::int64_t height, std::int64_t width, const draw_rows& rows,
                        double mpp, int levels, int quality) {
  milkit::data::atomic_file file(path);
  {
    const std::unique_ptr<TIFF, void (*)(TIFF*)> tiff(TIFFOpen(file.temporary_name().c_str(), "w"), TIFFClose);
    if (!tiff) throw milkit::io_error(path.string() + ": cannot be created");
    std::optional<waiting_rows> own, next;
    for (int i = 0; i < levels; ++i) {
      const std::int64_t half = std::max(height / 2, std::int64_t{1});
      if (i + 1 < levels) next.emplace(file.temporary_name() + ".rows");
      begin_level(tiff.get(), height, width, i > 0, mpp * static_cast<double>(1 << i), quality);
      for (std::int64_t y = 0; y < height; y += tile_side) {
        milkit::rgb_image band({std::min(tile_side, height - y), width, 3});
        if (own) own->take(band);
        else rows(y, band);
        write_tiles(tiff.get(), band, y);
        if (!next) continue;
        const milkit::rgb_image smaller = halved(band);  // an odd last row is left out
        next->add(smaller, std::min(smaller.extent(0), half - y / 2));
      }
      if (!TIFFWriteDirectory(tiff.get())) throw milkit::io_error(path.string() + ": a level cannot be written");
      own = std::move(next);
      next.reset();
      if (own) own->rewind();
      height = half;
      width = std::max(width / 2, std::int64_t{1});
    }
  }
  file.commit();
}

void write_tiff_pyramid(const std::filesystem::path& path, const milkit::rgb_image& picture, double mpp, int levels,
                        int quality) {
  const auto rows = [&](std::int64_t first, milkit::rgb_image& band) {
    std::copy_n(milkit::pixel(picture, first, 0), band.size(), band.data());
  };
  write_tiff_pyramid(path, picture.extent(0), picture.extent(1), rows, mpp, levels, quality);
}

}  // namespace example
