#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include <milkit/core/tensor.hpp>
#include <milkit/data/csv.hpp>

namespace milkit::data {

/// Labelled bags as one ragged batch: bag `b` owns rows `offsets[b]` to `offsets[b + 1] - 1` of `instances`.
struct bag_table {
  tensor<float, 2> instances;               ///< [instances, features]
  std::vector<std::int64_t> offsets = {0};  ///< [bags + 1]
  std::vector<std::int64_t> labels;         ///< [bags], each 0 or more
  std::vector<std::string> names;           ///< [bags]
  std::vector<std::string> instance_names;  ///< [instances]; empty where the file names none

  std::int64_t bags() const { return static_cast<std::int64_t>(labels.size()); }
  std::int64_t features() const { return instances.extent(1); }
  std::int64_t classes() const { return labels.empty() ? 0 : *std::max_element(labels.begin(), labels.end()) + 1; }

  std::int64_t bag_size(std::int64_t bag) const {
    const auto i = static_cast<std::size_t>(bag);
    return offsets[i + 1] - offsets[i];
  }
  /// The instances [size, features] of one bag, without a copy.
  matrix_view<const float> bag(std::int64_t bag) const {
    return instances.view().rows(offsets[static_cast<std::size_t>(bag)], bag_size(bag));
  }
};

/// The most classes that a file of bags may have: one label far off (an identifier in the wrong column) would otherwise
/// ask for counts of every class up to it.
inline constexpr std::int64_t most_classes = 1000;

namespace detail {

/// Which fields of a line hold what; -1: none does.
struct bag_columns {
  std::int64_t bag, instance, label, first_feature, features;
};

/// Groups the lines of a table into bags, in the order in which bags first appear; a bag's lines need not be
/// neighbours.
inline bag_table group_bags(const csv_table& table, const bag_columns& columns) {
  if (table.size() == 0) throw io_error(message(table.file, ": holds no instances"));
  bag_table bags;
  std::map<std::string, std::size_t> index;
  std::vector<std::size_t> bag_of_row;
  for (std::int64_t row = 0; row < table.size(); ++row) {
    const std::string& name = table.text(row, columns.bag);
    const std::int64_t label = table.integer(row, columns.label);
    if (label < 0) table.fail(row, columns.label, "is a negative label, expected 0 or more");
    if (label >= most_classes)
      table.fail(row, columns.label, message("is a label, expected at most ", most_classes - 1));
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

  bags.instances = tensor<float, 2>({table.size(), columns.features});
  if (columns.instance >= 0) bags.instance_names.resize(bag_of_row.size());
  std::vector<std::int64_t> next(bags.offsets.begin(), bags.offsets.end() - 1);
  for (std::int64_t row = 0; row < table.size(); ++row) {
    const std::int64_t place = next[bag_of_row[static_cast<std::size_t>(row)]]++;
    float* out = bags.instances.view().row(place);
    for (std::int64_t i = 0; i < columns.features; ++i) {
      out[i] = static_cast<float>(table.number(row, columns.first_feature + i));
      if (!std::isfinite(out[i])) table.fail(row, columns.first_feature + i, "is too large for a 32-bit float");
    }
    if (columns.instance >= 0) bags.instance_names[static_cast<std::size_t>(place)] = table.text(row, columns.instance);
  }
  return bags;
}

}  // namespace detail

}  // namespace milkit::data
