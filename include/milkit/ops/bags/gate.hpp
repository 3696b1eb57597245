#pragma once

#include <milkit/ops/rows/activation.hpp>

namespace milkit::ops {

/// What the scores of an attention are made of: `heads` independent scores an instance, each from one branch,
/// z = w . f(v), or from two, z = w . (f(v) * sigmoid(u)), of `width` L.
struct gate_shape {
  std::int64_t width = 0;
  int branches = 2;
  int heads = 1;
  /// Columns of the branches' matrix: [V_1 | U_1 | V_2 | U_2 | ...], L columns each.
  MILKIT_HD constexpr std::int64_t columns() const { return width * branches * heads; }
};

namespace detail {
template <class Backend>
struct gate_impl {
  static_assert(
      dependent_false<Backend>,
      "milkit::ops::gate: no implementation for this backend here; include <milkit/ops/bags/gate_cpu.hpp> for cpu or "
      "<milkit/ops/bags/gate_cuda.cuh> for cuda");
};
template <class Backend>
struct gate_backward_impl {
  static_assert(
      dependent_false<Backend>,
      "milkit::ops::gate_backward: no implementation for this backend here; include <milkit/ops/bags/gate_cpu.hpp> for "
      "cpu or <milkit/ops/bags/gate_cuda.cuh> for cuda");
};

template <class Backend, class Branches, class Mask>
void expect_gate(const char* op, const gate_shape& gate, Branches branches, Mask mask) {
  expect_extent(op, "columns of the branches", branches.cols(), gate.columns());
  if (!mask.absent()) expect_shape(op, "mask", mask, branches.shape());
}
}  // namespace detail

/// Scores of (gated) attention from the products of its branches (Ilse et al. 2018, eq. 8 and 9):
/// logits[i, h] = bias_h + w_h . g_ih with g_ih = f(v_ih), or f(v_ih) * sigmoid(u_ih) with two branches; `Function` is
/// f, and v and u are the given products plus `branch_bias`. Shapes: branches [n, columns], branch_bias [columns] or
/// absent, w [heads, L], bias [heads] or absent, mask as branches or absent (dropout: kept entries of f(v) and of
/// sigmoid(u) are multiplied by `scale`), logits [n, heads]. On return `branches` holds what the backward pass wants:
/// sigmoid(u), and f(v), or v where f's slope is not a function of its output (gelu). Cost: O(n L).
template <backend Backend, class Function, class Branches, class BranchBias, class ScoreWeights, class Bias, class Mask,
          class Logits>
requires resident_on<Branches, Backend> && resident_on<BranchBias, Backend> && resident_on<ScoreWeights, Backend> &&
    resident_on<Bias, Backend> && resident_on<Mask, Backend> && resident_on<Logits, Backend>
void gate(Backend& backend, const gate_shape& gate, Function f, Branches branches, BranchBias branch_bias,
          ScoreWeights w, Bias bias, Mask mask, double scale, Logits logits) {
  using T = typename Logits::value_type;
  using Space = typename Backend::space;
  detail::expect_gate<Backend>("milkit::ops::gate", gate, branches, mask);
  expect_shape("milkit::ops::gate", "w", w, shape<2>{gate.heads, gate.width});
  if (!branch_bias.absent())
    expect_extent("milkit::ops::gate", "extent of branch_bias", branch_bias.extent(0), gate.columns());
  expect_contiguous("milkit::ops::gate", "branch_bias", branch_bias);
  if (!bias.absent()) expect_extent("milkit::ops::gate", "extent of bias", bias.extent(0), gate.heads);
  expect_shape("milkit::ops::gate", "logits", logits, shape<2>{branches.rows(), gate.heads});
  execute<detail::gate_impl>(backend, gate, f, matrix_view<T, Space>(branches),
                             vector_view<const T, Space>(branch_bias), matrix_view<const T, Space>(w),
                             vector_view<const T, Space>(bias), matrix_view<const std::uint8_t, Space>(mask),
                             static_cast<T>(scale), matrix_view<T, Space>(logits));
}

/// Backward of `gate` from dlogits [n, heads]: overwrites `branches`, as forward left them, by the gradients of v and
/// u, and adds to dw [heads, L] and dbias [heads] (absent without bias). The gradient of branch_bias is the column sums
/// of branches.
template <backend Backend, class Function, class Branches, class ScoreWeights, class Mask, class Dlogits, class Dw,
          class Dbias>
requires resident_on<Branches, Backend> && resident_on<ScoreWeights, Backend> && resident_on<Mask, Backend> &&
    resident_on<Dlogits, Backend> && resident_on<Dw, Backend> && resident_on<Dbias, Backend>
void gate_backward(Backend& backend, const gate_shape& gate, Function f, Branches branches, ScoreWeights w, Mask mask,
                   double scale, Dlogits dlogits, Dw dw, Dbias dbias) {
  using T = typename Branches::value_type;
  using Space = typename Backend::space;
  detail::expect_gate<Backend>("milkit::ops::gate_backward", gate, branches, mask);
  expect_shape("milkit::ops::gate_backward", "w", w, shape<2>{gate.heads, gate.width});
  expect_shape("milkit::ops::gate_backward", "dlogits", dlogits, shape<2>{branches.rows(), gate.heads});
  expect_shape("milkit::ops::gate_backward", "dw", dw, shape<2>{gate.heads, gate.width});
  if (!dbias.absent()) expect_extent("milkit::ops::gate_backward", "extent of dbias", dbias.extent(0), gate.heads);
  execute<detail::gate_backward_impl>(backend, gate, f, matrix_view<T, Space>(branches), matrix_view<const T, Space>(w),
                                      matrix_view<const std::uint8_t, Space>(mask), static_cast<T>(scale),
                                      matrix_view<const T, Space>(dlogits), matrix_view<T, Space>(dw),
                                      vector_view<T, Space>(dbias));
}

}  // namespace milkit::ops
