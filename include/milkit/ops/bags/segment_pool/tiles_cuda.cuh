#pragma once

#include <cmath>

#include <milkit/ops/bags/segment_pool.hpp>
#include <milkit/ops/rows/fill_cuda.cuh>

namespace milkit::ops::detail {

/// The bag that row r of a chunk belongs to.
__device__ inline std::int64_t bag_of_row(const bag_chunk<device_space>& chunk, std::int64_t r) {
  const std::int64_t row = chunk.rows.first + r;
  std::int64_t low = chunk.bags.first, high = chunk.bags.first + chunk.bags.count - 1;
  while (low < high) {
    const std::int64_t middle = (low + high + 1) / 2;
    if (chunk.offsets(middle) <= row) low = middle;
    else high = middle - 1;
  }
  return low;
}

__device__ inline bool larger_or_nan(double a, double b) { return a > b || (a != a && b == b); }

// A chunk is cut into tiles of rows. Where a tile and a bag meet they have a slot: bag i and tile t the slot i + t, which no
// other pair has, because both only ascend. A first kernel leaves each slot's part of its bag's state, a second one merges a
// bag's slots in ascending order.
inline constexpr int tile_rows = 128;
inline std::int64_t tile_slots(const bag_chunk<device_space>& chunk) {
  return chunk.rows.count == 0 ? 0 : chunk.bags.count + chunk_count(chunk.rows.count, tile_rows) - 1;
}

struct tile_slot {
  std::int64_t first, last;  ///< of bag i; an empty one has none
  __device__ tile_slot(const bag_chunk<device_space>& chunk, std::int64_t i) {
    const row_range rows = chunk.segment(i);
    first = i + rows.first / tile_rows;
    last = rows.count == 0 ? first - 1 : i + (rows.first + rows.count - 1) / tile_rows;
  }
  /// The bag of a slot, counted from the chunk's first.
  __device__ static std::int64_t bag_of(const bag_chunk<device_space>& chunk, std::int64_t slot) {
    std::int64_t low = 0, high = chunk.bags.count - 1;
    while (low < high) {
      const std::int64_t middle = (low + high + 1) / 2;
      if (tile_slot(chunk, middle).first <= slot) low = middle;
      else high = middle - 1;
    }
    return low;
  }
  /// The rows where slot and bag i meet: none for a slot between two bags of which the first ends with a tile.
  __device__ static row_range rows_of(const bag_chunk<device_space>& chunk, std::int64_t slot, std::int64_t i) {
    const row_range rows = chunk.segment(i);
    const std::int64_t tile = (slot - i) * tile_rows, end = rows.first + rows.count;
    const std::int64_t first = tile > rows.first ? tile : rows.first,
                       last = tile + tile_rows < end ? tile + tile_rows : end;
    return {first, last > first ? last - first : 0};
  }
};

/// Sum of term(k), k < count, in four chains side by side: an addition waits for the one before it only. Of at most a tile.
template <class Term>
__device__ auto sum_in_four(int count, const Term& term) {
  decltype(term(0)) sum[4] = {};
  int k = 0;
  for (; k + 4 <= count; k += 4)
    for (int c = 0; c < 4; ++c) sum[c] += term(k + c);
  for (; k < count; ++k) sum[0] += term(k);
  return (sum[0] + sum[1]) + (sum[2] + sum[3]);
}

/// (peak, mass, sum of weight h). A slot whose logits are all -infinity has no mass.
struct softmax_tile {
  static constexpr bool weighted = true;
  static constexpr int head = 2;  ///< columns of a state before the first of h

  template <class T>
  __device__ static double column(const T* weights, device_matrix<const T> h, std::int64_t, std::int64_t first,
                                  int count, std::int64_t j, double*) {
    return static_cast<double>(sum_in_four(count, [&](int k) { return weights[k] * h(first + k, j); }));
  }
};
struct sum_tile {
  static constexpr bool weighted = false;
  static constexpr int head = 0;

  template <class T>
  __device__ static double column(const T*, device_matrix<const T> h, std::int64_t, std::int64_t first, int count,
                                  std::int64_t j, double*) {
    return static_cast<double>(sum_in_four(count, [&](int k) { return h(first + k, j); }));
  }
};
/// The value, and d columns on 1 + its row in the batch.
struct max_tile {
  static constexpr bool weighted = false;
  static constexpr int head = 0;

  template <class T>
  __device__ static double column(const T*, device_matrix<const T> h, std::int64_t batch_row, std::int64_t first,
                                  int count, std::int64_t j, double* index) {
    double best = static_cast<double>(h(first, j));
    int at = 0;
    for (int k = 1; k < count; ++k)
      if (const double value = static_cast<double>(h(first + k, j)); larger_or_nan(value, best)) best = value, at = k;
    *index = static_cast<double>(batch_row + first + at + 1);
    return best;
  }
};

/// One block a slot and 128 columns.
template <class Tile, class T>
struct tile_kernel {
  static constexpr int threads = tile_rows;
  bag_chunk<device_space> chunk;
  device_matrix<const T> h, logits;
  device_matrix<double> tiles;

  __device__ void operator()() const {
    __shared__ T weights[threads];
    const std::int64_t slot = blockIdx.x, i = tile_slot::bag_of(chunk, slot);
    const row_range rows = tile_slot::rows_of(chunk, slot, i);
    if (rows.count == 0) return;
    const int count = static_cast<int>(rows.count);
    double* state = tiles.row(slot);
    if constexpr (Tile::weighted) weigh(rows.first, count, state, weights);
    const std::int64_t j = std::int64_t{blockIdx.y} * threads + threadIdx.x;
    if (j < h.cols())
      state[Tile::head + j] = Tile::column(weights, h, chunk.rows.first, rows.first, count, j, state + h.cols() + j);
  }

  __device__ void weigh(std::int64_t begin, int count, double* state, T* weights) const {
    using std::exp;
    const int k = static_cast<int>(threadIdx.x);
    const T none = -static_cast<T>(HUGE_VAL);
    const T z = k < count ? logits(begin + k, 0) : none;
    const T peak = block_combine<threads>(z, larger_number());
    const T weight = k < count && z != none ? exp(z - peak) : T(0);
    weights[k] = weight;
    const double mass = block_sum<threads>(static_cast<double>(weight));
    if (threadIdx.x == 0 && blockIdx.y == 0) state[0] = static_cast<double>(peak), state[1] = mass;
  }
};

/// One block a bag and 32 columns, of which each warp adds every eighth slot.
template <class Tile>
struct merge_tiles_kernel {
  static constexpr int threads = 256, columns = 32, lanes = threads / columns;
  bag_chunk<device_space> chunk;
  device_matrix<double> tiles, part;

  __device__ void operator()() const {
    using std::exp;
    __shared__ double sums[lanes][columns];
    const int lane = static_cast<int>(threadIdx.x) / columns, column = static_cast<int>(threadIdx.x) % columns;
    const std::int64_t i = blockIdx.x, j = std::int64_t{blockIdx.y} * columns + column;
    const tile_slot slots(chunk, i);
    double peak = -HUGE_VAL, sum = 0;
    if constexpr (Tile::weighted) {
      for (std::int64_t s = slots.first + threadIdx.x; s <= slots.last; s += threads)
        peak = larger_number()(peak, tiles(s, 0));
      peak = block_combine<threads>(peak, larger_number());
    }
    for (std::int64_t s = slots.first + lane; s <= slots.last && j < part.cols(); s += lanes)
      if constexpr (Tile::weighted) sum += tiles(s, 1) == 0 ? 0.0 : exp(tiles(s, 0) - peak) * tiles(s, j);
      else sum += tiles(s, j);
    sums[lane][column] = sum;
    __syncthreads();
    if (lane != 0 || j >= part.cols()) return;
    for (int other = 1; other < lanes; ++other) sum += sums[other][column];
    part(i, j) = Tile::weighted && j == 0 ? peak : sum;
  }
};
struct merge_max_element {
  bag_chunk<device_space> chunk;
  device_matrix<double> tiles, part;
  __device__ void operator()(std::int64_t i, std::int64_t j) const {
    const tile_slot slots(chunk, i);
    const std::int64_t d = part.cols() / 2;
    std::int64_t best = slots.first;
    for (std::int64_t s = slots.first + 1; s <= slots.last; ++s)
      if (larger_or_nan(tiles(s, j), tiles(best, j))) best = s;
    part(i, j) = tiles(best, j);
    part(i, d + j) = tiles(best, d + j);
  }
};

template <class Tile, class T>
void pool_tiles(cuda& backend, const bag_chunk<device_space>& chunk, device_matrix<const T> h,
                device_matrix<const T> logits, device_matrix<double> tiles, device_matrix<double> part) {
  using kernel = tile_kernel<Tile, T>;
  launch(backend, {tiles.rows(), (std::max)(chunk_count(h.cols(), kernel::threads), std::int64_t{1})},
         kernel{chunk, h, logits, tiles});
  using merge = merge_tiles_kernel<Tile>;
  if constexpr (std::is_same_v<Tile, max_tile>)
    for_each_element(backend, part.rows(), part.cols() / 2, merge_max_element{chunk, tiles, part});
  else launch(backend, {part.rows(), chunk_count(part.cols(), merge::columns)}, merge{chunk, tiles, part});
}

}  // namespace milkit::ops::detail
