#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <string>

#include <milkit/core/macros.hpp>
#include <milkit/report/canvas.hpp>
#include <milkit/report/font.hpp>
#include <milkit/report/markup.hpp>

namespace milkit::report {

namespace detail {

/// A colour of OKLab (Ottosson 2020), clamped to what a screen shows.
MILKIT_INLINE rgb from_oklab(double lightness, double a, double b);

}  // namespace detail

/// The colour of a value in [0, 1], from dark violet through teal to yellow. Its lightness grows in equal steps and its
/// hue turns one way, so that equal differences look equal, also in grey and to colour-blind readers. Values outside
/// are clamped, NaN is grey.
MILKIT_INLINE rgb colour_of(double value);

/// A number for the eye: three significant digits.
inline std::string short_number(double value) { return formatted(value, 3); }

/// A vertical colour bar, the largest value on top, with a tick and a text at both ends and in the middle, drawn into
/// `area` (the texts begin at its right side).
MILKIT_INLINE void draw_colour_bar(rgb_image& picture, pixel_rectangle area, std::string_view low,
                                   std::string_view middle, std::string_view high, std::int64_t text_scale = 1);

}  // namespace milkit::report

#if !defined(MILKIT_COMPILED)
#include <milkit/report/colour_map.ipp>
#endif
