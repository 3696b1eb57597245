#pragma once

#include <milkit/train/history.hpp>

namespace milkit::train {

MILKIT_INLINE void history::add(std::span<const metric> figures) {
  for (std::size_t i = 0; i < figures.size(); ++i)
    for (std::size_t j = 0; j < i; ++j)
      expect_value(figures[i].name != figures[j].name, "milkit::train::history", "figure \"", figures[i].name,
                   "\" is given twice");
  for (const metric& each : figures)
    if (!find(each.name))
      columns_.push_back({each.name, std::vector<double>(static_cast<std::size_t>(epochs_), missing)});
  ++epochs_;
  for (named_column& each : columns_) each.values.push_back(missing);
  for (const metric& each : figures) columns_[find(each.name) - 1].values.back() = each.value;
}

MILKIT_INLINE std::vector<std::string> history::names() const {
  std::vector<std::string> all;
  for (const named_column& each : columns_) all.push_back(each.name);
  return all;
}

MILKIT_INLINE const std::vector<double>& history::column(const std::string& name) const {
  const std::size_t found = find(name);
  expect_value(found > 0, "milkit::train::history", "there is no figure \"", name, "\"");
  return columns_[found - 1].values;
}

MILKIT_INLINE std::size_t history::find(const std::string& name) const {  // 1 + its place, 0: not there
  for (std::size_t i = 0; i < columns_.size(); ++i)
    if (columns_[i].name == name) return i + 1;
  return 0;
}

}  // namespace milkit::train
