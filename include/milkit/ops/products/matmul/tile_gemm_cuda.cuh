#pragma once

#include <milkit/core/launch.cuh>

namespace milkit::ops::detail {

/// A matrix product whose factors are functions: sum over k of `left(i, k) right(k, j)`, given to `store(i, j, part, sum)`. For
/// products that no library takes (convolution without unfolding); plain ones belong to `matmul`. `column(j)` is what `right`
/// needs of j, computed once, because a thread loads from one column only; `term(k)` is what `left` needs of k. The terms may be
/// cut into parts, each of which is stored by itself. Blocks of 64 x 64, 4 x 4 a thread, 16 terms at a time through shared
/// memory. Sums of 1024 terms, and then their sum: in float32 the rounding of ten thousand terms is not that of one long chain.
template <class T, class Product>
struct tile_gemm_kernel {
  static constexpr int threads = 256, side = 64, depth = 16, own = 4, flush = 64 * depth;
  using index = typename Product::index;
  index rows, cols, terms, part_terms, column_tiles;
  Product product;

  __device__ void operator()() const {
    __shared__ T left[depth][side + 1];
    __shared__ T right[depth][side + 1];
    const int t = static_cast<int>(threadIdx.x), y = t / 16, x = t % 16;
    const auto block = static_cast<index>(blockIdx.x), part = static_cast<index>(blockIdx.y);
    const index first_row = block / column_tiles * side, first_col = block % column_tiles * side;
    const index first = part * part_terms, last = first + part_terms < terms ? first + part_terms : terms;
    const index j = first_col + t % side;
    const auto column = product.column(j < cols ? j : index(0));
    T total[own][own] = {}, sum[own][own] = {};
    for (index k = first; k < last; k += depth) {
      const index left_k = k + t % depth;
      const auto term = product.term(left_k < last ? left_k : first);
      for (int r = 0; r < side * depth / threads; ++r) {
        const int line = t / depth + threads / depth * r, level = t / side + threads / side * r;
        left[t % depth][line] = first_row + line < rows && left_k < last ? product.left(first_row + line, term) : T(0);
        right[level][t % side] = j < cols && k + level < last ? product.right(k + level, column) : T(0);
      }
      __syncthreads();
      for (int d = 0; d < depth; ++d)
        for (int a = 0; a < own; ++a)
          for (int b = 0; b < own; ++b) sum[a][b] += left[d][y + 16 * a] * right[d][x + 16 * b];
      __syncthreads();
      if ((k - first) % flush != flush - depth && k + depth < last) continue;
      for (int a = 0; a < own; ++a)
        for (int b = 0; b < own; ++b) {
          total[a][b] += sum[a][b];
          sum[a][b] = 0;
        }
    }
    for (int a = 0; a < own; ++a)
      for (int b = 0; b < own; ++b) {
        const index i = first_row + y + 16 * a, to = first_col + x + 16 * b;
        if (i < rows && to < cols) product.store(i, to, part, total[a][b]);
      }
  }
};

template <class T, class Product>
void tile_gemm(cuda& backend, std::int64_t rows, std::int64_t cols, std::int64_t terms, std::int64_t parts,
               const Product& product) {
  using kernel = tile_gemm_kernel<T, Product>;
  using index = typename Product::index;
  const std::int64_t column_tiles = chunk_count(cols, kernel::side),
                     part_terms = chunk_count(chunk_count(terms, parts), kernel::depth) * kernel::depth;
  const auto as = [](std::int64_t n) { return static_cast<index>(n); };
  launch(backend, {chunk_count(rows, kernel::side) * column_tiles, parts},
         kernel{as(rows), as(cols), as(terms), as(part_terms), as(column_tiles), product});
}

}  // namespace milkit::ops::detail
