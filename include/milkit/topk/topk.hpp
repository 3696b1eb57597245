#pragma once

#include <milkit/nn/layer.hpp>
#include <milkit/ops/selection/selection.hpp>
#include <milkit/ops/selection/topk.hpp>

/// Top-K operators: from the scores of a bag's instances to a sparse selection of K of them. An operator has
///
///     std::int64_t k;
///     auto select(backend, scores, pass) const;     // ops::selection<T, Space> in backend.kept_memory()
///     void select_backward(backend, scores, selection, dweights, dscores, pass) const;
///
/// scores and dscores are vectors of N, dweights is the gradient of the selection's weights in their layout (as `zoom`
/// gives it). A selection has min(K, N) rows, in the order of the instances. Where K >= N every operator selects
/// everything: T is the identity, costs nothing and has no gradient. In inference (`pass.training` false) all of them
/// but `random` are the hard top-K: the K largest scores, the lower index first among equals. Ties, NaN (which ranks
/// above every number, so that a broken score is not overlooked) and infinity are those of ops/selection/topk.hpp. Errors:
/// value_error for an empty bag and K < 1.
namespace milkit::topk {

namespace detail {

template <class Scores>
ops::selection<typename Scores::value_type, typename Scores::space> allocate_selection(auto& memory, std::int64_t n,
                                                                                       std::int64_t k,
                                                                                       std::int64_t most) {
  static_assert(Scores::rank == 1, "milkit::topk: the scores are a vector, one score an instance");
  using T = typename Scores::value_type;
  ops::selection<T, typename Scores::space> selected{.instances = n, .single = most == 1};
  selected.offsets = memory.template allocate<std::int64_t>(k + 1);
  selected.columns = memory.template allocate<std::int32_t>(k * most);
  selected.weights = memory.template allocate<T>(k * most);
  return selected;
}

/// A selection of one instance a row; `fill(columns)` says which. K >= N: all of them.
template <class Scores, class Backend, class Fill>
auto select_single(Backend& backend, std::string_view op, std::int64_t n, std::int64_t k, Fill&& fill) {
  expect_value(n >= 1, op, "the bag has no instances, expected at least 1");
  expect_value(k >= 1, op, "k is ", k, ", expected at least 1");
  const auto selected = allocate_selection<Scores>(backend.kept_memory(), n, k < n ? k : n, 1);
  if (k < n) fill(selected.columns);
  ops::select_each(backend, k >= n, selected.offsets, selected.columns, selected.weights);
  return selected;
}
template <class Backend, class Scores>
auto select_hard(Backend& backend, std::string_view op, Scores scores, std::int64_t k) {
  return select_single<Scores>(backend, op, scores.extent(0), k,
                               [&](auto columns) { ops::hard_topk(backend, scores, columns); });
}

}  // namespace detail

/// What can stand where a top-K operator is asked for, on a backend that works in `Space`.
template <class P>
concept top_k = requires(const P p) {
  { p.k } -> std::convertible_to<std::int64_t>;
  { P::differentiable } -> std::convertible_to<bool>;
};

}  // namespace milkit::topk
