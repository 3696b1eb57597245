#pragma once

#include <milkit/core/backend.hpp>

namespace milkit::ops {

namespace detail {
template <class Backend>
struct cross_entropy_impl {
  static_assert(
      dependent_false<Backend>,
      "milkit::ops::cross_entropy: no implementation for this backend here; include "
      "<milkit/ops/training/cross_entropy_cpu.hpp> for cpu or <milkit/ops/training/cross_entropy_cuda.cuh> for cuda");
};
template <class Backend>
struct binary_cross_entropy_impl {
  static_assert(
      dependent_false<Backend>,
      "milkit::ops::binary_cross_entropy: no implementation for this backend here; include "
      "<milkit/ops/training/cross_entropy_cpu.hpp> for cpu or <milkit/ops/training/cross_entropy_cuda.cuh> for cuda");
};
}  // namespace detail

/// Cross-entropy of class logits, row by row, in log space: losses[b] = weight[label_b] (log sum_c exp z_bc -
/// z_b,label_b). Shapes: logits [n, classes], labels [n] (each 0 to classes - 1, the caller's word), class_weight
/// [classes] or absent, losses [n] or absent, dlogits [n, classes] or absent: `scale` times the gradient of the sum of
/// the losses. NaN in a row: NaN in its loss and gradient. An infinite loss (the label's logit is -infinity) is
/// infinity.
template <backend Backend, class Logits, class Labels, class Weight, class Losses, class Dlogits>
requires resident_on<Logits, Backend> && resident_on<Labels, Backend>
void cross_entropy(Backend& backend, Logits logits, Labels labels, Weight class_weight, double scale, Losses losses,
                   Dlogits dlogits) {
  using T = typename Logits::value_type;
  using Space = typename Backend::space;
  constexpr const char* op = "milkit::ops::cross_entropy";
  expect_extent(op, "extent of labels", labels.extent(0), logits.rows());
  if (!class_weight.absent()) expect_extent(op, "extent of class_weight", class_weight.extent(0), logits.cols());
  if (!losses.absent()) expect_extent(op, "extent of losses", losses.extent(0), logits.rows());
  if (!dlogits.absent()) expect_shape(op, "dlogits", dlogits, logits.shape());
  execute<detail::cross_entropy_impl>(backend, matrix_view<const T, Space>(logits),
                                      vector_view<const std::int64_t, Space>(labels),
                                      vector_view<const double, Space>(class_weight), scale,
                                      vector_view<double, Space>(losses), matrix_view<T, Space>(dlogits));
}

/// Binary cross-entropy of logits, in log space: losses[b] = -(p y log s(z) + (1 - y) log(1 - s(z))) with the logistic
/// s, the label y in {0, 1} and the weight p of the positive class. Shapes: logits [n], labels [n], losses and dlogits
/// [n] or absent.
template <backend Backend, class Logits, class Labels, class Losses, class Dlogits>
requires resident_on<Logits, Backend> && resident_on<Labels, Backend>
void binary_cross_entropy(Backend& backend, Logits logits, Labels labels, double positive_weight, double scale,
                          Losses losses, Dlogits dlogits) {
  using T = typename Logits::value_type;
  using Space = typename Backend::space;
  constexpr const char* op = "milkit::ops::binary_cross_entropy";
  expect_extent(op, "extent of labels", labels.extent(0), logits.extent(0));
  if (!losses.absent()) expect_extent(op, "extent of losses", losses.extent(0), logits.extent(0));
  if (!dlogits.absent()) expect_extent(op, "extent of dlogits", dlogits.extent(0), logits.extent(0));
  execute<detail::binary_cross_entropy_impl>(backend, vector_view<const T, Space>(logits),
                                             vector_view<const std::int64_t, Space>(labels), positive_weight, scale,
                                             vector_view<double, Space>(losses), vector_view<T, Space>(dlogits));
}

}  // namespace milkit::ops
