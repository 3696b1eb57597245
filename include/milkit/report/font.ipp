#pragma once

#include <milkit/report/font.hpp>

namespace milkit::report {

MILKIT_INLINE void draw_text(rgb_image& picture, std::int64_t x, std::int64_t y, std::string_view text, rgb colour,
                             std::int64_t scale) {
  for (const char c : text) {
    const auto code = static_cast<unsigned char>(c);
    const std::uint64_t glyph = detail::glyphs[code < 32 || code > 127 ? 95 : code - 32];
    const std::int64_t top = y + (std::string_view("gpqy").find(c) != std::string_view::npos ? 2 * scale : 0);
    for (std::int64_t bit = 0; bit < 35; ++bit)
      if (glyph >> (34 - bit) & 1) fill(picture, {x + bit % 5 * scale, top + bit / 5 * scale, scale, scale}, colour);
    x += 6 * scale;
  }
}

}  // namespace milkit::report
