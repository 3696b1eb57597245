#pragma once

#include <algorithm>
#include <bit>
#include <cmath>

#include <milkit/core/compiled.hpp>
#include <milkit/core/normal_lanes.hpp>
#include <milkit/core/parallel_for.hpp>
#include <milkit/ops/selection/topk.hpp>

namespace milkit::ops::detail {

/// Instances whose keys are made at a time, while they are in the nearest cache.
inline constexpr std::int64_t topk_block = 256;

/// Z of `count` instances from `first` on, in fixed point, and of some behind them.
inline void drawn_block(const drawn_noise& noise, const normal_table& table, std::int64_t draw, std::int64_t first,
                        std::int64_t count, std::int32_t (&z)[topk_block]) {
  std::uint32_t words[topk_block];
  count = (count + 63) / 64 * 64;
  philox_words(noise.stream, first / 4, draw, count / 4, words);
  normals_of(table, words, count, z);
}

/// The keys of the instances first .. first + count - 1; up to `topk_block` may be written.
template <class Source>
void fill_keys(const Source& source, const normal_table& table, std::int64_t draw, std::int64_t first,
               std::int64_t count, typename Source::key* keys) {
  for (std::int64_t i = 0; i < count; i += 4) {
    typename Source::key four[4] = {};
    source.four(table, draw, (first + i) / 4, four);
    std::copy_n(four, 4, keys + i);
  }
}
template <class T>
void fill_keys(const perturbed_keys<T, drawn_noise, host_space>& source, const normal_table& table, std::int64_t draw,
               std::int64_t first, std::int64_t count, topk_key<T>* keys) {
  std::int32_t z[topk_block];
  drawn_block(source.noise, table, draw, first, count, z);
  const T* quotients = source.quotients.data() + first;
  for (std::int64_t i = 0; i < count; ++i)
    keys[i] = key_of(quotients[i] + static_cast<T>(z[i]) * static_cast<T>(normal_unit));
}

/// sums[i] += factor Z[draw, first + i].
template <class Noise>
void add_noise(const Noise& noise, const normal_table& table, std::int64_t draw, std::int64_t first, std::int64_t count,
               double factor, double* sums) {
  for (std::int64_t i = 0; i < count; i += 4) {
    double four[4];
    noise.four(table, draw, (first + i) / 4, four);
    for (std::int64_t j = 0; j < 4 && i + j < count; ++j) sums[i + j] += factor * four[j];
  }
}
inline void add_noise(const drawn_noise& noise, const normal_table& table, std::int64_t draw, std::int64_t first,
                      std::int64_t count, double factor, double* sums) {
  std::int32_t z[topk_block];
  drawn_block(noise, table, draw, first, count, z);
  for (std::int64_t i = 0; i < count; ++i) sums[i] += factor * normal_unit * static_cast<double>(z[i]);
}

/// Keeps the largest keys of a stream, in its order; a tie goes to the earlier one. Instances that cannot be among the
/// K largest are turned away by a threshold. The draws of one perturbed top-K resemble each other, so that each begins
/// with a threshold a little below where the K-th key of an earlier one was; if too few pass, it begins again without.
template <class Key>
class top_candidates {
 public:
  /// How many are kept when the memory is full, and how much memory that takes.
  static std::int64_t reach(std::int64_t k) {
    return k + 16 + 8 * static_cast<std::int64_t>(std::sqrt(static_cast<double>(k)));
  }
  static std::int64_t capacity(std::int64_t instances, std::int64_t k) {
    return (std::min)(instances, 2 * reach(k)) + topk_block;
  }

  top_candidates(Key* keys, std::int32_t* instances, std::int64_t capacity)
      : keys_(keys), instances_(instances), capacity_(capacity) {}

  template <class Source>
  void select(const Source& source, const normal_table& table, std::int64_t draw, vector_view<std::int32_t> selected) {
    const std::int64_t k = selected.extent(0);
    if (guess_ != least) {
      collect(source, table, draw, k, guess_);
      if (count_ < k) guess_ = least;
    }
    if (guess_ == least) {
      collect(source, table, draw, k, least);
      if (count_ > reach(k)) {
        shrink(reach(k));
        guess_ = threshold_;
      }
    }
    shrink(k);
    for (std::int64_t i = 0; i < k; ++i) selected(i) = instances_[i];
  }

 private:
  static constexpr Key least = std::numeric_limits<Key>::min();  // no instance has it
  static constexpr int lanes = 16;

  template <class Source>
  void collect(const Source& source, const normal_table& table, std::int64_t draw, std::int64_t k, Key threshold) {
    Key keys[topk_block];
    count_ = 0;
    threshold_ = threshold;
    for (std::int64_t first = 0; first < source.size(); first += topk_block) {
      const std::int64_t count = (std::min)(topk_block, source.size() - first);
      fill_keys(source, table, draw, first, count, keys);
      std::fill(keys + count, keys + (count + lanes - 1) / lanes * lanes, least);
      if (count_ + topk_block > capacity_) shrink(reach(k));
      append(keys, static_cast<int>(count), static_cast<std::int32_t>(first));
    }
  }

  void append(const Key (&keys)[topk_block], int count, std::int32_t first) {
    Key* const to = keys_;  // copies that no store below can change, as far as the compiler knows
    std::int32_t* const to_instances = instances_;
    const Key threshold = threshold_;
    std::int64_t filled = count_;
    for (int at = 0; at < count; at += lanes) {
      Key passing = 0;  // of the key's width, so that this is a comparison of vectors
#if defined(_OPENMP) && !defined(__clang__)
#pragma omp simd reduction(| : passing)  // g++ unrolls it to one comparison after the other otherwise
#endif
      for (int i = 0; i < lanes; ++i) passing |= static_cast<Key>(keys[at + i] > threshold ? -1 : 0);
      if (!passing) continue;
      for (int i = at; i < at + lanes; ++i) {
        to[filled] = keys[i];
        to_instances[filled] = first + i;
        filled += keys[i] > threshold ? 1 : 0;
      }
    }
    count_ = filled;
  }

  std::int64_t count_above(Key level) const {
    Key count = 0;  // of the key's width, for the vectors' sake
    for (std::int64_t i = 0; i < count_; ++i) count += keys_[i] > level ? 1 : 0;
    return static_cast<std::int64_t>(count);
  }

  /// Keeps the `many` largest, and from now on lets pass what is larger than the threshold between them and the others.
  /// Finds it by bisection of the keys' range: 32 or 64 counts without a branch are faster than a partial sort.
  void shrink(std::int64_t many) {
    if (count_ <= many) return;
    using bits = std::make_unsigned_t<Key>;
    // Above `low` are at least `many`, above `high` fewer. Ties that an earlier call kept equal the threshold.
    Key low = threshold_ == least ? least : static_cast<Key>(threshold_ - 1), high = std::numeric_limits<Key>::max();
    while (static_cast<bits>(high) - static_cast<bits>(low) > 1) {
      const auto half = static_cast<bits>(static_cast<bits>(high) - static_cast<bits>(low)) / 2;
      const auto middle = static_cast<Key>(static_cast<bits>(low) + half);
      const std::int64_t above = count_above(middle);
      (above >= many ? low : high) = middle;
      if (above == many) break;
    }
    const bool exact = count_above(low) == many;
    threshold_ = exact ? low : high;
    std::int64_t ties = exact ? 0 : many - count_above(high);
    std::int64_t kept = 0;
    for (std::int64_t i = 0; i < count_; ++i) {
      const Key key = keys_[i];
      const std::int32_t instance = instances_[i];
      const bool tie = key == threshold_, keep = key > threshold_ || (tie && ties > 0);
      ties -= tie ? 1 : 0;
      keys_[kept] = key;
      instances_[kept] = instance;
      kept += keep ? 1 : 0;
    }
    count_ = many;
  }

  Key* keys_;
  std::int32_t* instances_;
  std::int64_t capacity_, count_ = 0;
  Key threshold_ = least, guess_ = least;
};

template <>
struct topk_impl<cpu> {
  template <class... Args>
  static int scratch(cpu&, topk_quotients_step, Args...) {
    return 0;
  }
  template <class T>
  static void run(cpu& backend, int, topk_quotients_step, vector_view<const T> scores, T sigma,
                  vector_view<T> quotients) {
    parallel_for(backend, scores.extent(0), 16384, [&](row_range rows) {
      for (std::int64_t n = rows.first; n < rows.first + rows.count; ++n) quotients(n) = scores(n) / sigma;
    });
  }

  /// Draws that one thread does in a row, so that most of them have an earlier one to learn from.
  static constexpr std::int64_t chunk_draws = 8;

  template <class Key>
  struct candidate_memory {
    matrix_view<Key> keys;  ///< a row for each thread
    matrix_view<std::int32_t> instances;
  };
  template <class Source>
  static auto scratch(cpu& backend, topk_draw_step, const Source& source, matrix_view<std::int32_t> draws) {
    using key = typename Source::key;
    const std::int64_t threads =
        (std::min)(std::int64_t{backend.thread_count()}, chunk_count(draws.rows(), chunk_draws));
    const shape<2> size{threads, top_candidates<key>::capacity(source.size(), draws.cols())};
    return candidate_memory<key>{backend.workspace.allocate<key>(size), backend.workspace.allocate<std::int32_t>(size)};
  }
  template <class Source>
  static void run(cpu& backend, const candidate_memory<typename Source::key>& memory, topk_draw_step,
                  const Source& source, matrix_view<std::int32_t> draws) {
    const normal_table& table = normal_quantiles();
    parallel_for(backend, draws.rows(), chunk_draws, [&](row_range rows, int thread) {
      top_candidates<typename Source::key> candidates(memory.keys.row(thread), memory.instances.row(thread),
                                                      memory.keys.cols());
      for (std::int64_t s = rows.first; s < rows.first + rows.count; ++s)
        candidates.select(source, table, s, vector_view<std::int32_t>(draws.row(s), {draws.cols()}));
    });
  }

  /// A bit for each instance, and how many bits are set before each word: a row for each thread.
  struct count_memory {
    matrix_view<std::uint64_t> words;
    matrix_view<std::int32_t> before;
  };
  template <class... Args>
  static count_memory scratch(cpu& backend, topk_count_step, std::int64_t instances, matrix_view<std::int32_t> draws,
                              Args...) {
    const std::int64_t threads =
        (std::min)(std::int64_t{backend.thread_count()}, chunk_count(draws.cols(), chunk_rows));
    const shape<2> size{threads, chunk_count(instances, 64)};
    return {backend.workspace.allocate<std::uint64_t>(size), backend.workspace.allocate<std::int32_t>(size)};
  }
  template <class T>
  static void run(cpu& backend, const count_memory& memory, topk_count_step, std::int64_t instances,
                  matrix_view<std::int32_t> draws, vector_view<std::int64_t> offsets, vector_view<std::int32_t> columns,
                  vector_view<T> weights) {
    // Each row of T into the place that it would have if all rows were full, then together.
    const std::int64_t width = (std::min)(draws.rows(), instances);
    parallel_for(backend, draws.cols(), chunk_rows, [&](row_range rows, int thread) {
      for (std::int64_t k = rows.first; k < rows.first + rows.count; ++k)
        offsets(k + 1) = count_row(memory.words.row(thread), memory.before.row(thread), draws, k,
                                   columns.row(k * width), weights.row(k * width));
    });
    offsets(0) = 0;
    for (std::int64_t k = 0; k < draws.cols(); ++k) {
      const std::int64_t count = offsets(k + 1), from = k * width, to = offsets(k);
      if (from != to) {
        std::copy_n(columns.row(from), count, columns.row(to));
        std::copy_n(weights.row(from), count, weights.row(to));
      }
      offsets(k + 1) = to + count;
    }
    parallel_for(backend, draws.rows(), 64, [&](row_range rows) {
      for (std::int64_t s = rows.first; s < rows.first + rows.count; ++s)
        for (std::int64_t k = 0; k < draws.cols(); ++k) draws(s, k) += static_cast<std::int32_t>(offsets(k));
    });
  }

  template <class T>
  static void run(cpu&, int, topk_identity_step, bool identity, vector_view<std::int64_t> offsets,
                  vector_view<std::int32_t> columns, vector_view<T> weights) {
    for (std::int64_t k = 0; k < columns.extent(0); ++k) {
      offsets(k) = k;
      weights(k) = T(1);
      if (identity) columns(k) = static_cast<std::int32_t>(k);
    }
    offsets(columns.extent(0)) = columns.extent(0);
  }
  template <class... Args>
  static int scratch(cpu&, topk_identity_step, Args...) {
    return 0;
  }

  template <class Noise, class... Args>
  static vector_view<double> scratch(cpu& backend, topk_backward_step, const Noise&, topk_jacobian,
                                     matrix_view<const std::int32_t> draws, Args...) {
    return backend.workspace.allocate<double>(draws.rows());
  }
  template <class Noise, class T>
  static void run(cpu& backend, vector_view<double> factors, topk_backward_step, const Noise& noise,
                  topk_jacobian jacobian, matrix_view<const std::int32_t> draws,
                  vector_view<const std::int32_t> columns, vector_view<const T> dweights, double sigma,
                  vector_view<T> dscores) {
    const normal_table& table = normal_quantiles();
    const bool diagonal = jacobian == topk_jacobian::diagonal;
    if (!diagonal) draw_factors(backend, jacobian, draws, dweights, factors);
    const double scale = 1 / (static_cast<double>(draws.rows()) * sigma);
    parallel_for(backend, dscores.extent(0), topk_block, [&](row_range rows) {
      double sums[topk_block] = {};
      for (std::int64_t s = 0; s < draws.rows(); ++s)
        if (diagonal) add_diagonal(noise, table, draws, s, columns, dweights, rows, sums);
        else add_noise(noise, table, s, rows.first, rows.count, factors(s), sums);
      for (std::int64_t i = 0; i < rows.count; ++i) dscores(rows.first + i) = static_cast<T>(scale * sums[i]);
    });
  }

  template <class... Args>
  static int scratch(cpu&, topk_straight_through_step, Args...) {
    return 0;
  }
  template <class T>
  static void run(cpu&, int, topk_straight_through_step, vector_view<const std::int32_t> columns,
                  vector_view<const T> dweights, vector_view<T> dscores) {
    for (std::int64_t n = 0; n < dscores.extent(0); ++n) dscores(n) = T(0);
    for (std::int64_t k = 0; k < columns.extent(0); ++k) dscores(columns(k)) = dweights(k);
  }

 private:
  static constexpr std::int64_t chunk_rows = 8;  ///< of T; their draws lie side by side

  /// One row of T; draws[s, k] becomes the place within the row. Returns the number of its non-zeros. The place of an
  /// instance is the number of bits before its own in a set of bits, so that nothing need be sorted.
  template <class T>
  static std::int64_t count_row(std::uint64_t* words, std::int32_t* before, matrix_view<std::int32_t> draws,
                                std::int64_t k, std::int32_t* columns, T* weights) {
    std::int32_t low = draws(0, k), high = low;
    for (std::int64_t s = 1; s < draws.rows(); ++s) {
      low = (std::min)(low, draws(s, k));
      high = (std::max)(high, draws(s, k));
    }
    const std::int32_t first = low / 64, last = high / 64;
    std::fill(words + first, words + last + 1, std::uint64_t{0});
    for (std::int64_t s = 0; s < draws.rows(); ++s) words[draws(s, k) / 64] |= std::uint64_t{1} << draws(s, k) % 64;
    std::int32_t count = 0;
    for (std::int32_t w = first; w <= last; ++w) {
      before[w] = count;
      for (std::uint64_t rest = words[w]; rest != 0; rest &= rest - 1, ++count) {
        columns[count] = 64 * w + std::countr_zero(rest);
        weights[count] = T(0);
      }
    }
    for (std::int64_t s = 0; s < draws.rows(); ++s) {
      const std::int32_t n = draws(s, k);
      const std::uint64_t below = words[n / 64] & ((std::uint64_t{1} << n % 64) - 1);
      const std::int32_t place = before[n / 64] + std::popcount(below);
      weights[place] += T(1);
      draws(s, k) = place;
    }
    for (std::int32_t place = 0; place < count; ++place) weights[place] /= static_cast<T>(draws.rows());
    return count;
  }

  /// c_s, less the mean of the others' where there is a baseline: of differences to the first one, so that a constant,
  /// which a gradient that is the same along a row of T gives, comes out as 0 and not as its rounding.
  template <class T>
  static void draw_factors(cpu& backend, topk_jacobian jacobian, matrix_view<const std::int32_t> draws,
                           vector_view<const T> dweights, vector_view<double> factors) {
    parallel_for(backend, draws.rows(), 64, [&](row_range rows) {
      for (std::int64_t s = rows.first; s < rows.first + rows.count; ++s) {
        double sum = 0;
        for (std::int64_t k = 0; k < draws.cols(); ++k) sum += static_cast<double>(dweights(draws(s, k)));
        factors(s) = sum;
      }
    });
    if (jacobian == topk_jacobian::full) subtract_others(factors);
  }
  static void subtract_others(vector_view<double> factors) {
    const double first = factors(0);
    double sum = 0;
    for (std::int64_t s = 0; s < factors.extent(0); ++s) sum += factors(s) -= first;
    for (std::int64_t s = 0; s < factors.extent(0); ++s)
      factors(s) -= (sum - factors(s)) / static_cast<double>(factors.extent(0) - 1);
  }

  /// The share of draw s in the instances `rows`: those of them that it selected lie side by side in it.
  template <class Noise, class T>
  static void add_diagonal(const Noise& noise, const normal_table& table, matrix_view<const std::int32_t> draws,
                           std::int64_t s, vector_view<const std::int32_t> columns, vector_view<const T> dweights,
                           row_range rows, double* sums) {
    const std::int32_t* places = draws.row(s);
    const std::int32_t* end = places + draws.cols();
    const std::int32_t* at = std::lower_bound(places, end, rows.first,
                                              [&](std::int32_t place, std::int64_t n) { return columns(place) < n; });
    double z[4] = {};
    for (std::int64_t block = -1; at < end && columns(*at) < rows.first + rows.count; ++at) {
      const std::int64_t n = columns(*at);
      if (n / 4 != block) noise.four(table, s, block = n / 4, z);
      sums[n - rows.first] += static_cast<double>(dweights(*at)) * z[n % 4];
    }
  }
};

MILKIT_COMPILED_OP(topk_impl, topk_quotients_step, vector_view<const T>, T, vector_view<T>);
MILKIT_COMPILED_OP(topk_impl, topk_draw_step, perturbed_keys<T, drawn_noise, host_space>, matrix_view<std::int32_t>);
MILKIT_COMPILED_OP(topk_impl, topk_draw_step, score_keys<T, host_space>, matrix_view<std::int32_t>);
MILKIT_COMPILED_OP_ONCE(topk_impl, topk_draw_step, random_keys, matrix_view<std::int32_t>);
MILKIT_COMPILED_OP(topk_impl, topk_count_step, std::int64_t, matrix_view<std::int32_t>, vector_view<std::int64_t>,
                   vector_view<std::int32_t>, vector_view<T>);
MILKIT_COMPILED_OP(topk_impl, topk_identity_step, bool, vector_view<std::int64_t>, vector_view<std::int32_t>,
                   vector_view<T>);
MILKIT_COMPILED_OP(topk_impl, topk_backward_step, drawn_noise, topk_jacobian, matrix_view<const std::int32_t>,
                   vector_view<const std::int32_t>, vector_view<const T>, double, vector_view<T>);
MILKIT_COMPILED_OP(topk_impl, topk_straight_through_step, vector_view<const std::int32_t>, vector_view<const T>,
                   vector_view<T>);

}  // namespace milkit::ops::detail
