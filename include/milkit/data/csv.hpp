#pragma once

#include <algorithm>
#include <charconv>
#include <cmath>
#include <concepts>
#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include <milkit/core/macros.hpp>
#include <milkit/data/atomic_file.hpp>
#include <milkit/data/input_file.hpp>

namespace milkit::data {

/// Text without the white space around it: blanks, tabs, line ends, and the spaces of Unicode that tables are pasted
/// with (non-breaking, thin, ideographic, of no width).
MILKIT_INLINE std::string_view trimmed(std::string_view text);

namespace detail {

/// The whole of `text` as a number, with an optional leading plus; false where it is none or lies outside the type.
template <class T>
bool parse_number(std::string_view text, T& value) {
  text = trimmed(text);
  if (text.size() > 1 && text[0] == '+' && text[1] != '-') text.remove_prefix(1);
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc() && end == text.data() + text.size();
}

}  // namespace detail

/// Lines of fields, each of the same number, with the header line apart where there is one.
class csv_table {
 public:
  std::string file;                 ///< for messages
  std::vector<std::string> header;  ///< empty without one
  std::vector<std::vector<std::string>> rows;
  std::vector<std::int64_t> lines;  ///< the line of the file that each row starts in, from 1

  std::int64_t size() const { return static_cast<std::int64_t>(rows.size()); }

  bool has_column(std::string_view name) const { return std::find(header.begin(), header.end(), name) != header.end(); }

  /// The position of a named column; io_error where there is none, which lists those there are, and where there are two.
  MILKIT_INLINE std::int64_t column(std::string_view name) const;

  const std::string& text(std::int64_t row, std::int64_t column) const {
    return rows[static_cast<std::size_t>(row)][static_cast<std::size_t>(column)];
  }
  /// A finite number; else io_error with file, line and column.
  MILKIT_INLINE double number(std::int64_t row, std::int64_t column) const;
  /// A whole number, also as `1.0`; else io_error.
  MILKIT_INLINE std::int64_t integer(std::int64_t row, std::int64_t column) const;

  /// Throws io_error: `file, line 3, column 5 (f3): 'abc' what`.
  [[noreturn]] void fail(std::int64_t row, std::int64_t column, std::string_view what) const {
    const auto i = static_cast<std::size_t>(column);
    const std::string name = i < header.size() ? " (" + header[i] + ")" : "";
    throw io_error(message(file, ", line ", lines[static_cast<std::size_t>(row)], ", column ", column + 1, name, ": '",
                           text(row, column), "' ", what));
  }
};

namespace detail {

/// One line of fields after the other (RFC 4180).
class csv_lines {
 public:
  csv_lines(std::string_view text, const std::string& file) : text_(text), file_(file) {
    if (text_.substr(0, 3) == "\xEF\xBB\xBF") text_.remove_prefix(3);
  }

  /// The next line that holds some text; false at the end. `line()` is then the number that it starts at.
  MILKIT_INLINE bool next(std::vector<std::string>& fields);
  std::int64_t line() const { return first_line_; }

 private:
  /// Leaves `at_` on the comma or the line feed behind the field, or at the end.
  MILKIT_INLINE std::string field();

  MILKIT_INLINE std::string quoted_text();

  std::string_view text_;
  const std::string& file_;
  std::size_t at_ = 0;
  std::int64_t line_ = 1, first_line_ = 1;
  bool quoted_ = false;
};

}  // namespace detail

/// Parses comma-separated text (RFC 4180: quoted fields may hold commas, line ends and doubled quotes; LF or CRLF). A
/// byte order mark and lines without any text (blanks, `,,`) are skipped, and every field is `trimmed`, quoted or not.
/// `file` is for messages. A line with another number of fields than the first one: io_error with file, line and column;
/// a quote that does not end: with file and line.
MILKIT_INLINE csv_table parse_csv(std::string_view text, const std::string& file, bool header);

/// Reads a CSV file; its first line is a header unless told otherwise.
MILKIT_INLINE csv_table read_csv(const std::filesystem::path& path, bool header = true);

/// A number as the shortest text that reads back as the same number (`nan`, `inf` and `-inf` where it is not finite).
template <class T>
requires std::integral<T> || std::floating_point<T> std::string number_text(T value) {
  char buffer[64];
  return {buffer, std::to_chars(buffer, buffer + sizeof(buffer), value).ptr};
}

/// Writes CSV, atomically: nothing is there before `commit`. Text is quoted where RFC 4180 asks for it, numbers read
/// back as the same numbers, lines end in LF. A row of another length than the header: value_error.
///
///     csv_writer csv("tiles.csv", {"x", "y", "attention"});
///     csv.row(0, 256, 0.25);
///     csv.commit();
class csv_writer {
 public:
  csv_writer(const std::filesystem::path& path, const std::vector<std::string>& header)
      : file_(path), columns_(header.size()) {
    row(header);
  }

  MILKIT_INLINE void row(const std::vector<std::string>& fields);
  template <class... Fields>
  requires(sizeof...(Fields) > 1) void row(const Fields&... fields) { row(std::vector<std::string>{field(fields)...}); }

  MILKIT_INLINE void commit();

 private:
  template <class Field>
  static std::string field(const Field& value) {
    if constexpr (std::is_arithmetic_v<Field>) return number_text(value);
    else return std::string(value);
  }
  MILKIT_INLINE std::string quoted(const std::string& text) const;
  MILKIT_INLINE void flush();

  atomic_file file_;
  std::size_t columns_;
  std::string text_;
};

}  // namespace milkit::data

#if !defined(MILKIT_COMPILED)
#include <milkit/data/csv.ipp>
#endif
