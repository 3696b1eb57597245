#pragma once

#include <algorithm>
#include <tuple>
#include <utility>

#include <milkit/core/cpu.hpp>
#include <milkit/nn/layer.hpp>
#include <milkit/ops/rows/fill.hpp>
#include <milkit/ops/rows/softmax.hpp>

/// What all networks share.
namespace milkit::models {

/// Rows of the backend in memory of the host.
template <backend Backend, class T>
tensor<T, 2> on_host(Backend&, tensor<T, 2, typename Backend::space> rows) {
  if constexpr (is_cpu<Backend>) return rows;
  else return rows.template to<host_space>();
}
template <backend Backend, class Rows>
requires is_view<Rows> tensor<typename Rows::value_type, 2> on_host(Backend& backend, Rows rows) {
  tensor<typename Rows::value_type, 2, typename Backend::space> values(rows.shape());
  ops::copy_rows(backend, rows, values.view());
  return on_host(backend, std::move(values));
}

/// The probabilities that logits [n, classes] mean, in memory of the host: their softmax, [n, classes]. A single logit z
/// (of a network trained by loss::binary_cross_entropy) is the pair of logits 0 and z, so that its probabilities are those
/// of two classes, [n, 2]: 1 - s(z) and s(z), s the logistic function.
template <backend Backend, class Logits>
tensor<typename Logits::value_type, 2> probabilities_of(Backend& backend, Logits logits) {
  using T = typename Logits::value_type;
  using Space = typename Backend::space;
  const auto scope = backend.workspace.scope();
  const shape<2> pairs{logits.rows(), (std::max)(logits.cols(), std::int64_t{2})};
  const auto probabilities = backend.workspace.template allocate<T>(pairs);
  matrix_view<const T, Space> scores = logits;
  if (logits.cols() == 1) {
    const auto pair = backend.workspace.template allocate<T>(pairs);
    ops::fill(backend, pair, T(0));
    ops::copy_rows(backend, logits, pair.columns(1, 1));
    scores = pair;
  }
  ops::softmax(backend, scores, probabilities, vector_view<T, Space>());
  return on_host(backend, probabilities);
}

namespace detail {
template <class Layer>
concept has_width_in = requires(const Layer& layer) {
  layer.in;
};

template <class Layer>
std::int64_t width_of_input(const Layer& layer);
template <std::size_t Index, class Layers>
std::int64_t first_width(const Layers& layers) {
  if constexpr (std::tuple_element_t<Index, Layers>::in_features == any_features) return first_width<Index + 1>(layers);
  else return width_of_input(std::get<Index>(layers));
}
/// The number of features that a layer takes, also where it is known at run time: of several, that of the first which asks
/// for one.
template <class Layer>
std::int64_t width_of_input(const Layer& layer) {
  if constexpr (Layer::in_features >= 0) return Layer::in_features;
  else if constexpr (has_width_in<Layer>) return layer.in;
  else return first_width<0>(layer.layers);
}
}  // namespace detail

}  // namespace milkit::models
