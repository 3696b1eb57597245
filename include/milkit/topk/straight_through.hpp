#pragma once

#include <milkit/ops/rows/fill.hpp>
#include <milkit/topk/topk.hpp>

namespace milkit::topk {

/// The hard top-K with a straight-through gradient (Bengio, Leonard & Courville 2013): the weight 1 of the selected
/// instance n = J[k] stands for 1 + a_n - stop(a_n), so that dscores[J[k]] = dL/dT[k, J[k]], and 0 where nothing was
/// selected. Not in the papers; biased, because what was not selected gets no gradient and the order of the rows none
/// either. No noise, no parameters. K >= N: nothing was chosen, dscores is 0, as for every operator.
struct straight_through {
  static constexpr bool differentiable = true;

  std::int64_t k = 1;

  template <class Backend, class Scores>
  auto select(Backend& backend, Scores scores, const pass&) const {
    return detail::select_hard(backend, "milkit::topk::straight_through", scores, k);
  }
  template <class Backend, class Scores, class Selection, class Dweights, class Dscores>
  void select_backward(Backend& backend, Scores, const Selection& selected, Dweights dweights, Dscores dscores,
                       const pass&) const {
    if (selected.columns.extent(0) == selected.instances)
      return ops::fill(backend, dscores, typename Dscores::value_type(0));
    ops::straight_through_backward(backend, selected.columns, dweights, dscores);
  }
};

}  // namespace milkit::topk
