#pragma once

#include <milkit/core/view.hpp>

namespace milkit::ops {

/// K rows selected from N instances: the sparse matrix T [K, N] of weights, row by row. Row k holds the elements
/// offsets[k] .. offsets[k + 1] - 1 of `columns` (instances, ascending) and `weights` (positive, sum 1). The vectors
/// are as long as T may at most have non-zeros; what lies behind offsets[K] means nothing. A gradient with respect to T
/// has the layout of `weights`.
template <class T, class Space = host_space>
struct selection {
  std::int64_t instances = 0;                     ///< N
  bool single = false;                            ///< every row selects one instance, with weight 1
  vector_view<std::int64_t, Space> offsets = {};  ///< [K + 1]
  vector_view<std::int32_t, Space> columns = {};
  vector_view<T, Space> weights = {};
  matrix_view<std::int32_t, Space> draws = {};  ///< of a perturbed top-K, [S, K]: where in `columns` J_s[k] is

  MILKIT_HD std::int64_t rows() const { return offsets.extent(0) - 1; }
};

}  // namespace milkit::ops
