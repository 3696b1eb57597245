#pragma once

#include <algorithm>
#include <cstdint>

#include <milkit/core/image.hpp>

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
inline rgb_image blank_picture(std::int64_t height, std::int64_t width, rgb colour = {255, 255, 255}) {
  rgb_image picture({height, width, 3});
  for (std::uint8_t* p = picture.data(); p != picture.data() + picture.size(); p += 3) {
    p[0] = colour.red;
    p[1] = colour.green;
    p[2] = colour.blue;
  }
  return picture;
}

/// Lays a colour over one pixel: 0 leaves the pixel, 1 replaces it.
inline void blend(std::uint8_t* pixel, rgb colour, double opacity) {
  const auto mix = [opacity](std::uint8_t below, std::uint8_t above) {
    return static_cast<std::uint8_t>(below + (above - below) * opacity + 0.5);
  };
  pixel[0] = mix(pixel[0], colour.red);
  pixel[1] = mix(pixel[1], colour.green);
  pixel[2] = mix(pixel[2], colour.blue);
}

/// Fills an area; what lies outside the picture is cut off.
inline void fill(rgb_image& picture, pixel_rectangle area, rgb colour, double opacity = 1) {
  const std::int64_t bottom = (std::min)(area.y + area.height, picture.extent(0));
  const std::int64_t right = (std::min)(area.x + area.width, picture.extent(1));
  for (std::int64_t y = (std::max)(area.y, std::int64_t{0}); y < bottom; ++y)
    for (std::int64_t x = (std::max)(area.x, std::int64_t{0}); x < right; ++x)
      blend(pixel(picture, y, x), colour, opacity);
}

/// Draws the border of an area, inside it.
inline void outline(rgb_image& picture, pixel_rectangle area, rgb colour, double opacity = 1,
                    std::int64_t thickness = 1) {
  const std::int64_t t = (std::min)({thickness, (area.width + 1) / 2, (area.height + 1) / 2});
  const std::int64_t lower = (std::min)(t, area.height - t), right = (std::min)(t, area.width - t);
  fill(picture, {area.x, area.y, area.width, t}, colour, opacity);
  fill(picture, {area.x, area.y + area.height - lower, area.width, lower}, colour, opacity);
  fill(picture, {area.x, area.y + t, t, area.height - t - lower}, colour, opacity);
  fill(picture, {area.x + area.width - right, area.y + t, right, area.height - t - lower}, colour, opacity);
}

/// Copies a picture with its top left corner to (x, y); what falls outside is cut off.
inline void paste(rgb_image& onto, const rgb_image& picture, std::int64_t x, std::int64_t y) {
  for (std::int64_t i = (std::max)(-y, std::int64_t{0}); i < (std::min)(picture.extent(0), onto.extent(0) - y); ++i)
    for (std::int64_t j = (std::max)(-x, std::int64_t{0}); j < (std::min)(picture.extent(1), onto.extent(1) - x); ++j)
      std::copy_n(pixel(picture, i, j), 3, pixel(onto, y + i, x + j));
}

}  // namespace milkit::report
