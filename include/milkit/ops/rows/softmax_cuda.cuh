#pragma once

#include <cmath>

#include <milkit/ops/bags/segment_pool/tiles_cuda.cuh>
#include <milkit/ops/rows/softmax.hpp>

namespace milkit::ops::detail {

/// What is taken from every exponent: the largest one, or nothing where that is infinite.
template <class T>
__device__ T softmax_shift(T peak) {
  using std::isinf;
  return isinf(peak) ? T(0) : peak;
}
/// `scale` is one over the mass, 0 without mass. NaN where an entry is +infinity.
template <class T>
__device__ T softmax_share(T x, T peak, T scale) {
  using std::exp;
  const T shift = softmax_shift(peak);
  return peak > shift ? static_cast<T>(HUGE_VAL) - static_cast<T>(HUGE_VAL) : exp(x - shift) * scale;
}

/// Who works on a row: a warp, or a block of eight.
template <bool Warp>
struct row_team {
  static constexpr int threads = Warp ? 128 : 256, members = Warp ? 32 : threads;
  static constexpr std::int64_t most_columns = 1024;  ///< of a warp

  __device__ static std::int64_t row() { return grid_position::thread() / members; }
  __device__ static std::int64_t member() { return static_cast<std::int64_t>(threadIdx.x) % members; }
  template <class V, class Combine>
  __device__ static V combine(V value, Combine combine) {
    if constexpr (Warp) return warp_combine(value, combine);
    else return block_combine<threads>(value, combine);
  }
};

template <class Team, class T>
struct softmax_kernel {
  static constexpr int threads = Team::threads;
  device_matrix<const T> x;
  device_matrix<T> y;
  device_vector<T> log_sum_exp;

  __device__ void operator()() const {
    using std::exp;
    using std::log;
    const std::int64_t i = Team::row(), first = Team::member();
    if (i >= x.rows()) return;
    T peak = -static_cast<T>(HUGE_VAL);
    for (std::int64_t j = first; j < x.cols(); j += Team::members) peak = larger_number()(peak, x(i, j));
    peak = Team::combine(peak, larger_number());
    const T shift = softmax_shift(peak);
    const auto term = [&](std::int64_t j) { return exp(x(i, j) - shift); };
    const double mass = Team::combine(blocked_sum(first, x.cols(), Team::members, term), sum_of_two());
    if (first == 0 && !log_sum_exp.absent()) log_sum_exp(i) = static_cast<T>(static_cast<double>(shift) + log(mass));
    if (y.absent()) return;
    const T scale = mass == 0 ? T(0) : static_cast<T>(1 / mass);
    for (std::int64_t j = first; j < x.cols(); j += Team::members) y(i, j) = softmax_share(x(i, j), peak, scale);
  }
};

template <class Team, class T>
struct softmax_rows_backward_kernel {
  static constexpr int threads = Team::threads;
  device_matrix<const T> y, dy;
  device_vector<const T> dlog_sum_exp;
  device_matrix<T> dx;

  __device__ void operator()() const {
    const std::int64_t i = Team::row(), first = Team::member(), terms = dy.absent() ? 0 : y.cols();
    if (i >= y.rows()) return;
    const auto term = [&](std::int64_t j) { return dy(i, j) * y(i, j); };
    const double dot = Team::combine(blocked_sum(first, terms, Team::members, term), sum_of_two());
    const T shift = static_cast<T>((dlog_sum_exp.absent() ? 0.0 : static_cast<double>(dlog_sum_exp(i))) - dot);
    for (std::int64_t j = first; j < y.cols(); j += Team::members)
      dx(i, j) = y(i, j) * ((dy.absent() ? T(0) : dy(i, j)) + shift);
  }
};

// Segments go in three steps, as bags do (segment_tiles_cuda.cuh): a block a slot, a block a segment for its slots in a fixed
// order, and every element by itself.
using segments_of = bag_chunk<device_space>;

template <class T>
struct segment_softmax_tile_kernel {
  static constexpr int threads = tile_rows;
  segments_of segments;
  device_vector<const T> x;
  device_matrix<double> tiles;  ///< peak, mass

  __device__ void operator()() const {
    using std::exp;
    const std::int64_t slot = blockIdx.x, i = tile_slot::bag_of(segments, slot);
    const row_range rows = tile_slot::rows_of(segments, slot, i);
    const bool inside = threadIdx.x < rows.count;
    const T z = inside ? x(rows.first + threadIdx.x) : -static_cast<T>(HUGE_VAL);
    const T peak = block_combine<threads>(larger_number()(-static_cast<T>(HUGE_VAL), z), larger_number());
    const double mass = block_sum<threads>(inside ? static_cast<double>(exp(z - softmax_shift(peak))) : 0.0);
    if (threadIdx.x == 0) tiles(slot, 0) = static_cast<double>(peak), tiles(slot, 1) = mass;
  }
};
template <class T>
struct segment_softmax_kernel {
  static constexpr int threads = 128;
  segments_of segments;
  device_matrix<double> tiles, sums;
  device_vector<T> log_sum_exp;

  __device__ void operator()() const {
    using std::exp;
    using std::log;
    const std::int64_t i = blockIdx.x;
    const tile_slot slots(segments, i);
    double peak = -HUGE_VAL, mass = 0;
    for (std::int64_t s = slots.first + threadIdx.x; s <= slots.last; s += threads)
      peak = larger_number()(peak, tiles(s, 0));
    peak = block_combine<threads>(peak, larger_number());
    const double shift = softmax_shift(peak);
    for (std::int64_t s = slots.first + threadIdx.x; s <= slots.last; s += threads)
      mass += tiles(s, 1) == 0 ? 0.0 : exp(softmax_shift(tiles(s, 0)) - shift) * tiles(s, 1);
    mass = block_sum<threads>(mass);
    if (threadIdx.x != 0) return;
    sums(i, 0) = peak, sums(i, 1) = mass == 0 ? 0.0 : 1 / mass;
    if (!log_sum_exp.absent()) log_sum_exp(i) = static_cast<T>(shift + log(mass));
  }
};
template <class T>
struct segment_softmax_element {
  segments_of segments;
  device_matrix<double> sums;
  device_vector<const T> x;
  device_vector<T> y;
  __device__ void operator()(std::int64_t, std::int64_t r) const {
    const double* of = sums.row(bag_of_row(segments, r));
    y(r) = softmax_share(x(r), static_cast<T>(of[0]), static_cast<T>(of[1]));
  }
};

template <class T>
struct segment_dots_tile_kernel {
  static constexpr int threads = tile_rows;
  segments_of segments;
  device_vector<const T> y, dy;
  device_matrix<double> tiles;

  __device__ void operator()() const {
    const std::int64_t slot = blockIdx.x;
    const row_range rows = tile_slot::rows_of(segments, slot, tile_slot::bag_of(segments, slot));
    const std::int64_t r = rows.first + threadIdx.x;
    const T term = threadIdx.x < rows.count && !dy.absent() ? dy(r) * y(r) : T(0);
    const double sum = block_sum<threads>(static_cast<double>(term));
    if (threadIdx.x == 0) tiles(slot, 0) = sum;
  }
};
template <class T>
struct segment_dots_kernel {
  static constexpr int threads = 128;
  segments_of segments;
  device_matrix<double> tiles;
  device_vector<const T> dlog_sum_exp;
  device_matrix<double> sums;

  __device__ void operator()() const {
    const std::int64_t i = blockIdx.x;
    const tile_slot slots(segments, i);
    double dot = 0;
    for (std::int64_t s = slots.first + threadIdx.x; s <= slots.last; s += threads) dot += tiles(s, 0);
    dot = block_sum<threads>(dot);
    if (threadIdx.x == 0) sums(i, 0) = (dlog_sum_exp.absent() ? 0.0 : static_cast<double>(dlog_sum_exp(i))) - dot;
  }
};
template <class T>
struct segment_softmax_backward_element {
  segments_of segments;
  device_matrix<double> sums;
  device_vector<const T> y, dy;
  device_vector<T> dx;
  __device__ void operator()(std::int64_t, std::int64_t r) const {
    dx(r) = y(r) * ((dy.absent() ? T(0) : dy(r)) + static_cast<T>(sums(bag_of_row(segments, r), 0)));
  }
};

struct segment_sums {
  segments_of segments;
  device_matrix<double> tiles, sums;

  segment_sums(cuda& backend, device_vector<const std::int64_t> offsets, std::int64_t rows)
      : segments{{0, rows}, {0, offsets.extent(0) - 1}, offsets},
        tiles(backend.workspace.template allocate<double>(shape<2>{tile_slots(segments), 2})),
        sums(backend.workspace.template allocate<double>(shape<2>{segments.bags.count, 2})) {}
};

/// Launches a kernel for each row, by warps where rows are short.
template <template <class, class> class Kernel, class T, class... Args>
void launch_rows(cuda& backend, std::int64_t rows, std::int64_t cols, const Args&... args) {
  const auto with = [&]<class Team>(Team) {
    launch(backend, {chunk_count(rows, Team::threads / Team::members)}, Kernel<Team, T>{args...});
  };
  if (cols <= row_team<true>::most_columns) with(row_team<true>());
  else with(row_team<false>());
}

template <>
struct softmax_impl<cuda> {
  template <class T>
  static void run(cuda& backend, device_matrix<const T> x, device_matrix<T> y, device_vector<T> log_sum_exp) {
    launch_rows<softmax_kernel, T>(backend, x.rows(), x.cols(), x, y, log_sum_exp);
  }

  template <class T>
  static segment_sums scratch(cuda& backend, device_vector<const std::int64_t> offsets, device_vector<const T> x,
                              device_vector<T>, device_vector<T>) {
    return {backend, offsets, x.extent(0)};
  }
  template <class T>
  static void run(cuda& backend, const segment_sums& of, device_vector<const std::int64_t>, device_vector<const T> x,
                  device_vector<T> y, device_vector<T> log_sum_exp) {
    launch(backend, {of.tiles.rows()}, segment_softmax_tile_kernel<T>{of.segments, x, of.tiles});
    launch(backend, {of.sums.rows()}, segment_softmax_kernel<T>{of.segments, of.tiles, of.sums, log_sum_exp});
    if (!y.absent()) for_each_element(backend, 1, x.extent(0), segment_softmax_element<T>{of.segments, of.sums, x, y});
  }
};

template <>
struct softmax_backward_impl<cuda> {
  template <class T>
  static void run(cuda& backend, device_matrix<const T> y, device_matrix<const T> dy,
                  device_vector<const T> dlog_sum_exp, device_matrix<T> dx) {
    launch_rows<softmax_rows_backward_kernel, T>(backend, y.rows(), y.cols(), y, dy, dlog_sum_exp, dx);
  }

  template <class T>
  static segment_sums scratch(cuda& backend, device_vector<const std::int64_t> offsets, device_vector<const T> y,
                              device_vector<const T>, device_vector<const T>, device_vector<T>) {
    return {backend, offsets, y.extent(0)};
  }
  template <class T>
  static void run(cuda& backend, const segment_sums& of, device_vector<const std::int64_t>, device_vector<const T> y,
                  device_vector<const T> dy, device_vector<const T> dlog_sum_exp, device_vector<T> dx) {
    launch(backend, {of.tiles.rows()}, segment_dots_tile_kernel<T>{of.segments, y, dy, of.tiles});
    launch(backend, {of.sums.rows()}, segment_dots_kernel<T>{of.segments, of.tiles, dlog_sum_exp, of.sums});
    for_each_element(backend, 1, y.extent(0), segment_softmax_backward_element<T>{of.segments, of.sums, y, dy, dx});
  }
};

}  // namespace milkit::ops::detail
