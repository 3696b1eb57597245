#pragma once

#include <milkit/data/csv.hpp>

namespace milkit::data {

MILKIT_INLINE std::string_view trimmed(std::string_view text) {
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

MILKIT_INLINE std::int64_t csv_table::column(std::string_view name) const {
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

MILKIT_INLINE double csv_table::number(std::int64_t row, std::int64_t column) const {
  double value = 0;
  if (!detail::parse_number(text(row, column), value)) fail(row, column, "is not a number");
  if (!std::isfinite(value)) fail(row, column, "is not finite, expected a finite number");
  return value;
}

MILKIT_INLINE std::int64_t csv_table::integer(std::int64_t row, std::int64_t column) const {
  std::int64_t value = 0;
  if (detail::parse_number(text(row, column), value)) return value;
  const double real = number(row, column);
  if (real != std::floor(real) || std::abs(real) > 0x1p53) fail(row, column, "is not a whole number");
  return static_cast<std::int64_t>(real);
}

}  // namespace milkit::data

namespace milkit::data::detail {

MILKIT_INLINE bool csv_lines::next(std::vector<std::string>& fields) {
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

MILKIT_INLINE std::string csv_lines::field() {
  std::string value;
  const bool quoted = at_ < text_.size() && text_[at_] == '"';
  if (quoted) value = quoted_text();
  const auto end = (std::min)(text_.find_first_of(",\n", at_), text_.size());
  auto rest = text_.substr(at_, end - at_);
  if (quoted) rest = trimmed(rest);
  if (quoted && !rest.empty()) throw io_error(message(file_, ", line ", line_, ": text after a closing quote: ", rest));
  at_ = end;
  return std::string(trimmed(value.append(rest)));
}

MILKIT_INLINE std::string csv_lines::quoted_text() {
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

}  // namespace milkit::data::detail

namespace milkit::data {

MILKIT_INLINE csv_table parse_csv(std::string_view text, const std::string& file, bool header) {
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

MILKIT_INLINE csv_table read_csv(const std::filesystem::path& path, bool header) {
  return parse_csv(read_all(path), path.string(), header);
}

MILKIT_INLINE void csv_writer::row(const std::vector<std::string>& fields) {
  expect_value(fields.size() == columns_, "milkit::data::csv_writer", "a row of ", file_.name(), " has ", fields.size(),
               " fields, expected ", columns_);
  for (std::size_t i = 0; i < fields.size(); ++i) text_ += (i ? "," : "") + quoted(fields[i]);
  text_ += '\n';
  if (text_.size() > (std::size_t{1} << 16)) flush();
}

MILKIT_INLINE void csv_writer::commit() {
  flush();
  file_.commit();
}

MILKIT_INLINE std::string csv_writer::quoted(const std::string& text) const {
  const bool would_vanish = text.empty() && columns_ == 1;
  if (!would_vanish && text.find_first_of(",\"\r\n") == text.npos) return text;
  std::string out = "\"";
  for (const char c : text) out += c == '"' ? std::string("\"\"") : std::string(1, c);
  return out + "\"";
}

MILKIT_INLINE void csv_writer::flush() {
  file_.write(text_);
  text_.clear();
}

}  // namespace milkit::data
