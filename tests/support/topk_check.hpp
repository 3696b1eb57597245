#pragma once

#include <doctest/doctest.h>

#include <milkit/ops/rows/fill_cpu.hpp>
#include <milkit/ops/selection/topk_cpu.hpp>
#include <milkit/topk/hard.hpp>
#include <milkit/topk/perturbed.hpp>

#include <reference/topk.hpp>
#include <support/golden.hpp>
#include <support/gradient_check.hpp>
#include <support/unoptimised.hpp>

MILKIT_UNOPTIMISED_BEGIN

namespace milkit::test {

template <class T>
vector_view<const T> vector_of(const std::vector<T>& values) {
  return {values.data(), {static_cast<std::int64_t>(values.size())}};
}
template <class T>
std::vector<T> rounded(const std::vector<double>& values) {
  return std::vector<T>(values.begin(), values.end());
}
template <class T, int Rank>
reference::matrix matrix_of(const tensor<T, Rank>& values) {
  return {static_cast<std::size_t>(values.rows()), static_cast<std::size_t>(values.view().row_size()),
          elements(values)};
}

/// The selection as a dense K x N matrix; checks on the way that it is what it promises to be.
template <class T>
reference::matrix dense(const ops::selection<T>& selected) {
  auto t = reference::zeros(static_cast<std::size_t>(selected.rows()), static_cast<std::size_t>(selected.instances));
  CHECK(selected.offsets(0) == 0);
  bool ascending = true;
  for (std::int64_t k = 0; k < selected.rows(); ++k)
    for (std::int64_t e = selected.offsets(k); e < selected.offsets(k + 1); ++e) {
      if (e > selected.offsets(k)) ascending = ascending && selected.columns(e) > selected.columns(e - 1);
      t(static_cast<std::size_t>(k), static_cast<std::size_t>(selected.columns(e))) =
          static_cast<double>(selected.weights(e));
    }
  CHECK(ascending);
  CHECK(selected.offsets(selected.rows()) <= selected.columns.extent(0));
  return t;
}

/// A dense gradient at the non-zeros of a selection, in their order.
template <class T>
std::vector<T> at_nonzeros(const ops::selection<T>& selected, const reference::matrix& gradient) {
  std::vector<T> values(static_cast<std::size_t>(selected.weights.extent(0)), std::numeric_limits<T>::quiet_NaN());
  for (std::int64_t k = 0; k < selected.rows(); ++k)
    for (std::int64_t e = selected.offsets(k); e < selected.offsets(k + 1); ++e)
      values[static_cast<std::size_t>(e)] =
          static_cast<T>(gradient(static_cast<std::size_t>(k), static_cast<std::size_t>(selected.columns(e))));
  return values;
}

/// One selection and its gradient, as vectors.
template <class T>
struct topk_result {
  reference::matrix indicator;
  std::vector<reference::indices> selected;  ///< of every draw, where there are draws
  std::vector<T> dscores;
};

template <class Operator, class T>
topk_result<T> run_topk(const Operator& op, const std::vector<T>& scores, const reference::matrix& upstream,
                        const pass& how = {.training = true}, int threads = 2) {
  cpu backend{.threads = threads};
  const auto scope = backend.workspace.scope();
  const auto selected = op.select(backend, vector_of(scores), how);
  topk_result<T> result{dense(selected), {}, std::vector<T>(scores.size(), T(7))};
  for (std::int64_t s = 0; s < selected.draws.rows(); ++s) {
    result.selected.emplace_back();
    for (std::int64_t k = 0; k < selected.draws.cols(); ++k)
      result.selected.back().push_back(selected.columns(selected.draws(s, k)));
  }
  const auto dweights = at_nonzeros(selected, upstream);
  op.select_backward(backend, vector_of(scores), selected, vector_of(dweights),
                     vector_view<T>(result.dscores.data(), {static_cast<std::int64_t>(scores.size())}), how);
  return result;
}

}  // namespace milkit::test

MILKIT_UNOPTIMISED_END
