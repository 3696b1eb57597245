#pragma once

#include <charconv>
#include <cstdint>
#include <stdexcept>
#include <string>
#include <string_view>
#include <type_traits>

namespace milkit {

/// Extents that do not fit together. The text names the operation, the extent, and both numbers.
struct shape_error : std::invalid_argument {
  using std::invalid_argument::invalid_argument;
};

/// A value outside what an operation is defined for (an empty bag, a label outside the classes, a negative rate).
struct value_error : std::invalid_argument {
  using std::invalid_argument::invalid_argument;
};

/// A file that cannot be read or written, or that does not hold what its format promises. The text names the file.
struct io_error : std::runtime_error {
  using std::runtime_error::runtime_error;
};

namespace detail {

template <class Text>
std::string text_of(const Text& part) {
  if constexpr (std::is_floating_point_v<Text>) {  // the shortest text that reads back as the same number
    if (part != part) return "nan";  // its sign says nothing and differs between compilers
    char buffer[64];
    return std::string(buffer, std::to_chars(buffer, buffer + sizeof buffer, part).ptr);
  } else if constexpr (requires { std::to_string(part); }) return std::to_string(part);
  else return std::string(part);
}

}  // namespace detail

/// Builds one sentence from strings and numbers: `message("linear: x.cols is ", 3, ", expected ", 4)`.
template <class... Parts>
[[nodiscard]] std::string message(const Parts&... parts) {
  std::string text;
  ((text += detail::text_of(parts)), ...);
  return text;
}

/// Throws `shape_error("op: what is got, expected want")` unless the two are equal. Never tied to `NDEBUG`.
inline void expect_extent(std::string_view op, std::string_view what, std::int64_t got, std::int64_t want) {
  if (got != want) throw shape_error(message(op, ": ", what, " is ", got, ", expected ", want));
}

/// Throws `value_error("op: what")` unless `ok`. Put both numbers into `what`.
template <class... Parts>
void expect_value(bool ok, std::string_view op, const Parts&... what) {
  if (!ok) throw value_error(message(op, ": ", what...));
}

}  // namespace milkit
