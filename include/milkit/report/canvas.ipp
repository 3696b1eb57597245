#pragma once

#include <milkit/report/canvas.hpp>

namespace milkit::report {

MILKIT_INLINE rgb_image blank_picture(std::int64_t height, std::int64_t width, rgb colour) {
  rgb_image picture({height, width, 3});
  for (std::uint8_t* p = picture.data(); p != picture.data() + picture.size(); p += 3) {
    p[0] = colour.red;
    p[1] = colour.green;
    p[2] = colour.blue;
  }
  return picture;
}

MILKIT_INLINE void blend(std::uint8_t* pixel, rgb colour, double opacity) {
  const auto mix = [opacity](std::uint8_t below, std::uint8_t above) {
    return static_cast<std::uint8_t>(below + (above - below) * opacity + 0.5);
  };
  pixel[0] = mix(pixel[0], colour.red);
  pixel[1] = mix(pixel[1], colour.green);
  pixel[2] = mix(pixel[2], colour.blue);
}

MILKIT_INLINE void fill(rgb_image& picture, pixel_rectangle area, rgb colour, double opacity) {
  const std::int64_t bottom = (std::min)(area.y + area.height, picture.extent(0));
  const std::int64_t right = (std::min)(area.x + area.width, picture.extent(1));
  for (std::int64_t y = (std::max)(area.y, std::int64_t{0}); y < bottom; ++y)
    for (std::int64_t x = (std::max)(area.x, std::int64_t{0}); x < right; ++x)
      blend(pixel(picture, y, x), colour, opacity);
}

MILKIT_INLINE void outline(rgb_image& picture, pixel_rectangle area, rgb colour, double opacity,
                           std::int64_t thickness) {
  const std::int64_t t = (std::min)({thickness, (area.width + 1) / 2, (area.height + 1) / 2});
  const std::int64_t lower = (std::min)(t, area.height - t), right = (std::min)(t, area.width - t);
  fill(picture, {area.x, area.y, area.width, t}, colour, opacity);
  fill(picture, {area.x, area.y + area.height - lower, area.width, lower}, colour, opacity);
  fill(picture, {area.x, area.y + t, t, area.height - t - lower}, colour, opacity);
  fill(picture, {area.x + area.width - right, area.y + t, right, area.height - t - lower}, colour, opacity);
}

MILKIT_INLINE void paste(rgb_image& onto, const rgb_image& picture, std::int64_t x, std::int64_t y) {
  for (std::int64_t i = (std::max)(-y, std::int64_t{0}); i < (std::min)(picture.extent(0), onto.extent(0) - y); ++i)
    for (std::int64_t j = (std::max)(-x, std::int64_t{0}); j < (std::min)(picture.extent(1), onto.extent(1) - x); ++j)
      std::copy_n(pixel(picture, i, j), 3, pixel(onto, y + i, x + j));
}

}  // namespace milkit::report
