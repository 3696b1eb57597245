#pragma once

#include <algorithm>
#include <cstdint>

#include <milkit/core/image.hpp>
#include <milkit/core/macros.hpp>

namespace milkit::report {

struct rgb {
  std::uint8_t red = 0, green = 0, blue = 0;
  friend constexpr bool operator==(const rgb&, const rgb&) = default;
};

/// An area in the pixels of a picture.
struct pixel_rectangle {
  std::int64_t x = 0, y = 0, width = 0, height = 0;
};

/// A picture [height, width, 3] of one colour.
MILKIT_INLINE rgb_image blank_picture(std::int64_t height, std::int64_t width, rgb colour = {255, 255, 255});

/// Lays a colour over one pixel: 0 leaves the pixel, 1 replaces it.
MILKIT_INLINE void blend(std::uint8_t* pixel, rgb colour, double opacity);

/// Fills an area; what lies outside the picture is cut off.
MILKIT_INLINE void fill(rgb_image& picture, pixel_rectangle area, rgb colour, double opacity = 1);

/// Draws the border of an area, inside it.
MILKIT_INLINE void outline(rgb_image& picture, pixel_rectangle area, rgb colour, double opacity = 1,
                           std::int64_t thickness = 1);

/// Copies a picture with its top left corner to (x, y); what falls outside is cut off.
MILKIT_INLINE void paste(rgb_image& onto, const rgb_image& picture, std::int64_t x, std::int64_t y);

}  // namespace milkit::report

#if !defined(MILKIT_COMPILED)
#include <milkit/report/canvas.ipp>
#endif
