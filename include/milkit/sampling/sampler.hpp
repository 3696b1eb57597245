#pragma once

#include <algorithm>
#include <concepts>
#include <cstdlib>
#include <limits>

#include <milkit/core/cpu.hpp>
#include <milkit/nn/layer.hpp>
#include <milkit/ops/selection/draws.hpp>

/// Samplers: from distributions to draws, with the estimator that makes them an unbiased stand-in for the expectation
/// Phi = sum_i p_i f_i and its gradient. A sampler has
///
///     auto draw(backend, distributions, draws, drawing, random) const;   // drawn<T, Space>
///     ops::draw_rule rule() const;                              // how weights and gradient follow from the draws
///     static constexpr bool repeats;                            // any number of draws; else at most the items
///
/// `draws` [S] on the host says how many draws each row of the distributions gets. F = sum_k weights_k f_{I_k} over a
/// row's draws (`ops::expectation`); of an unbiased sampler E F = Phi, and `add_logit_gradient` has the gradient of the
/// logits as its mean. The features' gradient is dF times `backward`. Draws are a function of the stream, the row's
/// number and the item: of no thread, chunk or other row, and the same on CPU and card. Noise is never stored. Memory
/// comes from the backend's workspace and lasts until the caller's scope ends. Errors: those of ops/selection/draws.hpp.
namespace milkit::sampling {

/// Whether to draw, or to take what is most likely: for inference without chance.
enum class drawing { random, most_likely };

/// Rows of probabilities over the same number of items.
template <class T, class Space = host_space>
struct distributions {
  matrix_view<const T, Space> p;                 ///< [R, items]
  vector_view<const std::int64_t> rows = {};     ///< [S] on the host: those that are drawn from; absent: all
  vector_view<const std::int64_t> numbers = {};  ///< [S] on the host: what their noise goes by; absent: 0, 1, ...
  std::int64_t most = -1;  ///< draws of all rows together at most, for a planning backend; -1: every item of every row

  std::int64_t count() const { return rows.absent() ? p.rows() : rows.extent(0); }
  /// How many items a planning backend counts with.
  std::int64_t planned() const { return most < 0 ? count() * p.cols() : (std::min)(most, count() * p.cols()); }
};

/// What was drawn, row by row; each item once in a row.
template <class T, class Space = host_space>
struct drawn {
  vector_view<const std::int64_t> offsets;        ///< [S + 1] on the host
  vector_view<const std::int32_t> items;          ///< [M] on the host
  vector_view<const std::int64_t> counts;         ///< [M] on the host: how often
  ops::draw_list<Space> list;                     ///< the same where the backend works
  vector_view<const T, Space> weights, backward;  ///< [M]
};

/// What can stand where a sampler is asked for.
template <class S>
concept sampler = requires(const S s, cpu& backend, const distributions<double>& of,
                           vector_view<const std::int64_t> draws) {
  { S::repeats } -> std::convertible_to<bool>;
  { s.rule() } -> std::same_as<ops::draw_rule>;
  { s.draw(backend, of, draws, drawing::random, random_stream()) } -> std::same_as<drawn<double>>;
};

namespace detail {

/// A table of the host, filled by f(i) unless the backend only plans.
template <class T, class Backend, class Value>
vector_view<T> host_table(Backend& backend, std::int64_t size, Value&& f) {
  const auto table = backend.workspace.template allocate_on_host<T>(size);
  for (std::int64_t i = 0; i < size && !backend.workspace.planning(); ++i) table(i) = f(i);
  return table;
}

/// Where row s's draws begin, with count(s) of them.
template <class Backend, class Count>
vector_view<const std::int64_t> offsets_of(Backend& backend, std::int64_t rows, Count&& count) {
  const auto offsets = backend.workspace.template allocate_on_host<std::int64_t>(rows + 1);
  if (!backend.workspace.planning()) offsets(0) = 0;
  for (std::int64_t s = 0; s < rows && !backend.workspace.planning(); ++s) offsets(s + 1) = offsets(s) + count(s);
  return offsets;
}

/// The rows, their numbers and where their draws are, for kernels. The items are still to come.
template <class T, class Space, class Backend>
drawn<T, Space> begin(Backend& backend, const distributions<T, Space>& of, vector_view<const std::int64_t> offsets) {
  drawn<T, Space> made;
  made.offsets = offsets;
  made.list.offsets = to_backend(backend, offsets);
  if (!of.rows.absent()) made.list.rows = to_backend(backend, of.rows);
  return made;
}

/// The weights of draws by a rule.
template <class T, class Space, class Backend>
void weigh(Backend& backend, const ops::draw_rule& rule, const distributions<T, Space>& of, drawn<T, Space>& made) {
  const std::int64_t size = made.list.items.extent(0);
  const auto weights = backend.workspace.template allocate<T>(size);
  const bool differs = rule.estimator == ops::draw_estimator::official_zoom_in;
  const auto backward = differs ? backend.workspace.template allocate<T>(size) : vector_view<T, Space>();
  ops::draw_weights(backend, rule, of.p, made.list, weights, backward);
  made.weights = weights;
  made.backward = differs ? backward : weights;
}

/// Each item once, by an op that writes `items` where the backend works.
template <class T, class Space, class Backend, class Fill>
drawn<T, Space> without_repeats(Backend& backend, const distributions<T, Space>& of,
                                vector_view<const std::int64_t> draws, const ops::draw_rule& rule, Fill&& fill) {
  const bool planning = backend.workspace.planning();
  constexpr auto op = "milkit::sampling";
  if (!planning) expect_extent(op, "extent of draws", draws.extent(0), of.count());
  for (std::int64_t s = 0; s < of.count() && !planning; ++s)
    expect_value(draws(s) >= 0 && draws(s) <= of.p.cols(), op, draws(s), " draws without replacement from ",
                 of.p.cols(), " items; expected at most as many as there are (sampling::clamp_draws)");
  auto made = begin(backend, of, offsets_of(backend, of.count(), [&](std::int64_t s) { return draws(s); }));
  const std::int64_t size = planning ? of.planned() : made.offsets(of.count());
  const auto items = backend.workspace.template allocate<std::int32_t>(size);
  fill(made.list, items);
  made.list.items = items;
  made.items = to_host(backend, vector_view<const std::int32_t, Space>(items));
  made.counts = host_table<std::int64_t>(backend, size, [](std::int64_t) { return 1; });
  weigh(backend, rule, of, made);
  return made;
}

/// The draws of a table of counts on the host, counts(s, i) of them item i of row s: F = sum_i n_i / n f_i. A count
/// below 0 is what `ops::draw_counts` makes of NaN: so many draws, of the weight NaN.
template <class T, class Space, class Backend, class Counts>
drawn<T, Space> with_counts(Backend& backend, const distributions<T, Space>& of, Counts&& counts) {
  const bool planning = backend.workspace.planning();
  const std::int64_t rows = of.count(), items = of.p.cols();
  const auto offsets = offsets_of(backend, rows, [&](std::int64_t s) {
    std::int64_t distinct = 0;
    for (std::int64_t i = 0; i < items; ++i) distinct += counts(s, i) != 0;
    return distinct;
  });
  const std::int64_t size = planning ? of.planned() : offsets(rows);
  const auto which = backend.workspace.template allocate_on_host<std::int32_t>(size);
  const auto often = backend.workspace.template allocate_on_host<std::int64_t>(size);
  const auto weights = backend.workspace.template allocate_on_host<T>(size);
  for (std::int64_t s = 0, k = 0; s < rows && !planning; ++s) {
    std::int64_t all = 0;
    for (std::int64_t i = 0; i < items; ++i) all += std::abs(counts(s, i));
    for (std::int64_t i = 0; i < items; ++i) {
      const std::int64_t own = counts(s, i);
      if (own == 0) continue;
      which(k) = static_cast<std::int32_t>(i);
      often(k) = std::abs(own);
      weights(k++) = own < 0 ? std::numeric_limits<T>::quiet_NaN()
                             : static_cast<T>(static_cast<double>(own) / static_cast<double>(all));
    }
  }
  auto made = begin(backend, of, offsets);
  made.items = which;
  made.counts = often;
  made.list.items = to_backend(backend, made.items);
  made.weights = made.backward = to_backend(backend, vector_view<const T>(weights));
  return made;
}

/// What the noise of each row goes by.
template <class T, class Space, class Backend>
auto numbers_of(Backend& backend, const distributions<T, Space>& of) {
  vector_view<const std::int64_t> numbers = of.numbers;
  if (numbers.absent()) numbers = host_table<std::int64_t>(backend, of.count(), [](std::int64_t s) { return s; });
  return to_backend(backend, numbers);
}

}  // namespace detail

/// From a_k = <dL/dF, f_{I_k}> to d_k = dL / d log p of each draw, d [M] in the workspace.
template <class Backend, class Sampler, class T, class Space, class Upstream>
vector_view<T, Space> log_gradient(Backend& backend, const Sampler& by, const distributions<T, Space>& of,
                                   const drawn<T, Space>& made, Upstream a) {
  static_assert(sampler<Sampler>,
                "milkit::sampling::log_gradient: the second argument is a sampler (sampling/sampler.hpp)");
  const auto d = backend.workspace.template allocate<T>(a.extent(0));
  ops::draw_log_gradient(backend, by.rule(), of.p, made.list, made.weights, a, d);
  return d;
}

}  // namespace milkit::sampling
