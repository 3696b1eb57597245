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

#include <milkit/data/atomic_file.hpp>
#include <milkit/data/input_file.hpp>

namespace milkit::data {

/// Text without the white space around it: blanks, tabs, line ends, and the spaces of Unicode that tables are pasted
/// with (non-breaking, thin, ideographic, of no width).
inline std::string_view trimmed(std::string_view text) {
  const auto space = [](std::string_view at) -> std::size_t {  // the bytes of the white space that `at` begins with
    if (at.empty()) return 0;
    if (std::string_view(" \t\r\n\v\f").find(at[0]) != at.npos) return 1;
    if (at.starts_with("\xC2\xA0") || at.starts_with("\xC2\x85")) return 2;
    if (at.size() >= 3 && at.starts_with("\xE2\x80")) {
      const int last = static_cast<unsigned char>(at[2]);
      return last <= 0x8B || last == 0xA8 || last == 0xA9 || last == 0xAF ? 3 : 0;
    }
    for (const std::string_view each : {"\xE3\x80\x80", "\xE2\x81\x9F", "\xE2\x81\xA0", "\xE1\x9A\x80", "\xEF\xBB\xBF"})
      if (at.starts_with(each)) return 3;
    return 0;
  };
  while (const std::size_t bytes = space(text)) text.remove_prefix(bytes);
  for (std::size_t bytes = 1; bytes <= 3 && bytes <= text.size();)
    if (space(text.substr(text.size() - bytes)) == bytes) text.remove_suffix(bytes), bytes = 1;
    else ++bytes;
  return text;
}

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
  std::int64_t column(std::string_view name) const {
    const auto found = std::find(header.begin(), header.end(), name);
    if (found == header.end()) {
      std::string all;
      for (const std::string& each : header) all += (all.empty() ? "" : ", ") + each;
      throw io_error(message(file, ": has no column '", name, "', its columns are: ", all));
    }
    if (std::find(found + 1, header.end(), name) != header.end())
      throw io_error(message(file, ": has two columns '", name, "', expected one"));
    return found - header.begin();
  }

  const std::string& text(std::int64_t row, std::int64_t column) const {
    return rows[static_cast<std::size_t>(row)][static_cast<std::size_t>(column)];
  }
  /// A finite number; else io_error with file, line and column.
  double number(std::int64_t row, std::int64_t column) const {
    double value = 0;
    if (!detail::parse_number(text(row, column), value)) fail(row, column, "is not a number");
    if (!std::isfinite(value)) fail(row, column, "is not finite, expected a finite number");
    return value;
  }
  /// A whole number, also as `1.0`; else io_error.
  std::int64_t integer(std::int64_t row, std::int64_t column) const {
    std::int64_t value = 0;
    if (detail::parse_number(text(row, column), value)) return value;
    const double real = number(row, column);
    if (real != std::floor(real) || std::abs(real) > 0x1p53) fail(row, column, "is not a whole number");
    return static_cast<std::int64_t>(real);
  }

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
  bool next(std::vector<std::string>& fields) {
    while (at_ < text_.size()) {
      first_line_ = line_;
      quoted_ = false;
      fields.clear();
      do fields.push_back(field());
      while (at_ < text_.size() && text_[at_++] == ',');
      ++line_;
      const auto holds_text = [](const std::string& field) { return !field.empty(); };
      if (quoted_ || std::any_of(fields.begin(), fields.end(), holds_text)) return true;
    }
    return false;
  }
  std::int64_t line() const { return first_line_; }

 private:
  /// Leaves `at_` on the comma or the line feed behind the field, or at the end.
  std::string field() {
    std::string value;
    const bool quoted = at_ < text_.size() && text_[at_] == '"';
    if (quoted) value = quoted_text();
    const auto end = (std::min)(text_.find_first_of(",\n", at_), text_.size());
    auto rest = text_.substr(at_, end - at_);
    if (quoted) rest = trimmed(rest);
    if (quoted && !rest.empty())
      throw io_error(message(file_, ", line ", line_, ": text after a closing quote: ", rest));
    at_ = end;
    return std::string(trimmed(value.append(rest)));
  }

  std::string quoted_text() {
    std::string value;
    quoted_ = true;
    for (++at_; at_ < text_.size(); ++at_) {
      if (text_[at_] == '"' && text_.substr(at_ + 1, 1) != "\"") {
        ++at_;
        return value;
      }
      at_ += text_[at_] == '"';
      line_ += text_[at_] == '\n';
      value += text_[at_];
    }
    throw io_error(message(file_, ", line ", first_line_, ": a quoted field does not end"));
  }

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
inline csv_table parse_csv(std::string_view text, const std::string& file, bool header) {
  csv_table table;
  table.file = file;
  detail::csv_lines lines(text, file);
  std::vector<std::string> fields;
  std::size_t wanted = 0;
  while (lines.next(fields)) {
    if (wanted == 0) wanted = fields.size();
    if (fields.size() != wanted)
      throw io_error(message(
          file, ", line ", lines.line(), ": has ", fields.size(), " fields, expected ", wanted,
          fields.size() < wanted ? "; the first that is missing is column " : "; the first that is too many is column ",
          (std::min)(fields.size(), wanted) + 1));
    if (header && table.header.empty()) {
      table.header = std::move(fields);
    } else {
      table.rows.push_back(std::move(fields));
      table.lines.push_back(lines.line());
    }
  }
  return table;
}

/// Reads a CSV file; its first line is a header unless told otherwise.
inline csv_table read_csv(const std::filesystem::path& path, bool header = true) {
  return parse_csv(read_all(path), path.string(), header);
}

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

  void row(const std::vector<std::string>& fields) {
    expect_value(fields.size() == columns_, "milkit::data::csv_writer", "a row of ", file_.name(), " has ",
                 fields.size(), " fields, expected ", columns_);
    for (std::size_t i = 0; i < fields.size(); ++i) text_ += (i ? "," : "") + quoted(fields[i]);
    text_ += '\n';
    if (text_.size() > (std::size_t{1} << 16)) flush();
  }
  template <class... Fields>
  requires(sizeof...(Fields) > 1) void row(const Fields&... fields) { row(std::vector<std::string>{field(fields)...}); }

  void commit() {
    flush();
    file_.commit();
  }

 private:
  template <class Field>
  static std::string field(const Field& value) {
    if constexpr (std::is_arithmetic_v<Field>) return number_text(value);
    else return std::string(value);
  }
  std::string quoted(const std::string& text) const {
    const bool would_vanish = text.empty() && columns_ == 1;
    if (!would_vanish && text.find_first_of(",\"\r\n") == text.npos) return text;
    std::string out = "\"";
    for (const char c : text) out += c == '"' ? std::string("\"\"") : std::string(1, c);
    return out + "\"";
  }
  void flush() {
    file_.write(text_);
    text_.clear();
  }

  atomic_file file_;
  std::size_t columns_;
  std::string text_;
};

}  // namespace milkit::data
