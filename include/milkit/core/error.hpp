#pragma once

#include <charconv>
#include <cstddef>
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

/// A piece of a sentence: text, which must outlive it, or a number. One class for all, because compilers would otherwise
/// spend a tenth of their time on a function for each sentence.
class message_part {
 public:
  template <class Part>
  explicit message_part(const Part& part) {
    if constexpr (std::is_floating_point_v<Part>) number(part);
    else if constexpr (std::is_integral_v<Part> && std::is_signed_v<Part>) number(static_cast<std::int64_t>(part));
    else if constexpr (std::is_integral_v<Part>) number(static_cast<std::uint64_t>(part));
    else if constexpr (requires { part.native(); }) text_ = part.native();  // a path
    else text_ = part;
  }
  message_part(const message_part&) = delete;
  message_part& operator=(const message_part&) = delete;

  std::string_view text() const { return text_; }

 private:
  /// The shortest text that reads back as the same number.
  template <class Number>
  void number(Number value) {
    text_ = {digits_, static_cast<std::size_t>(std::to_chars(digits_, digits_ + sizeof digits_, value).ptr - digits_)};
    if (value != value) text_ = "nan";  // its sign says nothing and differs between compilers
  }

  std::string_view text_;
  char digits_[32];
};

namespace detail {

inline std::string joined(const message_part* parts, std::size_t count) {
  std::string text;
  for (const message_part* part = parts; part != parts + count; ++part) text += part->text();
  return text;
}

}  // namespace detail

/// Builds one sentence from strings and numbers: `message("linear: x.cols is ", 3, ", expected ", 4)`.
template <class... Parts>
[[nodiscard]] std::string message(const Parts&... parts) {
  const message_part all[] = {message_part(parts)...};
  return detail::joined(all, sizeof...(Parts));
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
