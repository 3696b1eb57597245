#pragma once

#include <cstdint>

#include <milkit/core/backend.hpp>
#include <milkit/core/exponential.hpp>
#include <milkit/ops/selection/draws/weights.hpp>

/// Draws from rows of probabilities p [rows, items], weighted sums over what was drawn, and their gradients: the
/// arithmetic of sampling/ (docs/papers/zoom_in.md 2.4 to 2.6, 2.9).
namespace milkit::ops {

/// A uniform number in (0, 1) for each place, made again wherever it is asked for; the same bits on CPU and card.
struct drawn_uniforms {
  random_stream stream = {};

  /// Those of the places 2 pair and 2 pair + 1.
  MILKIT_HD void two(std::int64_t pair, double (&u)[2]) const {
    const philox_block b = stream.bits(static_cast<std::uint64_t>(pair), 0);
    u[0] = open_uniform(b.word[0], b.word[1]);
    u[1] = open_uniform(b.word[2], b.word[3]);
  }
};

/// Uniforms that the caller gives.
template <class Space = host_space>
struct given_uniforms {
  vector_view<const double, Space> values = {};

  MILKIT_HD void two(std::int64_t pair, double (&u)[2]) const {
    for (std::int64_t i = 0; i < 2; ++i) u[i] = 2 * pair + i < values.extent(0) ? values(2 * pair + i) : 0.5;
  }
};

/// The law of draws without replacement: proportional to p, or to exp p as the official Zoom-In code has it, which adds
/// its noise to p and not to log p.
enum class draw_law { p, exp_p };

/// Draws of several rows, one after the other: row(s) of p gave items[offsets[s]] .. items[offsets[s + 1] - 1], each of
/// them once. `rows` [S] says which rows; absent: row s. Offsets and rows ascend by what the caller does: kernels do
/// not check them.
template <class Space = host_space>
struct draw_list {
  vector_view<const std::int64_t, Space> offsets = {};  ///< [S + 1]
  vector_view<const std::int32_t, Space> items = {};    ///< [M]
  vector_view<const std::int64_t, Space> rows = {};

  MILKIT_HD std::int64_t count() const { return offsets.extent(0) - 1; }
  MILKIT_HD std::int64_t row(std::int64_t s) const { return rows.absent() ? s : rows(s); }
};

namespace detail {

template <class Backend>
struct draws_impl {
  static_assert(dependent_false<Backend>,
                "milkit::ops::draws: no implementation for this backend here; include "
                "<milkit/ops/selection/draws_cpu.hpp> for cpu or "
                "<milkit/ops/selection/draws_cuda.cuh> for cuda");
};
/// Which step `draws_impl::run` is to do.
struct draw_counts_step {};
struct draw_items_step {};
struct most_likely_step {};
struct draw_weights_step {};
struct log_gradient_step {};
struct logit_gradient_step {};
struct complement_step {};
struct complement_gradient_step {};
struct expectation_step {};
struct expectation_backward_step {};

/// A probability in units of 2^-62, in which sums have the same bits in any order. Smaller ones and NaN count as 0.
template <class T>
MILKIT_HD std::uint64_t mass_units(T p) {
  const auto own = static_cast<double>(p);
  return own > 0 ? static_cast<std::uint64_t>((own < 1 ? own : 1.0) * 0x1p62) : 0;
}
/// What draw i of n draws with replacement points at in [0, sum].
template <class Noise>
MILKIT_HD std::uint64_t draw_units(const Noise& noise, std::int64_t i, std::int64_t n, bool stratified,
                                   std::uint64_t sum) {
  double u[2];
  noise.two(i / 2, u);
  const double at = stratified ? (static_cast<double>(i) + u[i % 2]) / static_cast<double>(n) : u[i % 2];
  return static_cast<std::uint64_t>(at * static_cast<double>(sum));
}

/// How soon item i rings: an exponential clock of rate p_i (or exp p_i). A NaN rings first, a rate of 0 never.
template <class T>
MILKIT_HD double ring_time(draw_law law, T p, double u) {
  const auto rate = static_cast<double>(p);
  return exponential_of(u) / (law == draw_law::p ? rate : exp(rate));
}
/// Whether key a of item i comes before key b of item j.
MILKIT_HD inline bool rings_before(double a, std::int64_t i, double b, std::int64_t j) {
  const bool a_nan = a != a, b_nan = b != b;
  if (a_nan || b_nan) return a_nan && (!b_nan || i < j);
  return a < b || (a == b && i < j);
}

template <class P, class List>
void expect_draws(std::string_view op, P p, const List& list) {
  expect_value(list.offsets.extent(0) >= 1, op, "extent of offsets is 0, expected 1 + the number of rows");
  if (list.rows.absent())
    expect_value(list.count() <= p.rows(), op, list.count(), " rows are drawn from, p has ", p.rows());
  else expect_extent(op, "extent of rows", list.rows.extent(0), list.count());
}

}  // namespace detail

/// How often each of K items comes in n draws with replacement, counts [K]: draw i is the first item whose cumulative
/// probability is above u_i times the sum of p, u_i the i-th number of `noise`; with `stratified` above (i + u_i) / n,
/// which has the same means and, for most p, less variance. Sums are in units of 2^-62, so that CPU and card draw the
/// same, and items of a smaller probability are never drawn. NaN in p: the count of the first NaN is -n, all others are
/// 0. On cpu value_error where p is not a distribution (a negative entry, a sum that is off by more than 1e-3). Shapes:
/// p [K], counts [K]. Cost: O(K + n log K).
template <backend Backend, class Noise, class P, class Counts>
requires resident_on<P, Backend> && resident_on<Counts, Backend>
void draw_counts(Backend& backend, const Noise& noise, P p, std::int64_t n, bool stratified, Counts counts) {
  using T = typename P::value_type;
  constexpr auto op = "milkit::ops::draw_counts";
  expect_value(p.extent(0) >= 1, op, "there are no items, expected at least 1");
  expect_value(n >= 1, op, "n is ", n, ", expected at least 1");
  expect_extent(op, "extent of counts", counts.extent(0), p.extent(0));
  execute<detail::draws_impl>(backend, detail::draw_counts_step{}, noise,
                              vector_view<const T, typename Backend::space>(p), n, stratified, counts);
}

/// Draws without replacement in draw order: P(next = i | drawn) = p_i / (1 - mass drawn), as the first exponential
/// clocks to ring (the same as Gumbel top-n of log p: log p_i - log(-log u_i) = -log(ring time)). The items of row s,
/// as many as `list.offsets` leave room for, are written to `items` (list.items is not read); the noise of item i of
/// row s is number numbers[s] K + i, so that a row draws the same whichever others there are. Items of probability 0
/// come last, by ascending index; NaN first. Shapes: p [rows, K], numbers [S]. On cpu value_error where a row is no
/// distribution, and for more draws than items. Cost: a random number, a logarithm and a division an item, O(n log n)
/// beside it (card: ten passes over the row's times and n^2 comparisons).
template <backend Backend, class Noise, class P, class Numbers, class Items>
requires resident_on<P, Backend> && resident_on<Items, Backend>
void draw_items(Backend& backend, const Noise& noise, draw_law law, P p, const draw_list<typename Backend::space>& list,
                Numbers numbers, Items items) {
  using T = typename P::value_type;
  constexpr auto op = "milkit::ops::draw_items";
  detail::expect_draws(op, p, list);
  expect_extent(op, "extent of numbers", numbers.extent(0), list.count());
  execute<detail::draws_impl>(backend, detail::draw_items_step{}, noise, law,
                              matrix_view<const T, typename Backend::space>(p), list, numbers, items);
}

/// The most likely items instead: by decreasing p, the lower index first among equals, NaN before all.
template <backend Backend, class P, class Items>
requires resident_on<P, Backend> && resident_on<Items, Backend>
void most_likely_items(Backend& backend, P p, const draw_list<typename Backend::space>& list, Items items) {
  using T = typename P::value_type;
  detail::expect_draws("milkit::ops::most_likely_items", p, list);
  execute<detail::draws_impl>(backend, detail::most_likely_step{}, matrix_view<const T, typename Backend::space>(p),
                              list, items);
}

/// The weights c_k of the draws (`draw_estimator`), and in `backward` what stands for them in the gradient of the
/// features: the same but for `official_zoom_in`; absent: not wanted. Shapes: p [rows, K]; weights, backward [M]. In
/// double inside. Cost of a row: O(K + n), and of `unordered` n 2^n products up to n = 6, above some (40 + 7 sqrt n) n
/// exponentials and 2 n doubles (card: 64 n).
template <backend Backend, class P, class Weights, class Backward>
requires resident_on<P, Backend> && resident_on<Weights, Backend> && resident_on<Backward, Backend>
void draw_weights(Backend& backend, const draw_rule& rule, P p, const draw_list<typename Backend::space>& list,
                  Weights weights, Backward backward) {
  using T = typename P::value_type;
  constexpr auto op = "milkit::ops::draw_weights";
  detail::expect_draws(op, p, list);
  expect_extent(op, "extent of weights", weights.extent(0), list.items.extent(0));
  if (!backward.absent()) expect_extent(op, "extent of backward", backward.extent(0), list.items.extent(0));
  expect_value(!rule.last || rule.estimator == draw_estimator::ordered || rule.estimator == draw_estimator::score, op,
               "all weight on the last draw is a choice of `ordered` and `score` alone");
  execute<detail::draws_impl>(backend, detail::draw_weights_step{}, rule,
                              matrix_view<const T, typename Backend::space>(p), list, weights, backward);
}

/// d_k = dL / d log p of the k-th draw, from a_k = <dL/dF, f_{I_k}> (draw_weights.hpp has the forms; weights are those
/// of `draw_weights`). Shapes: weights, a, d [M]; d may be a.
template <backend Backend, class P, class Weights, class Upstream, class Gradient>
requires resident_on<P, Backend> && resident_on<Weights, Backend> && resident_on<Upstream, Backend> &&
    resident_on<Gradient, Backend>
void draw_log_gradient(Backend& backend, const draw_rule& rule, P p, const draw_list<typename Backend::space>& list,
                       Weights weights, Upstream a, Gradient d) {
  using T = typename P::value_type;
  using Space = typename Backend::space;
  constexpr auto op = "milkit::ops::draw_log_gradient";
  detail::expect_draws(op, p, list);
  expect_shape(op, "a", a, weights.shape());
  expect_shape(op, "d", d, weights.shape());
  execute<detail::draws_impl>(backend, detail::log_gradient_step{}, rule, matrix_view<const T, Space>(p), list,
                              vector_view<const T, Space>(weights), vector_view<const T, Space>(a), d);
}

/// dlogits[row(s), i] += sum_k d_k ([i = I_k] - p_i): the gradient of the logits whose softmax p is, without a
/// division. Shapes: p, dlogits [rows, K]; d [M]. Rows must differ.
template <backend Backend, class P, class Gradient, class Dlogits>
requires resident_on<P, Backend> && resident_on<Gradient, Backend> && resident_on<Dlogits, Backend>
void add_logit_gradient(Backend& backend, P p, const draw_list<typename Backend::space>& list, Gradient d,
                        Dlogits dlogits) {
  using T = typename P::value_type;
  using Space = typename Backend::space;
  constexpr auto op = "milkit::ops::add_logit_gradient";
  detail::expect_draws(op, p, list);
  expect_shape(op, "dlogits", dlogits, p.shape());
  execute<detail::draws_impl>(backend, detail::logit_gradient_step{}, matrix_view<const T, Space>(p), list,
                              vector_view<const T, Space>(d), dlogits);
}

/// q_i = (1 - p_i) / (K - 1), the normalised complement of each row; 1 - p_i is the rest of the row's sum
/// (docs/papers/zoom_in.md 2.9). Shapes: p, q [rows, K]. Errors: value_error for K < 2.
template <backend Backend, class P, class Q>
requires resident_on<P, Backend> && resident_on<Q, Backend>
void complement(Backend& backend, P p, Q q) {
  using T = typename P::value_type;
  constexpr auto op = "milkit::ops::complement";
  expect_shape(op, "q", q, p.shape());
  expect_value(p.cols() >= 2, op, "there is ", p.cols(), " item, and one has no complement; expected at least 2");
  execute<detail::draws_impl>(backend, detail::complement_step{}, matrix_view<const T, typename Backend::space>(p), q);
}

/// For draws from the complement: turns dL / d log q_{I_k} into dL / d log p_{I_k} = -d_k p / (1 - p), in place, so
/// that `add_logit_gradient` with p gives the gradient of the logits. The gradient of an item with q = 0 is 0. Shapes:
/// p, q [rows, K]; d [M].
template <backend Backend, class P, class Q, class Gradient>
requires resident_on<P, Backend> && resident_on<Q, Backend> && resident_on<Gradient, Backend>
void complement_log_gradient(Backend& backend, P p, Q q, const draw_list<typename Backend::space>& list, Gradient d) {
  using T = typename P::value_type;
  using Space = typename Backend::space;
  detail::expect_draws("milkit::ops::complement_log_gradient", p, list);
  execute<detail::draws_impl>(backend, detail::complement_gradient_step{}, matrix_view<const T, Space>(p),
                              matrix_view<const T, Space>(q), list, d);
}

/// out[s] = sum_k weights_k f_k over the draws of row s. Shapes: weights [M], f [M, D], out [S, D]. Sums in double.
template <backend Backend, class Weights, class Features, class Out>
requires resident_on<Weights, Backend> && resident_on<Features, Backend> && resident_on<Out, Backend>
void expectation(Backend& backend, const draw_list<typename Backend::space>& list, Weights weights, Features f,
                 Out out) {
  using T = typename Out::value_type;
  using Space = typename Backend::space;
  constexpr auto op = "milkit::ops::expectation";
  expect_extent(op, "rows of the features", f.rows(), weights.extent(0));
  expect_shape(op, "out", out, shape<2>{list.count(), f.cols()});
  execute<detail::draws_impl>(backend, detail::expectation_step{}, list, vector_view<const T, Space>(weights),
                              matrix_view<const T, Space>(f), out);
}

/// a_k = <dout[s], f_k> and, unless df is absent, df_k = weights_k dout[s]. Shapes: weights, a [M]; f, df [M, D]; dout
/// [S, D].
template <backend Backend, class Weights, class Features, class Dout, class Upstream, class Df>
requires resident_on<Weights, Backend> && resident_on<Features, Backend> && resident_on<Dout, Backend> &&
    resident_on<Upstream, Backend> && resident_on<Df, Backend>
void expectation_backward(Backend& backend, const draw_list<typename Backend::space>& list, Weights weights, Features f,
                          Dout dout, Upstream a, Df df) {
  using T = typename Upstream::value_type;
  using Space = typename Backend::space;
  constexpr auto op = "milkit::ops::expectation_backward";
  expect_extent(op, "rows of the features", f.rows(), weights.extent(0));
  expect_shape(op, "dout", dout, shape<2>{list.count(), f.cols()});
  expect_shape(op, "a", a, shape<1>{weights.extent(0)});
  if (!df.absent()) expect_shape(op, "df", df, f.shape());
  execute<detail::draws_impl>(backend, detail::expectation_backward_step{}, list, vector_view<const T, Space>(weights),
                              matrix_view<const T, Space>(f), matrix_view<const T, Space>(dout), a, df);
}

}  // namespace milkit::ops
