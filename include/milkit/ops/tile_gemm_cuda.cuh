#pragma once

#include <milkit/core/launch.cuh>

namespace milkit::ops::detail {

/// A matrix product whose factors are functions: sum over k of `left(i, k) right(k, j)`, given to `store(i, j, part, sum)`. For
/// products that no library takes (convolution without unfolding); plain ones belong to `matmul`. The terms may be cut into
/// parts, each of which is stored by itself. Blocks of 64 x 64, 4 x 4 a thread, 16 terms at a time through shared memory.
template <class T, class Product>
struct tile_gemm_kernel {
  static constexpr int threads = 256, side = 64, depth = 16, own = 4;
  std::int64_t rows, cols, terms, part_terms, column_tiles;
  Product product;

  __device__ void operator()() const {
    __shared__ T left[depth][side + 1];
    __shared__ T right[depth][side + 1];
    const int t = static_cast<int>(threadIdx.x), y = t / 16, x = t % 16;
    const std::int64_t first_row = std::int64_t{blockIdx.x} / column_tiles * side, first_col = std::int64_t{blockIdx.x} % column_tiles * side;
    const std::int64_t part = blockIdx.y, first = part * part_terms, last = first + part_terms < terms ? first + part_terms : terms;
    T sum[own][own] = {};
    for (std::int64_t k = first; k < last; k += depth) {
      for (int e = t; e < side * depth; e += threads) {
        const std::int64_t i = first_row + e / depth, ki = k + e % depth, j = first_col + e % side, kj = k + e / side;
        left[e % depth][e / depth] = i < rows && ki < last ? product.left(i, ki) : T(0);
        right[e / side][e % side] = j < cols && kj < last ? product.right(kj, j) : T(0);
      }
      __syncthreads();
      for (int d = 0; d < depth; ++d)
        for (int a = 0; a < own; ++a)
          for (int b = 0; b < own; ++b) sum[a][b] += left[d][y + 16 * a] * right[d][x + 16 * b];
      __syncthreads();
    }
    for (int a = 0; a < own; ++a)
      for (int b = 0; b < own; ++b) {
        const std::int64_t i = first_row + y + 16 * a, j = first_col + x + 16 * b;
        if (i < rows && j < cols) product.store(i, j, part, sum[a][b]);
      }
  }
};

template <class T, class Product>
void tile_gemm(cuda& backend, std::int64_t rows, std::int64_t cols, std::int64_t terms, std::int64_t parts, const Product& product) {
  using kernel = tile_gemm_kernel<T, Product>;
  const std::int64_t column_tiles = chunk_count(cols, kernel::side), part_terms = chunk_count(chunk_count(terms, parts), kernel::depth) * kernel::depth;
  launch(backend, {chunk_count(rows, kernel::side) * column_tiles, parts}, kernel{rows, cols, terms, part_terms, column_tiles, product});
}

}  // namespace milkit::ops::detail
