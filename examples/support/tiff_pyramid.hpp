#pragma once
// Pyramidal tiled TIFF files, as OpenSlide reads them ("generic-tiff").

#include <cstdint>
#include <filesystem>
#include <functional>

#include <milkit/core/image.hpp>

namespace example {

// Writes the picture and halves of it (each pixel the mean of four) as tiles of 256 x 256, JPEG, with its size of a pixel
// as the TIFF resolution. Atomic: the file is there whole or not at all. Errors: io_error that names the file.
void write_tiff_pyramid(const std::filesystem::path& path, const milkit::rgb_image& picture, double mpp, int levels,
                        int quality);

// The same of a picture that is nowhere whole: rows(first, band) draws the rows from `first` on, band [rows, width, 3], 256 at a
// time (the last band has what is left), from top to bottom. What the next level is made of waits in a nameless file beside.
using draw_rows = std::function<void(std::int64_t first, milkit::rgb_image& band)>;
void write_tiff_pyramid(const std::filesystem::path& path, std::int64_t height, std::int64_t width, const draw_rows& rows,
                        double mpp, int levels, int quality);

}  // namespace example
