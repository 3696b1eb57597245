#pragma once

#include <milkit/data/c45.hpp>

namespace milkit::data {

MILKIT_INLINE bag_table read_c45(const std::filesystem::path& path) {
  csv_table table = read_csv(path, false);
  if (table.size() == 0) throw io_error(message(table.file, ": holds no instances"));
  const auto fields = static_cast<std::int64_t>(table.rows[0].size());
  if (fields < 4)
    throw io_error(message(table.file, ", line ", table.lines[0], ": has ", fields,
                           " fields, expected molecule, conformation, features and class"));
  for (std::int64_t row = 0; row < table.size(); ++row) {
    std::string& last = table.rows[static_cast<std::size_t>(row)].back();
    const auto text = trimmed(last);
    if (text.empty() || text.back() != '.')
      table.fail(row, fields - 1, "is the last field, expected a class and a full stop");
    last = std::string(text.substr(0, text.size() - 1));
  }
  detail::bag_columns columns{.bag = 0, .instance = 1, .label = fields - 1, .features = {}};
  for (std::int64_t i = 2; i < fields - 1; ++i) columns.features.push_back(i);
  return detail::group_bags(table, columns);
}

}  // namespace milkit::data
