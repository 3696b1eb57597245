#pragma once

#include <milkit/core/launch.cuh>
#include <milkit/ops/selection/topk.hpp>

namespace milkit::ops::detail {

/// The table of the noise in shared memory, where 32 look-ups at once are cheap. To be called by all threads of the block.
template <int Threads>
__device__ const normal_table& shared_normal_table() {
  __shared__ normal_table table;
  constexpr int count = normal_table::octaves * normal_table::parts + 1;
  for (int i = static_cast<int>(threadIdx.x); i < count; i += Threads) table.segment[i] = normal_quantiles().segment[i];
  __syncthreads();
  return table;
}

template <class T>
struct topk_quotients_element {
  device_vector<const T> scores;
  T sigma;
  device_vector<T> quotients;
  __device__ void operator()(std::int64_t n, std::int64_t) const { quotients(n) = scores(n) / sigma; }
};

/// One block a draw. Finds the K-th largest key digit by digit, from a histogram of each, and makes the keys again for every
/// digit: nothing as large as the bag is stored. A thread takes four instances, those of one Philox block.
template <class Source>
struct topk_draw_kernel {
  static constexpr int threads = 256, digit_bits = 8, digits = static_cast<int>(sizeof(typename Source::key));
  Source source;
  device_matrix<std::int32_t> draws;

  /// Ordered as the keys are, without a sign.
  __device__ static std::uint64_t order_of(typename Source::key key) {
    constexpr int sign = 8 * static_cast<int>(sizeof key) - 1;
    constexpr std::uint64_t all = (std::uint64_t{1} << sign << 1) - 1;
    return (static_cast<std::uint64_t>(key) ^ std::uint64_t{1} << sign) & all;
  }

  /// use(i, order) for the four instances that begin at 4 block, or fewer at the end.
  template <class Use>
  __device__ void each(const normal_table& table, std::int64_t block, Use use) const {
    typename Source::key keys[4] = {};
    source.four(table, blockIdx.x, block, keys);
    for (int i = 0; i < 4; ++i)
      if (4 * block + i < source.size()) use(i, order_of(keys[i]));
  }

  __device__ void operator()() const {
    const normal_table& table = shared_normal_table<threads>();
    const std::int64_t blocks = (source.size() + 3) / 4;
    std::uint32_t rank =
        static_cast<std::uint32_t>(draws.cols());  // of the K-th key among those that begin as `kth` does
    std::uint64_t kth = 0;
    for (int digit = digits - 1; digit >= 0; --digit) find_digit(table, blocks, digit, kth, rank);
    write(table, blocks, kth, rank);
  }

 private:
  __device__ void find_digit(const normal_table& table, std::int64_t blocks, int digit, std::uint64_t& kth,
                             std::uint32_t& rank) const {
    __shared__ std::uint32_t bins[static_cast<unsigned>(threads)];
    __shared__ std::uint32_t found[2];
    bins[threadIdx.x] = 0;
    __syncthreads();
    const int shift = digit_bits * digit;
    for (std::int64_t block = threadIdx.x; block < blocks; block += threads)
      each(table, block, [&](int, std::uint64_t order) {
        const bool begins_alike = digit == digits - 1 || order >> shift >> digit_bits == kth;
        if (begins_alike) atomicAdd(&bins[order >> shift & 255u], 1u);
      });
    __syncthreads();
    if (threadIdx.x == 0) {
      std::uint32_t bin = 255, left = rank;
      for (; bin > 0 && left > bins[bin]; --bin) left -= bins[bin];
      found[0] = bin;
      found[1] = left;
    }
    __syncthreads();
    kth = kth << digit_bits | found[0];
    rank = found[1];
    __syncthreads();
  }

  /// What is larger than the K-th key, and the first `rank` that equal it, in the order of the instances.
  __device__ void write(const normal_table& table, std::int64_t blocks, std::uint64_t kth, std::uint32_t rank) const {
    std::int64_t larger = 0, equal = 0;  // up to here
    for (std::int64_t first = 0; first < blocks; first += threads) {
      const std::int64_t block = first + threadIdx.x;
      std::uint32_t own = 0;  // larger ones, and in the upper half equal ones: at most 1024 of each in a turn
      if (block < blocks)
        each(table, block, [&](int, std::uint64_t order) { own += order > kth ? 1u : order == kth ? 1u << 16 : 0u; });
      std::uint32_t total = 0;
      std::uint32_t before = sum_before<threads>(own, total);
      if (own != 0)
        each(table, block, [&](int i, std::uint64_t order) {
          const std::int64_t ties = equal + (before >> 16);
          const std::int64_t at = larger + (before & 0xFFFFu) + (ties < rank ? ties : std::int64_t{rank});
          if (order > kth || (order == kth && ties < rank))
            draws(blockIdx.x, at) = static_cast<std::int32_t>(4 * block + i);
          before += order > kth ? 1u : order == kth ? 1u << 16 : 0u;
        });
      larger += total & 0xFFFFu;
      equal += total >> 16;
    }
  }
};

/// One block a row of T counts its instances in a window of them after the other. Without `columns` it only writes how many
/// differ, into offsets[k + 1].
template <class T>
struct topk_count_kernel {
  static constexpr int threads = 256, own = 8, window = threads * own;
  device_matrix<std::int32_t> draws;
  device_vector<std::int64_t> offsets;
  device_vector<std::int32_t> columns;
  device_vector<T> weights;

  struct smaller {
    __device__ std::int32_t operator()(std::int32_t a, std::int32_t b) const { return a < b ? a : b; }
  };
  struct larger {
    __device__ std::int32_t operator()(std::int32_t a, std::int32_t b) const { return a > b ? a : b; }
  };

  __device__ void operator()() const {
    __shared__ std::uint32_t bins[static_cast<unsigned>(window)];
    const std::int64_t k = blockIdx.x, many = draws.rows();
    std::int32_t low = 0x7FFFFFFF, high = 0;
    for (std::int64_t s = threadIdx.x; s < many; s += threads) {
      low = smaller()(low, draws(s, k));
      high = larger()(high, draws(s, k));
    }
    low = block_combine<threads>(low, smaller());
    high = block_combine<threads>(high, larger());
    std::int64_t place = columns.absent() ? 0 : offsets(k);
    for (std::int64_t first = low; first <= high; first += window) {
      for (int i = 0; i < own; ++i) bins[threadIdx.x + static_cast<unsigned>(i * threads)] = 0;
      __syncthreads();
      for (std::int64_t s = threadIdx.x; s < many; s += threads)
        if (const std::int64_t at = draws(s, k) - first; at >= 0 && at < window) atomicAdd(&bins[at], 1u);
      __syncthreads();
      place += write_window(bins, first, place);
      __syncthreads();
      for (std::int64_t s = threadIdx.x; s < many && !columns.absent(); s += threads)
        if (const std::int64_t at = draws(s, k) - first; at >= 0 && at < window)
          draws(s, k) =
              -1 - static_cast<std::int32_t>(bins[at]);  // negative, so that no later window takes it for an instance
      __syncthreads();
    }
    if (columns.absent()) {
      if (threadIdx.x == 0) offsets(k + 1) = place;
      return;
    }
    for (std::int64_t s = threadIdx.x; s < many; s += threads) draws(s, k) = -1 - draws(s, k);
  }

 private:
  /// Writes what the bins count behind `place`, and the places into the bins; returns how many were not empty.
  __device__ std::int64_t write_window(std::uint32_t* bins, std::int64_t first, std::int64_t place) const {
    const unsigned begin = threadIdx.x * own;
    std::uint32_t filled = 0, total = 0;
    for (unsigned i = begin; i < begin + own; ++i) filled += bins[i] != 0 ? 1u : 0u;
    std::int64_t at = place + sum_before<threads>(filled, total);
    for (unsigned i = begin; i < begin + own && !columns.absent(); ++i) {
      if (bins[i] == 0) continue;
      columns(at) = static_cast<std::int32_t>(first + i);
      weights(at) = static_cast<T>(bins[i]) / static_cast<T>(draws.rows());
      bins[i] = static_cast<std::uint32_t>(at++);
    }
    return total;
  }
};

/// offsets[k + 1] held counts and gets their sums: one block for all.
struct running_sum_kernel {
  static constexpr int threads = 256;
  device_vector<std::int64_t> offsets;
  __device__ void operator()() const {
    std::int64_t before = 0;
    for (std::int64_t first = 0; first < offsets.extent(0); first += threads) {
      const std::int64_t i = first + threadIdx.x;
      const std::uint32_t own = i > 0 && i < offsets.extent(0) ? static_cast<std::uint32_t>(offsets(i)) : 0;
      std::uint32_t total = 0;
      const std::int64_t sum = before + sum_before<threads>(own, total) + own;
      if (i < offsets.extent(0)) offsets(i) = sum;
      before += total;
    }
  }
};

template <class T>
struct topk_identity_element {
  bool identity;
  device_vector<std::int64_t> offsets;
  device_vector<std::int32_t> columns;
  device_vector<T> weights;
  __device__ void operator()(std::int64_t k, std::int64_t) const {
    offsets(k) = k;
    if (k == columns.extent(0)) return;
    weights(k) = T(1);
    if (identity) columns(k) = static_cast<std::int32_t>(k);
  }
};

/// One block a draw: c_s.
template <class T>
struct topk_draw_sum_kernel {
  static constexpr int threads = 128;
  device_matrix<const std::int32_t> draws;
  device_vector<const T> dweights;
  device_vector<double> factors;
  __device__ void operator()() const {
    const std::int64_t s = blockIdx.x;
    double sum = 0;
    for (std::int64_t k = threadIdx.x; k < draws.cols(); k += threads)
      sum += static_cast<double>(dweights(draws(s, k)));
    sum = block_sum<threads>(sum);
    if (threadIdx.x == 0) factors(s) = sum;
  }
};
/// Subtracts from each the mean of the others, of differences to the first, as on the CPU: one block for all.
struct topk_baseline_kernel {
  static constexpr int threads = 256;
  device_vector<double> factors;
  __device__ void operator()() const {
    const double first = factors(0);
    double sum = 0;
    for (std::int64_t s = threadIdx.x; s < factors.extent(0); s += threads) sum += factors(s) - first;
    sum = block_sum<threads>(sum);  // and everybody has read the first one
    for (std::int64_t s = threadIdx.x; s < factors.extent(0); s += threads) {
      const double own = factors(s) - first;
      factors(s) = own - (sum - own) / static_cast<double>(factors.extent(0) - 1);
    }
  }
};

/// sums[slice, n] = sum of factor_s Z[s, n] over a slice of the draws: four instances a thread, a slice each y.
template <class Noise>
struct topk_noise_sum_kernel {
  static constexpr int threads = 64;
  Noise noise;
  device_vector<const double> factors;
  device_matrix<double> sums;

  __device__ void operator()() const {
    const normal_table& table = shared_normal_table<threads>();
    const std::int64_t block = grid_position::thread(), slice = blockIdx.y, n = 4 * block;
    if (n >= sums.cols()) return;
    const std::int64_t each = (factors.extent(0) + sums.rows() - 1) / sums.rows();
    double sum[4] = {};
    for (std::int64_t s = slice * each; s < (slice + 1) * each && s < factors.extent(0); ++s) {
      double z[4];
      noise.four(table, s, block, z);
      for (int i = 0; i < 4; ++i) sum[i] += factors(s) * z[i];
    }
    for (int i = 0; i < 4 && n + i < sums.cols(); ++i) sums(slice, n + i) = sum[i];
  }
};
template <class T>
struct topk_gradient_element {
  device_matrix<const double> sums;
  double scale;
  device_vector<T> dscores;
  __device__ void operator()(std::int64_t n, std::int64_t) const {
    double sum = 0;
    for (std::int64_t slice = 0; slice < sums.rows(); ++slice) sum += sums(slice, n);
    dscores(n) = static_cast<T>(scale * sum);
  }
};

/// One thread an instance looks for itself in every draw, whose instances ascend.
template <class Noise, class T>
struct topk_diagonal_kernel {
  static constexpr int threads = 64;
  Noise noise;
  device_matrix<const std::int32_t> draws;
  device_vector<const std::int32_t> columns;
  device_vector<const T> dweights;
  double scale;
  device_vector<T> dscores;

  __device__ void operator()() const {
    const normal_table& table = shared_normal_table<threads>();
    const std::int64_t n = grid_position::thread();
    if (n >= dscores.extent(0)) return;
    double sum = 0;
    for (std::int64_t s = 0; s < draws.rows(); ++s) {
      std::int64_t low = 0, high = draws.cols();
      while (low < high) {
        const std::int64_t middle = (low + high) / 2;
        if (columns(draws(s, middle)) < n) low = middle + 1;
        else high = middle;
      }
      if (low == draws.cols() || columns(draws(s, low)) != n) continue;
      double z[4];
      noise.four(table, s, n / 4, z);
      sum += static_cast<double>(dweights(draws(s, low))) * z[n % 4];
    }
    dscores(n) = static_cast<T>(scale * sum);
  }
};

template <class T>
struct topk_zero_element {
  device_vector<T> dscores;
  __device__ void operator()(std::int64_t n, std::int64_t) const { dscores(n) = T(0); }
};
template <class T>
struct straight_through_element {
  device_vector<const std::int32_t> columns;
  device_vector<const T> dweights;
  device_vector<T> dscores;
  __device__ void operator()(std::int64_t k, std::int64_t) const { dscores(columns(k)) = dweights(k); }
};

/// Memory of the backward pass: c_s, and sums of noise in so many slices of the draws that a small bag fills the card too.
struct topk_backward_memory {
  device_vector<double> factors;
  device_matrix<double> sums;
};

template <>
struct topk_impl<cuda> {
  template <class T>
  static void run(cuda& backend, int, topk_quotients_step, device_vector<const T> scores, T sigma,
                  device_vector<T> quotients) {
    for_each_element(backend, scores.extent(0), 1, topk_quotients_element<T>{scores, sigma, quotients});
  }
  template <class Source>
  static void run(cuda& backend, int, topk_draw_step, const Source& source, device_matrix<std::int32_t> draws) {
    launch(backend, {draws.rows()}, topk_draw_kernel<Source>{source, draws});
  }
  template <class T>
  static void run(cuda& backend, int, topk_count_step, std::int64_t, device_matrix<std::int32_t> draws,
                  device_vector<std::int64_t> offsets, device_vector<std::int32_t> columns, device_vector<T> weights) {
    launch(backend, {draws.cols()}, topk_count_kernel<T>{draws, offsets, {}, {}});
    launch(backend, {1}, running_sum_kernel{offsets});
    launch(backend, {draws.cols()}, topk_count_kernel<T>{draws, offsets, columns, weights});
  }
  template <class T>
  static void run(cuda& backend, int, topk_identity_step, bool identity, device_vector<std::int64_t> offsets,
                  device_vector<std::int32_t> columns, device_vector<T> weights) {
    for_each_element(backend, offsets.extent(0), 1, topk_identity_element<T>{identity, offsets, columns, weights});
  }

  template <class Noise, class T>
  static topk_backward_memory scratch(cuda& backend, topk_backward_step, const Noise&, topk_jacobian jacobian,
                                      device_matrix<const std::int32_t> draws, device_vector<const std::int32_t>,
                                      device_vector<const T>, double, device_vector<T> dscores) {
    if (jacobian == topk_jacobian::diagonal) return {};
    const std::int64_t threads = (dscores.extent(0) + 3) / 4, wanted = 32768 / threads;
    const std::int64_t slices = (std::max)(std::int64_t{1}, (std::min)({wanted, std::int64_t{16}, draws.rows()}));
    return {backend.workspace.template allocate<double>(draws.rows()),
            backend.workspace.template allocate<double>(shape<2>{slices, dscores.extent(0)})};
  }
  template <class Noise, class T>
  static void run(cuda& backend, const topk_backward_memory& memory, topk_backward_step, const Noise& noise,
                  topk_jacobian jacobian, device_matrix<const std::int32_t> draws,
                  device_vector<const std::int32_t> columns, device_vector<const T> dweights, double sigma,
                  device_vector<T> dscores) {
    const double scale = 1 / (static_cast<double>(draws.rows()) * sigma);
    const std::int64_t n = dscores.extent(0);
    if (jacobian == topk_jacobian::diagonal) {
      using kernel = topk_diagonal_kernel<Noise, T>;
      return launch(backend, {chunk_count(n, kernel::threads)},
                    kernel{noise, draws, columns, dweights, scale, dscores});
    }
    using kernel = topk_noise_sum_kernel<Noise>;
    launch(backend, {draws.rows()}, topk_draw_sum_kernel<T>{draws, dweights, memory.factors});
    if (jacobian == topk_jacobian::full) launch(backend, {1}, topk_baseline_kernel{memory.factors});
    launch(backend, {chunk_count(chunk_count(n, 4), kernel::threads), memory.sums.rows()},
           kernel{noise, memory.factors, memory.sums});
    for_each_element(backend, n, 1, topk_gradient_element<T>{memory.sums, scale, dscores});
  }

  template <class T>
  static void run(cuda& backend, int, topk_straight_through_step, device_vector<const std::int32_t> columns,
                  device_vector<const T> dweights, device_vector<T> dscores) {
    for_each_element(backend, dscores.extent(0), 1, topk_zero_element<T>{dscores});
    for_each_element(backend, columns.extent(0), 1, straight_through_element<T>{columns, dweights, dscores});
  }

  template <class Step, class... Args>
  static int scratch(cuda&, Step, const Args&...) {
    return 0;
  }
};

}  // namespace milkit::ops::detail
