#pragma once

#include <cmath>
#include <map>
#include <string>

#include <milkit/data/bag_columns.hpp>
#include <milkit/data/row_ids.hpp>

namespace milkit::data::detail {

MILKIT_INLINE std::int64_t label_of(const csv_table& table, std::int64_t row, std::int64_t column) {
  const std::int64_t label = table.integer(row, column);
  if (label < 0) table.fail(row, column, "is a negative label, expected 0 or more");
  if (label >= most_classes) table.fail(row, column, message("is a label, expected at most ", most_classes - 1));
  return label;
}

MILKIT_INLINE bag_table group_bags(const csv_table& table, const bag_columns& columns) {
  if (table.size() == 0) throw io_error(message(table.file, ": holds no instances"));
  bag_table bags;
  std::map<std::string, std::size_t> index;
  std::vector<std::size_t> bag_of_row;
  for (std::int64_t row = 0; row < table.size(); ++row) {
    const std::string& name = id_of(table, row, columns.bag);
    const std::int64_t label = label_of(table, row, columns.label);
    const auto [found, is_new] = index.emplace(name, bags.names.size());
    if (is_new) {
      bags.names.push_back(name);
      bags.labels.push_back(label);
      bags.offsets.push_back(0);
    }
    const std::size_t bag = found->second;
    if (bags.labels[bag] != label)
      table.fail(row, columns.label,
                 message("is the label here, but bag '", name, "' had ", bags.labels[bag], " before"));
    bag_of_row.push_back(bag);
    ++bags.offsets[bag + 1];
  }
  for (std::size_t i = 1; i < bags.offsets.size(); ++i) bags.offsets[i] += bags.offsets[i - 1];

  const auto features = static_cast<std::int64_t>(columns.features.size());
  bags.instances = tensor<float, 2>({table.size(), features});
  if (columns.instance >= 0) bags.instance_names.resize(bag_of_row.size());
  std::vector<std::int64_t> next(bags.offsets.begin(), bags.offsets.end() - 1);
  for (std::int64_t row = 0; row < table.size(); ++row) {
    const std::int64_t place = next[bag_of_row[static_cast<std::size_t>(row)]]++;
    float* out = bags.instances.view().row(place);
    for (std::int64_t i = 0; i < features; ++i) {
      const std::int64_t column = columns.features[static_cast<std::size_t>(i)];
      out[i] = static_cast<float>(table.number(row, column));
      if (!std::isfinite(out[i])) table.fail(row, column, "is too large for a 32-bit float");
    }
    if (columns.instance >= 0) bags.instance_names[static_cast<std::size_t>(place)] = table.text(row, columns.instance);
  }
  return bags;
}

}  // namespace milkit::data::detail
