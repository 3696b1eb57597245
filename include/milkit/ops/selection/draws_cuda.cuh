#pragma once

#include <milkit/core/launch.cuh>
#include <milkit/ops/selection/draws.hpp>

namespace milkit::ops::detail {

using device_draws = draw_list<device_space>;

/// The lanes of a warp, which all work on one row.
struct warp_lanes {
  static constexpr std::int64_t lanes = 32;
  std::int64_t lane = threadIdx.x % 32;
  __device__ double sum(double value) const { return warp_sum(value); }
};

/// The row of the list that draw k is of.
__device__ inline std::int64_t row_of_draw(const device_draws& list, std::int64_t k) {
  std::int64_t low = 0, high = list.count() - 1;
  while (low < high) {
    const std::int64_t middle = (low + high + 1) / 2;
    if (list.offsets(middle) <= k) low = middle;
    else high = middle - 1;
  }
  return low;
}

/// One block for all: cumulative sums in order, then a draw a thread looks for its item.
template <class Noise, class T>
struct draw_counts_kernel {
  static constexpr int threads = 256;
  Noise noise;
  device_vector<const T> p;
  std::int64_t n;
  bool stratified;
  device_vector<std::uint64_t> cumulative;
  device_vector<std::int64_t> counts;

  struct smaller {
    __device__ std::int64_t operator()(std::int64_t a, std::int64_t b) const { return a < b ? a : b; }
  };

  __device__ void operator()() const {
    const std::int64_t size = p.extent(0);
    std::uint64_t sum = 0;
    std::int64_t nan = size;
    for (std::int64_t first = 0; first < size; first += threads) {
      const std::int64_t i = first + threadIdx.x;
      const std::uint64_t own = i < size ? mass_units(p(i)) : 0;
      std::uint64_t total = 0;
      const std::uint64_t before = sum_before<threads>(own, total);
      if (i < size) {
        cumulative(i) = sum + before + own;
        counts(i) = 0;
        if (p(i) != p(i)) nan = smaller()(nan, i);
      }
      sum += total;
    }
    nan = block_combine<threads>(nan, smaller());  // and everybody has written
    if (nan < size) {
      if (threadIdx.x == 0) counts(nan) = -n;
      return;
    }
    const std::int64_t last = first_not_below(sum, size - 1);
    for (std::int64_t i = threadIdx.x; i < n; i += threads) {
      const std::int64_t item = first_not_below(draw_units(noise, i, n, stratified, sum) + 1, last);
      atomicAdd(reinterpret_cast<unsigned long long*>(&counts(item)), 1ULL);
    }
  }

 private:
  /// The first item whose cumulative sum is `bound` or more; `end` where there is none before it.
  __device__ std::int64_t first_not_below(std::uint64_t bound, std::int64_t end) const {
    std::int64_t low = 0;
    while (low < end) {
      const std::int64_t middle = (low + end) / 2;
      if (cumulative(middle) < bound) low = middle + 1;
      else end = middle;
    }
    return low;
  }
};

/// Numbers as integers of the same order, 0 for NaN, which comes first.
__device__ inline std::uint64_t order_of(double key) {
  if (key != key) return 0;
  const auto bits = __builtin_bit_cast(std::uint64_t, key == 0 ? 0.0 : key);
  return bits >> 63 ? ~bits : bits | std::uint64_t{1} << 63;
}
template <class Noise, class T>
struct ring_time_element {
  Noise noise;
  draw_law law;
  device_matrix<const T> p;
  device_draws list;
  device_vector<const std::int64_t> numbers;
  device_matrix<std::uint64_t> keys;
  __device__ void operator()(std::int64_t s, std::int64_t i) const {
    const std::int64_t place = numbers(s) * p.cols() + i;
    double u[2];
    noise.two(place / 2, u);
    keys(s, i) = order_of(ring_time(law, p(list.row(s), i), u[place % 2]));
  }
};
template <class T>
struct most_likely_element {
  device_matrix<const T> p;
  device_draws list;
  device_matrix<std::uint64_t> keys;
  __device__ void operator()(std::int64_t s, std::int64_t i) const {
    keys(s, i) = order_of(-static_cast<double>(p(list.row(s), i)));
  }
};

/// One block a row takes its n smallest keys: the n-th smallest digit by digit, then what is not above it in the order
/// of the items, then each of them to its rank. Of equal keys the lower items come first.
struct first_items_kernel {
  static constexpr int threads = 256, digit_bits = 8, digits = 8;
  device_draws list;
  device_matrix<const std::uint64_t> keys;
  device_vector<std::uint64_t> found_keys;  ///< [M]
  device_vector<std::int32_t> found, items;

  __device__ void operator()() const {
    const std::int64_t s = blockIdx.x, first = list.offsets(s), asked = list.offsets(s + 1) - first;
    const std::int64_t n = asked < keys.cols() ? asked : keys.cols();
    if (n <= 0) return;
    std::uint64_t rank = static_cast<std::uint64_t>(n),
                  nth = 0;  // of the n-th key among those that begin as `nth` does
    for (int digit = digits - 1; digit >= 0; --digit) find_digit(keys.row(s), digit, nth, rank);
    gather(keys.row(s), first, n, nth, static_cast<std::int64_t>(rank));
    __syncthreads();
    for (std::int64_t k = threadIdx.x; k < n; k += threads) {
      const std::uint64_t own = found_keys(first + k);
      std::int64_t before = 0;
      for (std::int64_t j = 0; j < n; ++j) {
        const std::uint64_t other = found_keys(first + j);
        before += other < own || (other == own && j < k) ? 1 : 0;
      }
      items(first + before) = found(first + k);
    }
  }

 private:
  __device__ void find_digit(const std::uint64_t* row, int digit, std::uint64_t& nth, std::uint64_t& rank) const {
    __shared__ std::uint32_t bins[static_cast<unsigned>(threads)];
    __shared__ std::uint64_t found_digit[2];
    bins[threadIdx.x] = 0;
    __syncthreads();
    const int shift = digit_bits * digit;
    for (std::int64_t i = threadIdx.x; i < keys.cols(); i += threads)
      if (digit == digits - 1 || row[i] >> shift >> digit_bits == nth) atomicAdd(&bins[row[i] >> shift & 255u], 1u);
    __syncthreads();
    if (threadIdx.x == 0) {
      std::uint64_t bin = 0, left = rank;
      for (; bin < 255 && left > bins[bin]; ++bin) left -= bins[bin];
      found_digit[0] = bin;
      found_digit[1] = left;
    }
    __syncthreads();
    nth = nth << digit_bits | found_digit[0];
    rank = found_digit[1];
    __syncthreads();
  }

  /// What is below the n-th key, then the first `ties` that equal it.
  __device__ void gather(const std::uint64_t* row, std::int64_t first, std::int64_t n, std::uint64_t nth,
                         std::int64_t ties) const {
    std::int64_t smaller = first, equal = 0;
    for (std::int64_t start = 0; start < keys.cols(); start += threads) {
      const std::int64_t i = start + threadIdx.x;
      const std::uint64_t own = i < keys.cols() ? row[i] : ~std::uint64_t{0};
      const bool below = i < keys.cols() && own < nth, ties_with = i < keys.cols() && own == nth;
      std::uint32_t total = 0;
      const std::uint32_t before = sum_before<threads>(below ? 1u : ties_with ? 1u << 16 : 0u, total);
      std::int64_t at = -1;
      if (below) at = smaller + (before & 0xFFFFu);
      if (ties_with && equal + (before >> 16) < ties) at = first + n - ties + equal + (before >> 16);
      if (at >= 0) {
        found_keys(at) = own;
        found(at) = static_cast<std::int32_t>(i);
      }
      smaller += total & 0xFFFFu;
      equal += total >> 16;
    }
  }
};

/// What several kernels do with a warp a row.
template <class T>
struct warp_of_row {
  std::int64_t s = grid_position::thread() / 32, first = 0;
  drawn_row<T> row = {};
  bool inside;

  __device__ warp_of_row(device_matrix<const T> p, const device_draws& list) : inside(s < list.count()) {
    if (!inside) return;
    first = list.offsets(s);
    row = {p.row(list.row(s)), p.cols(), list.items.data() + first, list.offsets(s + 1) - first};
  }
};

template <class T>
struct draw_weights_kernel {
  static constexpr int threads = 128;
  draw_rule rule;
  device_matrix<const T> p;
  device_draws list;
  device_vector<T> weights, backward;
  device_vector<double> memory;  ///< two numbers a draw and lane

  __device__ void operator()() const {
    const warp_of_row<T> own(p, list);
    if (!own.inside) return;
    const warp_lanes team;
    const double rest = own.row.rest(team);
    T* to = weights.data() + own.first;
    T* other = backward.absent() ? nullptr : backward.data() + own.first;
    if (rule.estimator == draw_estimator::unordered)
      unordered_weights(own.row, rest, team, to, memory.data() + 2 * own.first * team.lanes);
    else if (team.lane == 0) simple_weights(rule, own.row, rest, to, other);
    __syncwarp();
    if (other && rule.estimator != draw_estimator::official_zoom_in)
      for (std::int64_t k = team.lane; k < own.row.count; k += team.lanes) other[k] = to[k];
  }
};
template <class T>
struct log_gradient_kernel {
  static constexpr int threads = 128;
  draw_rule rule;
  device_matrix<const T> p;
  device_draws list;
  device_vector<const T> weights, a;
  device_vector<T> d;
  __device__ void operator()() const {
    const warp_of_row<T> own(p, list);
    if (!own.inside) return;
    draw_log_gradient(rule, own.row, warp_lanes(), weights.data() + own.first, a.data() + own.first,
                      d.data() + own.first);
  }
};

/// One block a row.
template <class T>
struct logit_gradient_kernel {
  static constexpr int threads = 256;
  device_matrix<const T> p;
  device_draws list;
  device_vector<const T> d;
  device_matrix<T> dlogits;
  __device__ void operator()() const {
    const std::int64_t s = blockIdx.x, row = list.row(s), first = list.offsets(s), end = list.offsets(s + 1);
    double sum = 0;
    for (std::int64_t k = first + threadIdx.x; k < end; k += threads) sum += static_cast<double>(d(k));
    sum = block_sum<threads>(sum);
    for (std::int64_t i = threadIdx.x; i < p.cols(); i += threads)
      dlogits(row, i) -= static_cast<T>(static_cast<double>(p(row, i)) * sum);
    __syncthreads();
    for (std::int64_t k = first + threadIdx.x; k < end; k += threads) dlogits(row, list.items(k)) += d(k);
  }
};
/// One block a row.
template <class T>
struct complement_kernel {
  static constexpr int threads = 256;
  device_matrix<const T> p;
  device_matrix<T> q;
  __device__ void operator()() const {
    const std::int64_t row = blockIdx.x;
    double sum = 0;
    for (std::int64_t i = threadIdx.x; i < p.cols(); i += threads) sum += static_cast<double>(p(row, i));
    sum = block_sum<threads>(sum);
    for (std::int64_t i = threadIdx.x; i < p.cols(); i += threads)
      q(row, i) = complement_of(sum, static_cast<double>(p(row, i)), p.cols(), T());
  }
};
template <class T>
struct complement_gradient_element {
  device_matrix<const T> p, q;
  device_draws list;
  device_vector<T> d;
  __device__ void operator()(std::int64_t, std::int64_t k) const {
    if (k >= list.offsets(list.count())) return;
    const std::int64_t row = list.row(row_of_draw(list, k)), item = list.items(k);
    d(k) = complement_slope(d(k), p(row, item), q(row, item), p.cols());
  }
};

template <class T>
struct expectation_element {
  device_draws list;
  device_vector<const T> weights;
  device_matrix<const T> f;
  device_matrix<T> out;
  __device__ void operator()(std::int64_t s, std::int64_t j) const {
    double sum = 0;
    for (std::int64_t k = list.offsets(s); k < list.offsets(s + 1); ++k)
      sum += static_cast<double>(weights(k)) * static_cast<double>(f(k, j));
    out(s, j) = static_cast<T>(sum);
  }
};
/// One warp a draw.
template <class T>
struct expectation_backward_kernel {
  static constexpr int threads = 128;
  device_draws list;
  device_vector<const T> weights;
  device_matrix<const T> f, dout;
  device_vector<T> a;
  device_matrix<T> df;
  __device__ void operator()() const {
    const std::int64_t k = grid_position::thread() / 32, lane = threadIdx.x % 32;
    if (k >= list.offsets(list.count())) return;
    const std::int64_t s = row_of_draw(list, k);
    double dot = 0;
    for (std::int64_t j = lane; j < f.cols(); j += 32) {
      dot += static_cast<double>(dout(s, j)) * static_cast<double>(f(k, j));
      if (!df.absent()) df(k, j) = weights(k) * dout(s, j);
    }
    dot = warp_sum(dot);
    if (lane == 0) a(k) = static_cast<T>(dot);
  }
};

template <>
struct draws_impl<cuda> {
  template <class Noise, class T>
  static device_vector<std::uint64_t> scratch(cuda& backend, draw_counts_step, const Noise&, device_vector<const T> p,
                                              std::int64_t, bool, device_vector<std::int64_t>) {
    return backend.workspace.template allocate<std::uint64_t>(p.extent(0));
  }
  template <class Noise, class T>
  static void run(cuda& backend, device_vector<std::uint64_t> cumulative, draw_counts_step, const Noise& noise,
                  device_vector<const T> p, std::int64_t n, bool stratified, device_vector<std::int64_t> counts) {
    launch(backend, {1}, draw_counts_kernel<Noise, T>{noise, p, n, stratified, cumulative, counts});
  }

  /// Keys of all items, and of those that were drawn.
  struct item_memory {
    device_matrix<std::uint64_t> keys;
    device_vector<std::uint64_t> found_keys;
    device_vector<std::int32_t> found;

    item_memory(cuda& backend, const shape<2>& all, std::int64_t draws)
        : keys(backend.workspace.template allocate<std::uint64_t>(all)),
          found_keys(backend.workspace.template allocate<std::uint64_t>(draws)),
          found(backend.workspace.template allocate<std::int32_t>(draws)) {}
  };
  template <class Noise, class T>
  static item_memory scratch(cuda& backend, draw_items_step, const Noise&, draw_law, device_matrix<const T> p,
                             const device_draws& list, device_vector<const std::int64_t>,
                             device_vector<std::int32_t> items) {
    return {backend, {list.count(), p.cols()}, items.extent(0)};
  }
  template <class Noise, class T>
  static void run(cuda& backend, const item_memory& memory, draw_items_step, const Noise& noise, draw_law law,
                  device_matrix<const T> p, const device_draws& list, device_vector<const std::int64_t> numbers,
                  device_vector<std::int32_t> items) {
    for_each_element(backend, list.count(), p.cols(),
                     ring_time_element<Noise, T>{noise, law, p, list, numbers, memory.keys});
    launch(backend, {list.count()}, first_items_kernel{list, memory.keys, memory.found_keys, memory.found, items});
  }

  template <class T>
  static item_memory scratch(cuda& backend, most_likely_step, device_matrix<const T> p, const device_draws& list,
                             device_vector<std::int32_t> items) {
    return {backend, {list.count(), p.cols()}, items.extent(0)};
  }
  template <class T>
  static void run(cuda& backend, const item_memory& memory, most_likely_step, device_matrix<const T> p,
                  const device_draws& list, device_vector<std::int32_t> items) {
    for_each_element(backend, list.count(), p.cols(), most_likely_element<T>{p, list, memory.keys});
    launch(backend, {list.count()}, first_items_kernel{list, memory.keys, memory.found_keys, memory.found, items});
  }

  template <class T>
  static device_vector<double> scratch(cuda& backend, draw_weights_step, const draw_rule& rule, device_matrix<const T>,
                                       const device_draws& list, device_vector<T>, device_vector<T>) {
    const bool needed = rule.estimator == draw_estimator::unordered;
    return backend.workspace.template allocate<double>(needed ? 2 * warp_lanes::lanes * list.items.extent(0) : 0);
  }
  template <class T>
  static void run(cuda& backend, device_vector<double> memory, draw_weights_step, const draw_rule& rule,
                  device_matrix<const T> p, const device_draws& list, device_vector<T> weights,
                  device_vector<T> backward) {
    using kernel = draw_weights_kernel<T>;
    launch(backend, {warps(list.count(), kernel::threads)}, kernel{rule, p, list, weights, backward, memory});
  }

  template <class T>
  static void run(cuda& backend, int, log_gradient_step, const draw_rule& rule, device_matrix<const T> p,
                  const device_draws& list, device_vector<const T> weights, device_vector<const T> a,
                  device_vector<T> d) {
    using kernel = log_gradient_kernel<T>;
    launch(backend, {warps(list.count(), kernel::threads)}, kernel{rule, p, list, weights, a, d});
  }
  template <class T>
  static void run(cuda& backend, int, logit_gradient_step, device_matrix<const T> p, const device_draws& list,
                  device_vector<const T> d, device_matrix<T> dlogits) {
    launch(backend, {list.count()}, logit_gradient_kernel<T>{p, list, d, dlogits});
  }

  template <class T>
  static void run(cuda& backend, int, complement_step, device_matrix<const T> p, device_matrix<T> q) {
    launch(backend, {p.rows()}, complement_kernel<T>{p, q});
  }
  template <class T>
  static void run(cuda& backend, int, complement_gradient_step, device_matrix<const T> p, device_matrix<const T> q,
                  const device_draws& list, device_vector<T> d) {
    for_each_element(backend, 1, d.extent(0), complement_gradient_element<T>{p, q, list, d});
  }

  template <class T>
  static void run(cuda& backend, int, expectation_step, const device_draws& list, device_vector<const T> weights,
                  device_matrix<const T> f, device_matrix<T> out) {
    for_each_element(backend, out.rows(), out.cols(), expectation_element<T>{list, weights, f, out});
  }
  template <class T>
  static void run(cuda& backend, int, expectation_backward_step, const device_draws& list,
                  device_vector<const T> weights, device_matrix<const T> f, device_matrix<const T> dout,
                  device_vector<T> a, device_matrix<T> df) {
    using kernel = expectation_backward_kernel<T>;
    launch(backend, {warps(a.extent(0), kernel::threads)}, kernel{list, weights, f, dout, a, df});
  }

  template <class Step, class... Args>
  static int scratch(cuda&, Step, const Args&...) {
    return 0;
  }

 private:
  static std::int64_t warps(std::int64_t count, int threads) { return chunk_count(count, threads / 32); }
};

}  // namespace milkit::ops::detail
