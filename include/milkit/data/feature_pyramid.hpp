#pragma once

#include <algorithm>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include <milkit/core/error.hpp>
#include <milkit/core/macros.hpp>
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
MILKIT_INLINE std::string fault_of_parents(const std::vector<std::int64_t>& parents, std::int64_t rows,
                                           std::int64_t below);

/// Which rows of a level belong to each tile of the level below: tile n has the rows rows[offsets[n]] ..
/// rows[offsets[n + 1] - 1], ascending. `width` is the most that a tile has, at least 1. Where every tile has `width`
/// rows, one tile's after the other's, the index is `dense`, and says nothing that `width` does not.
struct child_index {
  std::int64_t width = 1;
  bool dense = true;
  std::vector<std::int64_t> offsets, rows;
};
/// Errors: value_error for a parent outside 0 .. count - 1, naming the row.
MILKIT_INLINE child_index children_of(const std::vector<std::int64_t>& parents, std::int64_t count);

}  // namespace milkit::data

#if !defined(MILKIT_COMPILED)
#include <milkit/data/feature_pyramid.ipp>
#endif
