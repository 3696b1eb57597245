#pragma once

#include <milkit/report/colour_map.hpp>

namespace milkit::report::detail {

MILKIT_INLINE rgb from_oklab(double lightness, double a, double b) {
  const auto cube = [](double v) { return v * v * v; };
  const double l = cube(lightness + 0.3963377774 * a + 0.2158037573 * b);
  const double m = cube(lightness - 0.1055613458 * a - 0.0638541728 * b);
  const double s = cube(lightness - 0.0894841775 * a - 1.2914855480 * b);
  const auto encode = [](double v) {
    v = std::clamp(v, 0.0, 1.0);
    v = v <= 0.0031308 ? 12.92 * v : 1.055 * std::pow(v, 1 / 2.4) - 0.055;
    return static_cast<std::uint8_t>(255 * v + 0.5);
  };
  return {encode(4.0767416621 * l - 3.3077115913 * m + 0.2309699292 * s),
          encode(-1.2684380046 * l + 2.6097574011 * m - 0.3413193965 * s),
          encode(-0.0041960863 * l - 0.7034186147 * m + 1.7076147010 * s)};
}

}  // namespace milkit::report::detail

namespace milkit::report {

MILKIT_INLINE rgb colour_of(double value) {
  static const std::array<rgb, 256> table = [] {
    std::array<rgb, 256> colours{};
    for (std::size_t i = 0; i < colours.size(); ++i) {
      const double t = static_cast<double>(i) / 255;
      const double hue = (310 - 205 * t) * 3.14159265358979 / 180;
      const double chroma = 0.13 - 0.10 * t * (1 - t) + 0.05 * t * t * t;
      colours[i] = detail::from_oklab(0.27 + 0.65 * t, chroma * std::cos(hue), chroma * std::sin(hue));
    }
    return colours;
  }();
  if (std::isnan(value)) return {150, 150, 150};
  return table[static_cast<std::size_t>(std::clamp(value, 0.0, 1.0) * 255 + 0.5)];
}

MILKIT_INLINE void draw_colour_bar(rgb_image& picture, pixel_rectangle area, std::string_view low,
                                   std::string_view middle, std::string_view high, std::int64_t text_scale) {
  for (std::int64_t i = 0; i < area.height; ++i) {
    const double value = area.height > 1 ? 1 - static_cast<double>(i) / static_cast<double>(area.height - 1) : 0.5;
    fill(picture, {area.x, area.y + i, area.width, 1}, colour_of(value));
  }
  const rgb ink{40, 44, 52};
  outline(picture, area, ink);
  const std::string_view texts[] = {high, middle, low};
  for (std::int64_t i = 0; i < 3; ++i) {
    if (texts[i].empty()) continue;
    const std::int64_t y = area.y + i * (area.height - 1) / 2;
    fill(picture, {area.x + area.width, y, 4, 1}, ink);
    const std::int64_t half = text_height(text_scale) / 2;
    const std::int64_t top = std::clamp(y - half, area.y, (std::max)(area.y, area.y + area.height - 2 * half - 1));
    draw_text(picture, area.x + area.width + 7, top, texts[i], ink, text_scale);
  }
}

}  // namespace milkit::report
