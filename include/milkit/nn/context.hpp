#pragma once

#include <array>
#include <tuple>
#include <type_traits>

#include <milkit/core/backend.hpp>
#include <milkit/core/random.hpp>
#include <milkit/nn/parameter_list.hpp>

namespace milkit {

/// One pass through a network: whether it trains (dropout is on), its random numbers, and which instance row 0 of the
/// input is, so that a bag in chunks draws the numbers of the whole bag. A trainer also says in which epoch it is, counted from
/// 0, and with which labels the bags of this step come, for losses that depend on them.
struct pass {
  bool training = false;
  random_stream random = {};
  std::int64_t first_row = 0;
  std::int64_t epoch = 0;
  vector_view<const std::int64_t> step_labels = {};

  /// The pass through the `i`-th child of a combinator, with random numbers of its own.
  pass child(std::uint64_t i) const { return {training, random.child(i), first_row, epoch, step_labels}; }
  pass from_row(std::int64_t row) const { return {training, random, first_row + row, epoch, step_labels}; }
};

/// Where a layer works: the backend, its own stretch of the flat weights and, on the way back, of the gradient, and the
/// pass: `context{cpu, weights.flat(), gradient.flat(), pass{.training = true}}`. A parent gives each child one of its own.
template <class Backend, class T>
struct context {
  using value_type = T;
  using space = typename Backend::space;

  Backend& backend;
  vector_view<const T, space> weights;
  vector_view<T, space> gradient = {};  ///< absent in a forward pass, and where all is frozen
  milkit::pass pass = {};

  /// What the layer's `list` lists, as views: of parameters, and of children the stretches.
  template <class Layer>
  auto weights_of(const Layer& layer) const {
    parameter_views<const T, space> views(weights);
    return detail::listed(layer, views);
  }
  /// The same of the gradient, to which backward adds; those of frozen parameters are absent.
  template <class Layer>
  auto gradients_of(const Layer& layer) const {
    parameter_views<T, space> views(gradient, true);
    return detail::listed(layer, views);
  }

  /// For ops that cannot leave a gradient out: `wanted` or, where that is absent, memory of the workspace in the
  /// shape of `like` that nobody reads, which the caller's scope releases.
  template <int Rank, class Like>
  view<T, Rank, space> or_unused(view<T, Rank, space> wanted, const Like& like) const {
    return wanted.absent() ? backend.workspace.template allocate<T>(like.shape()) : wanted;
  }

  /// That of a child, the entry `Index` of the parent's list, with random numbers of its own: of stream `Index`, unless the
  /// parent numbers them otherwise.
  template <int Index, class Layer>
  context child(const Layer& parent, std::uint64_t stream = Index) const {
    constexpr auto entry = static_cast<std::size_t>(Index);
    return {backend, std::get<entry>(weights_of(parent)), std::get<entry>(gradients_of(parent)), pass.child(stream)};
  }

  /// The same, elsewhere: on one of the backend's workers, into another gradient, for rows from there on, with other random
  /// numbers.
  context on(Backend& worker) const { return {worker, weights, gradient, pass}; }
  context into(vector_view<T, space> other) const { return {backend, weights, other, pass}; }
  context from_row(std::int64_t row) const { return {backend, weights, gradient, pass.from_row(row)}; }
  context stream(std::uint64_t i) const { return {backend, weights, gradient, pass.child(i)}; }
};
template <class Backend, class T, class Space>
context(Backend&, view<T, 1, Space>, std::type_identity_t<view<std::remove_const_t<T>, 1, Space>> = {}, pass = {})
    -> context<Backend, std::remove_const_t<T>>;

}  // namespace milkit
