#pragma once

#include <cstdint>

#include <milkit/core/tensor.hpp>

namespace milkit {

/// An 8-bit RGB picture [height, width, 3], as slides, PNG files and reports exchange it.
using rgb_image = tensor<std::uint8_t, 3>;

/// The three bytes of one pixel. Unchecked.
inline std::uint8_t* pixel(rgb_image& image, std::int64_t y, std::int64_t x) {
  return image.data() + (y * image.extent(1) + x) * 3;
}
inline const std::uint8_t* pixel(const rgb_image& image, std::int64_t y, std::int64_t x) {
  return image.data() + (y * image.extent(1) + x) * 3;
}

}  // namespace milkit
