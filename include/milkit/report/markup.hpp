#pragma once

#include <charconv>
#include <cstdint>
#include <string>
#include <string_view>

#include <milkit/core/macros.hpp>

namespace milkit::report {

/// A number with so many digits (`general`: significant ones), always with a decimal point, whatever the locale.
MILKIT_INLINE std::string formatted(double value, int digits, std::chars_format format = std::chars_format::general);

/// Text that stands for itself in HTML, SVG and in quoted attributes. Control characters, which no document may hold,
/// become a replacement character.
MILKIT_INLINE std::string escaped(std::string_view text);

/// Base64 (RFC 4648) with padding.
MILKIT_INLINE std::string base64(std::string_view bytes);

}  // namespace milkit::report

#if !defined(MILKIT_COMPILED)
#include <milkit/report/markup.ipp>
#endif
