#pragma once

#include <milkit/data/bag_csv.hpp>

namespace milkit::data::detail {

MILKIT_INLINE std::string lower(std::string text) {
  for (char& c : text)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  return text;
}

MILKIT_INLINE bool names_no_feature(const std::string& column) {
  const std::string name = lower(column);
  if (name.empty() || name.starts_with("unnamed")) return true;
  for (std::size_t first = 0, end; first < name.size(); first = end + 1) {
    end = (std::min)(name.find_first_of(" _-.:/", first), name.size());
    const std::string word = name.substr(first, end - first);
    for (const char* each :
         {"bag",   "bags", "label", "labels", "target", "class",   "instance", "instances", "fold",  "folds", "split",
          "index", "idx",  "id",    "ids",    "name",   "patient", "case",     "slide",     "image", "repeat"})
      if (word == each) return true;
  }
  return false;
}

MILKIT_INLINE bag_columns find_bag_columns(const csv_table& table, std::vector<std::string>& ignored) {
  const auto called = [&](const std::string& name) {
    for (const std::string& each : table.header)
      if (lower(each) == name) return table.column(each);
    return table.column(name);
  };
  bag_columns columns{.bag = called("bag"), .instance = -1, .label = called("label"), .features = {}};
  for (std::size_t i = 0; i < table.header.size(); ++i) {
    const auto column = static_cast<std::int64_t>(i);
    if (column == columns.bag || column == columns.label) continue;
    if (names_no_feature(table.header[i])) ignored.push_back(table.header[i]);
    else columns.features.push_back(column);
  }
  if (columns.features.empty()) throw io_error(message(table.file, ": has no column of features beside bag and label"));
  return columns;
}

}  // namespace milkit::data::detail

namespace milkit::data {

MILKIT_INLINE bag_table read_bag_csv(const std::filesystem::path& path) {
  csv_table table = read_csv(path, false);
  if (table.size() == 0) throw io_error(message(table.file, ": holds no instances"));
  const auto fields = static_cast<std::int64_t>(table.rows[0].size());
  if (fields < 3)
    throw io_error(
        message(table.file, ", line ", table.lines[0], ": has ", fields, " fields, expected bag, label and features"));
  const auto has = [&](const char* name) {
    return std::any_of(table.rows[0].begin(), table.rows[0].end(),
                       [&](const std::string& each) { return detail::lower(each) == name; });
  };
  double ignored = 0;
  const bool text =
      !detail::parse_number(table.text(0, 1), ignored) && !detail::parse_number(table.text(0, 2), ignored);
  if (!text && !(has("bag") && has("label"))) {
    detail::bag_columns columns{.bag = 0, .instance = -1, .label = 1, .features = {}};
    for (std::int64_t i = 2; i < fields; ++i) columns.features.push_back(i);
    return detail::group_bags(table, columns);
  }
  table.header = std::move(table.rows[0]);
  table.rows.erase(table.rows.begin());
  table.lines.erase(table.lines.begin());
  std::vector<std::string> others;
  const detail::bag_columns columns = detail::find_bag_columns(table, others);
  bag_table bags = detail::group_bags(table, columns);
  bags.ignored = std::move(others);
  return bags;
}

MILKIT_INLINE bag_table read_bags(const std::filesystem::path& path) {
  if (path.extension() == ".data") return read_c45(path);
  const std::string text = read_all(path);
  const auto line = trimmed(std::string_view(text).substr(0, text.find_first_of("\r\n")));
  const auto comma = line.find(',');
  const auto second =
      comma == line.npos ? std::string_view() : line.substr(comma + 1, line.find(',', comma + 1) - comma - 1);
  double ignored = 0;
  const bool c45 = !line.empty() && line.back() == '.' && !detail::parse_number(second, ignored);
  return c45 ? read_c45(path) : read_bag_csv(path);
}

}  // namespace milkit::data
