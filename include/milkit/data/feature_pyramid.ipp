#pragma once

#include <milkit/data/feature_pyramid.hpp>

namespace milkit::data {

MILKIT_INLINE std::string fault_of_parents(const std::vector<std::int64_t>& parents, std::int64_t rows,
                                           std::int64_t below) {
  if (static_cast<std::int64_t>(parents.size()) != rows) return message(parents.size(), " parents, expected ", rows);
  for (std::size_t i = 0; i < parents.size(); ++i)
    if (parents[i] < 0 || parents[i] >= below)
      return message("the parent of row ", i, " is ", parents[i], ", expected 0 to ", below - 1);
  return "";
}

MILKIT_INLINE child_index children_of(const std::vector<std::int64_t>& parents, std::int64_t count) {
  const std::string fault = fault_of_parents(parents, static_cast<std::int64_t>(parents.size()), count);
  expect_value(fault.empty(), "milkit::data::children_of", fault);
  child_index index;
  index.offsets.assign(static_cast<std::size_t>(count + 1), 0);
  for (const std::int64_t parent : parents) ++index.offsets[static_cast<std::size_t>(parent + 1)];
  for (std::size_t n = 0; n + 1 < index.offsets.size(); ++n) {
    index.width = (std::max)(index.width, index.offsets[n + 1]);
    index.offsets[n + 1] += index.offsets[n];
  }
  auto next = index.offsets;
  index.rows.resize(parents.size());
  for (std::size_t i = 0; i < parents.size(); ++i)
    index.rows[static_cast<std::size_t>(next[static_cast<std::size_t>(parents[i])]++)] = static_cast<std::int64_t>(i);
  for (std::int64_t n = 0; n <= count; ++n)
    index.dense &= index.offsets[static_cast<std::size_t>(n)] == n * index.width;
  for (std::size_t i = 0; i < index.rows.size(); ++i) index.dense &= index.rows[i] == static_cast<std::int64_t>(i);
  return index;
}

}  // namespace milkit::data
