#pragma once

#include <cstdint>
#include <limits>
#include <type_traits>

#include <milkit/core/backend.hpp>
#include <milkit/core/normal.hpp>
#include <milkit/core/random.hpp>

namespace milkit::ops {

/// Standard normal noise, made again wherever it is asked for: instance n of draw s gets word n % 4 of the stream's
/// Philox block (instance n / 4, draw s), made normal by `normal_fixed`. CPU and card get the same bits.
struct drawn_noise {
  random_stream stream = {};

  /// Z of the instances 4 block .. 4 block + 3.
  template <class T>
  MILKIT_HD void four(const normal_table& table, std::int64_t draw, std::int64_t block, T (&z)[4]) const {
    const philox_block b = stream.bits(static_cast<std::uint64_t>(block), static_cast<std::uint64_t>(draw));
    for (int i = 0; i < 4; ++i) z[i] = static_cast<T>(normal_fixed(table, b.word[i])) * static_cast<T>(normal_unit);
  }
};

/// Noise that the caller gives, [draws, instances]: for tests, and for other laws.
template <class T, class Space = host_space>
struct given_noise {
  matrix_view<const T, Space> values = {};

  template <class Z>
  MILKIT_HD void four(const normal_table&, std::int64_t draw, std::int64_t block, Z (&z)[4]) const {
    for (std::int64_t i = 0; i < 4; ++i)
      z[i] = 4 * block + i < values.cols() ? static_cast<Z>(values(draw, 4 * block + i)) : Z(0);
  }
};

/// How the gradient of a perturbed top-K is estimated from its draws (docs/papers/zoommil.md 2.5): the full Jacobian
/// with the mean of the other draws as a baseline, the same without baseline, or the Jacobian's diagonal alone, as the
/// official code does.
enum class topk_jacobian { full, full_without_baseline, diagonal };

namespace detail {

template <class Backend>
struct topk_impl {
  static_assert(dependent_false<Backend>,
                "milkit::ops::topk: no implementation for this backend here; include "
                "<milkit/ops/selection/topk_cpu.hpp> for cpu or "
                "<milkit/ops/selection/topk_cuda.cuh> for cuda");
};
/// Which step `topk_impl::run` is to do.
struct topk_quotients_step {};
struct topk_draw_step {};
struct topk_count_step {};
struct topk_identity_step {};
struct topk_backward_step {};
struct topk_straight_through_step {};

/// An integer that is ordered as the numbers are: both zeros alike, NaN above +infinity, never the least integer.
template <class T>
using topk_key = std::conditional_t<sizeof(T) == 4, std::int32_t, std::int64_t>;
template <class T>
MILKIT_HD topk_key<T> key_of(T value) {
  using key = topk_key<T>;
  constexpr int bits = 8 * static_cast<int>(sizeof(T)), mantissa = sizeof(T) == 4 ? 23 : 52;
  constexpr auto most = static_cast<key>((std::uint64_t{1} << (bits - 1)) - 1);
  constexpr auto infinity = static_cast<key>(most >> mantissa << mantissa);
  const key own = __builtin_bit_cast(key, value + T(0));  // -0 becomes 0
  const key ordered = own ^ ((own >> (bits - 1)) & most);
  return (own & most) > infinity ? most : ordered;  // of integers, so that loops of it become vectors
}

/// What is ranked: `four` gives the keys of the instances 4 block .. 4 block + 3 in a draw; those beyond the last
/// instance mean nothing.
template <class T, class Noise, class Space>
struct perturbed_keys {
  using key = topk_key<T>;
  using value_type = T;
  Noise noise;
  vector_view<const T, Space> quotients;  ///< scores / sigma
  MILKIT_HD std::int64_t size() const { return quotients.extent(0); }
  MILKIT_HD void four(const normal_table& table, std::int64_t draw, std::int64_t block, key (&keys)[4]) const {
    T z[4];
    noise.four(table, draw, block, z);
    for (std::int64_t i = 0; i < 4 && 4 * block + i < size(); ++i) keys[i] = key_of(quotients(4 * block + i) + z[i]);
  }
};
template <class T, class Space>
struct score_keys {
  using key = topk_key<T>;
  vector_view<const T, Space> scores;
  MILKIT_HD std::int64_t size() const { return scores.extent(0); }
  MILKIT_HD void four(const normal_table&, std::int64_t, std::int64_t block, key (&keys)[4]) const {
    for (std::int64_t i = 0; i < 4 && 4 * block + i < size(); ++i) keys[i] = key_of(scores(4 * block + i));
  }
};
struct random_keys {
  using key = std::int64_t;
  random_stream stream;
  std::int64_t instances;
  MILKIT_HD std::int64_t size() const { return instances; }
  MILKIT_HD void four(const normal_table&, std::int64_t draw, std::int64_t block, key (&keys)[4]) const {
    for (std::int64_t half = 0; half < 2; ++half) {
      const philox_block b =
          stream.bits(static_cast<std::uint64_t>(2 * block + half), static_cast<std::uint64_t>(draw));
      for (int i = 0; i < 2; ++i)
        keys[2 * half + i] = static_cast<key>((std::uint64_t{b.word[2 * i]} << 32 | b.word[2 * i + 1]) >> 1);
    }
  }
};

inline void expect_topk(std::string_view op, std::int64_t instances, std::int64_t k) {
  expect_value(instances >= 1, op, "the bag has no instances, expected at least 1");
  expect_value(instances <= std::numeric_limits<std::int32_t>::max(), op, "the bag has ", instances,
               " instances, expected at most 2147483647");
  expect_value(k >= 1 && k <= instances, op, "k is ", k, ", expected 1 to ", instances, ", the number of instances");
}
inline void expect_sigma(std::string_view op, double sigma) {
  expect_value(sigma > 0 && sigma <= std::numeric_limits<double>::max(), op, "sigma is ", sigma,
               ", expected a positive number; without noise it is the hard top-K");
}

}  // namespace detail

/// The K largest of scores[n] / sigma + Z[s, n] in each of S draws, by ascending index: draws[s, k] is J_s[k]
/// (docs/papers/zoommil.md 2.4, divided by sigma). Shapes: scores [N], elements may lie apart; draws [S, K] of int32, 1
/// <= K <= N. Ties go to the lower index; NaN ranks above +infinity. The perturbed score is computed in the scores'
/// type T: the quotient by T(sigma), the noise and their sum are each rounded once, and no product stands before a sum,
/// so that no compiler can fuse them: CPU and card select the same instances. Cost: S N numbers of noise, on cpu one
/// pass over the scores a draw and O(K log K) beside it, parallel over draws. Errors: shape_error; value_error for N =
/// 0, K outside 1..N, sigma not positive. Scores whose quotient by sigma overflows T tie at infinity.
template <backend Backend, class Noise, class Scores, class Draws>
requires resident_on<Scores, Backend> && resident_on<Draws, Backend>
void perturbed_topk(Backend& backend, const Noise& noise, Scores scores, double sigma, Draws draws) {
  using T = typename Scores::value_type;
  using Space = typename Backend::space;
  detail::expect_topk("milkit::ops::perturbed_topk", scores.extent(0), draws.cols());
  detail::expect_sigma("milkit::ops::perturbed_topk", static_cast<double>(static_cast<T>(sigma)));
  const auto scope = backend.workspace.scope();
  const auto quotients = backend.workspace.template allocate<T>(scores.extent(0));
  execute<detail::topk_impl>(backend, detail::topk_quotients_step{}, vector_view<const T, Space>(scores),
                             static_cast<T>(sigma), quotients);
  execute<detail::topk_impl>(backend, detail::topk_draw_step{},
                             detail::perturbed_keys<T, Noise, Space>{noise, quotients},
                             matrix_view<std::int32_t, Space>(draws));
}

/// The K largest scores by ascending index, selected [K] of int32; ties and NaN as above. The scores of a parallel
/// reduction that differ in their last bit are no tie. Cost: one pass and O(K log K). Errors: as above.
template <backend Backend, class Scores, class Selected>
requires resident_on<Scores, Backend> && resident_on<Selected, Backend>
void hard_topk(Backend& backend, Scores scores, Selected selected) {
  using T = typename Scores::value_type;
  using Space = typename Backend::space;
  detail::expect_topk("milkit::ops::hard_topk", scores.extent(0), selected.extent(0));
  execute<detail::topk_impl>(backend, detail::topk_draw_step{},
                             detail::score_keys<T, Space>{vector_view<const T, Space>(scores)},
                             matrix_view<std::int32_t, Space>(selected.data(), {1, selected.extent(0)}));
}

/// K of N instances, uniformly and without replacement, by ascending index: those with the largest of N random keys of
/// 63 bits, so that every subset has the same probability to within N^2 2^-64. selected [K] of int32. Errors: as above.
template <backend Backend, class Selected>
requires resident_on<Selected, Backend>
void random_topk(Backend& backend, random_stream stream, std::int64_t instances, Selected selected) {
  using Space = typename Backend::space;
  detail::expect_topk("milkit::ops::random_topk", instances, selected.extent(0));
  execute<detail::topk_impl>(backend, detail::topk_draw_step{}, detail::random_keys{stream, instances},
                             matrix_view<std::int32_t, Space>(selected.data(), {1, selected.extent(0)}));
}

/// The law of the draws as a sparse matrix T [K, N] in rows: T[k, n] = #{s : J_s[k] = n} / S, the count divided once.
/// Shapes: draws [S, K]; offsets [K + 1]; columns (int32) and weights [at least K min(S, N)], of which the first
/// offsets[K] are written; a row's columns ascend. The draws are rewritten: draws[s, k] becomes the place of J_s[k] in
/// `columns`, which is what backward needs. Cost: O(K (S + width of a row / 64)) on cpu, K (S + width) on the card, the
/// width being how far a row's instances lie apart. Errors: shape_error; value_error for more than 2^24 draws.
template <backend Backend, class Draws, class Offsets, class Columns, class Weights>
requires resident_on<Draws, Backend> && resident_on<Offsets, Backend> && resident_on<Columns, Backend> &&
    resident_on<Weights, Backend>
void count_draws(Backend& backend, std::int64_t instances, Draws draws, Offsets offsets, Columns columns,
                 Weights weights) {
  const std::int64_t most = draws.cols() * (draws.rows() < instances ? draws.rows() : instances);
  expect_value(draws.rows() <= std::int64_t{1} << 24, "milkit::ops::count_draws", draws.rows(),
               " draws, expected at most 16777216");
  expect_extent("milkit::ops::count_draws", "extent of offsets", offsets.extent(0), draws.cols() + 1);
  expect_extent("milkit::ops::count_draws", "extent of columns", columns.extent(0), most);
  expect_extent("milkit::ops::count_draws", "extent of weights", weights.extent(0), most);
  execute<detail::topk_impl>(backend, detail::topk_count_step{}, instances, draws, offsets, columns, weights);
}

/// The same matrix where each row selects one instance, `columns` [K]: offsets 0 .. K, weights 1. With `identity` the
/// columns are written too: row k selects instance k.
template <backend Backend, class Offsets, class Columns, class Weights>
void select_each(Backend& backend, bool identity, Offsets offsets, Columns columns, Weights weights) {
  execute<detail::topk_impl>(backend, detail::topk_identity_step{}, identity, offsets, columns, weights);
}

/// The gradient of the scores from dweights = dL/dT at the non-zeros of T, with c_s = sum_k dL/dT[k, J_s[k]]:
/// full (the default) dscores[n] = 1/(S sigma) sum_s (c_s - mean of the other c) Z[s, n]; without baseline c_s alone;
/// diagonal dscores[n] = 1/(S sigma) sum_s sum_k dL/dT[k, n] 1(J_s[k] = n) Z[s, n] (docs/papers/zoommil.md 2.5). The
/// first two are unbiased. Shapes: draws [S, K] and columns as `count_draws` left them, dweights as columns, dscores
/// [N]. The noise is made again. Sums in double. Cost: S N numbers of noise, the diagonal S K. Errors: value_error for
/// S < 2 with a baseline.
template <backend Backend, class Noise, class Draws, class Columns, class Dweights, class Dscores>
requires resident_on<Draws, Backend> && resident_on<Columns, Backend> && resident_on<Dweights, Backend> &&
    resident_on<Dscores, Backend>
void perturbed_topk_backward(Backend& backend, const Noise& noise, topk_jacobian jacobian, Draws draws, Columns columns,
                             Dweights dweights, double sigma, Dscores dscores) {
  using T = typename Dscores::value_type;
  using Space = typename Backend::space;
  detail::expect_sigma("milkit::ops::perturbed_topk_backward", static_cast<double>(static_cast<T>(sigma)));
  expect_value(jacobian != topk_jacobian::full || draws.rows() >= 2, "milkit::ops::perturbed_topk_backward",
               draws.rows(), " draw, expected at least 2 for a baseline");
  execute<detail::topk_impl>(backend, detail::topk_backward_step{}, noise, jacobian,
                             matrix_view<const std::int32_t, Space>(draws),
                             vector_view<const std::int32_t, Space>(columns), vector_view<const T, Space>(dweights),
                             static_cast<double>(static_cast<T>(sigma)), vector_view<T, Space>(dscores));
}

/// dscores[columns[k]] = dweights[k], 0 for all others: the straight-through gradient of a hard selection.
template <backend Backend, class Columns, class Dweights, class Dscores>
requires resident_on<Columns, Backend> && resident_on<Dweights, Backend> && resident_on<Dscores, Backend>
void straight_through_backward(Backend& backend, Columns columns, Dweights dweights, Dscores dscores) {
  using T = typename Dscores::value_type;
  using Space = typename Backend::space;
  expect_shape("milkit::ops::straight_through_backward", "dweights", dweights, columns.shape());
  execute<detail::topk_impl>(backend, detail::topk_straight_through_step{},
                             vector_view<const std::int32_t, Space>(columns), vector_view<const T, Space>(dweights),
                             vector_view<T, Space>(dscores));
}

}  // namespace milkit::ops
