#pragma once
// Pyramidal tiled TIFF files, as OpenSlide reads them ("generic-tiff").

#include <filesystem>

#include <milkit/core/image.hpp>

namespace example {

// Writes the picture and halves of it (each pixel the mean of four) as tiles of 256 x 256, JPEG, with its size of a pixel
// as the TIFF resolution. Atomic: the file is there whole or not at all. Errors: io_error that names the file.
void write_tiff_pyramid(const std::filesystem::path& path, const milkit::rgb_image& picture, double mpp, int levels,
                        int quality);

}  // namespace example
