#pragma once

#include <filesystem>

#include <milkit/data/bags.hpp>
#include <milkit/data/c45.hpp>

namespace milkit::data {

/// Reads bags from lines `bag,label,f1,...,fD`; a first line whose label and first feature are no numbers is a header.
/// Lines of a bag that disagree on the label, a ragged line, text for a number, NaN or infinity: io_error with file,
/// line and column.
inline bag_table read_bag_csv(const std::filesystem::path& path) {
  csv_table table = read_csv(path, false);
  if (table.size() == 0) throw io_error(message(table.file, ": holds no instances"));
  const auto fields = static_cast<std::int64_t>(table.rows[0].size());
  if (fields < 3)
    throw io_error(
        message(table.file, ", line ", table.lines[0], ": has ", fields, " fields, expected bag, label and features"));
  double ignored = 0;
  if (!detail::parse_number(table.text(0, 1), ignored) && !detail::parse_number(table.text(0, 2), ignored)) {
    table.header = std::move(table.rows[0]);
    table.rows.erase(table.rows.begin());
    table.lines.erase(table.lines.begin());
  }
  return detail::group_bags(table, {.bag = 0, .instance = -1, .label = 1, .first_feature = 2, .features = fields - 2});
}

/// Reads bags from a file whose format it recognises: C4.5 (`read_c45`) where the name ends in `.data`, or where the
/// first line ends in a full stop and its second field is no number; else CSV (`read_bag_csv`).
inline bag_table read_bags(const std::filesystem::path& path) {
  if (path.extension() == ".data") return read_c45(path);
  const std::string text = read_all(path);
  const auto line = detail::trimmed(std::string_view(text).substr(0, text.find_first_of("\r\n")));
  const auto comma = line.find(',');
  const auto second =
      comma == line.npos ? std::string_view() : line.substr(comma + 1, line.find(',', comma + 1) - comma - 1);
  double ignored = 0;
  const bool c45 = !line.empty() && line.back() == '.' && !detail::parse_number(second, ignored);
  return c45 ? read_c45(path) : read_bag_csv(path);
}

}  // namespace milkit::data
