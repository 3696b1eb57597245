#pragma once

#include <algorithm>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include <milkit/core/error.hpp>
#include <milkit/core/tensor.hpp>

namespace milkit::data {

/// The features of a slide's tiles at one magnification.
struct feature_level {
  std::string name;                     ///< of the magnification: "5x"
  tensor<float, 2> features;            ///< [n, d]
  tensor<std::int64_t, 2> coordinates;  ///< [n, 2]: x and y of the tiles' top left corners, in level-0 pixels
  std::vector<std::int64_t> parents;    ///< [n]: which tile of the level below it belongs to; empty at the lowest
};

/// The features of a slide at several magnifications, low to high, and where they come from: "encoder", "tile_size",
/// "slide", ....
struct feature_pyramid {
  std::vector<feature_level> levels;
  std::map<std::string, std::string> provenance;
};

/// What is wrong with the parents of `rows` tiles, in words; empty where each has one of 0 .. below - 1.
inline std::string fault_of_parents(const std::vector<std::int64_t>& parents, std::int64_t rows, std::int64_t below) {
  if (static_cast<std::int64_t>(parents.size()) != rows) return message(parents.size(), " parents, expected ", rows);
  for (std::size_t i = 0; i < parents.size(); ++i)
    if (parents[i] < 0 || parents[i] >= below)
      return message("the parent of row ", i, " is ", parents[i], ", expected 0 to ", below - 1);
  return "";
}

/// Which rows of a level belong to each tile of the level below: tile n has the rows rows[offsets[n]] ..
/// rows[offsets[n + 1] - 1], ascending. `width` is the most that a tile has, at least 1. Where every tile has `width`
/// rows, one tile's after the other's, the index is `dense`, and says nothing that `width` does not.
struct child_index {
  std::int64_t width = 1;
  bool dense = true;
  std::vector<std::int64_t> offsets, rows;
};
/// Errors: value_error for a parent outside 0 .. count - 1, naming the row.
inline child_index children_of(const std::vector<std::int64_t>& parents, std::int64_t count) {
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
