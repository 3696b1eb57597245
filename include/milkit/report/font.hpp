#pragma once

#include <cstdint>
#include <string_view>

#include <milkit/core/macros.hpp>
#include <milkit/report/canvas.hpp>

namespace milkit::report {

namespace detail {

/// The characters 32 to 127, seven rows of five bits each, the top left pixel first. A box stands for what has no
/// shape.
inline constexpr std::uint64_t glyphs[96] = {
    0x000000000, 0x108421004, 0x294000000, 0x015f57d40, 0x11f4717c4, 0x672222273, 0x32544564d, 0x108000000, 0x088842082,
    0x208210888, 0x02aefbaa0, 0x0084f9080, 0x000003088, 0x0000f8000, 0x00000018c, 0x042222210, 0x3a33ae62e, 0x11842108e,
    0x3a213221f, 0x3a213062e, 0x08ca97c42, 0x7e1e0862e, 0x1910f462e, 0x7c2221108, 0x3a317462e, 0x3a317844c, 0x018c03180,
    0x018c03088, 0x088882082, 0x001f07c00, 0x208208888, 0x3a2131004, 0x3a37ade0e, 0x3a31fc631, 0x7a31f463e, 0x3a308422e,
    0x7a318c63e, 0x7e10f421f, 0x7e10f4210, 0x3a30bc62f, 0x4631fc631, 0x38842108e, 0x1c4210a4c, 0x4654c5251, 0x42108421f,
    0x4775ac631, 0x4739ace71, 0x3a318c62e, 0x7a31f4210, 0x3a318d64d, 0x7a31f5251, 0x3e107043e, 0x7c8421084, 0x46318c62e,
    0x46318a944, 0x4631ad771, 0x462a22a31, 0x462a21084, 0x7c222221f, 0x39084210e, 0x420820821, 0x38421084e, 0x115100000,
    0x00000001f, 0x208000000, 0x000e0be2f, 0x421e8c63e, 0x000e8422e, 0x042f8c62f, 0x000e8fe0e, 0x191e42108, 0x3e318bc2e,
    0x421e8c631, 0x100c2108e, 0x080610a4c, 0x4212a6292, 0x30842108e, 0x001aad6b5, 0x001e8c631, 0x000e8c62e, 0x7a318fa10,
    0x3e318bc21, 0x0016c4210, 0x000f8383e, 0x211e42106, 0x00118c62f, 0x00118a944, 0x00118d6aa, 0x001151151, 0x46318bc2e,
    0x001f1111f, 0x088441082, 0x108421084, 0x208411088, 0x0009b0000, 0x7e318c63f,
};

}  // namespace detail

/// The height of capitals and digits; `g`, `p`, `q` and `y` reach `2 * scale` further down.
inline constexpr std::int64_t text_height(std::int64_t scale = 1) { return 7 * scale; }
inline constexpr std::int64_t text_width(std::string_view text, std::int64_t scale = 1) {
  return text.empty() ? 0 : (static_cast<std::int64_t>(text.size()) * 6 - 1) * scale;
}

/// Draws ASCII text with its top left corner at (x, y), in letters of 5 x 7 squares of `scale` pixels. What falls
/// outside the picture is cut off.
MILKIT_INLINE void draw_text(rgb_image& picture, std::int64_t x, std::int64_t y, std::string_view text, rgb colour,
                             std::int64_t scale = 1);

}  // namespace milkit::report

#if !defined(MILKIT_COMPILED)
#include <milkit/report/font.ipp>
#endif
