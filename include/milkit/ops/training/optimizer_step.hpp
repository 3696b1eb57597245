#pragma once

#include <cmath>

#include <milkit/core/backend.hpp>

namespace milkit::ops {

/// What one step of gradient descent does; see `sgd_step`.
struct sgd_step_options {
  double learning_rate = 0;
  double momentum = 0;
  double weight_decay = 0;
  double gradient_scale = 1;  ///< multiplies the gradient first: clipping, 1 / accumulated bags
};

/// What one step of Adam does; see `adam_step`.
struct adam_step_options {
  std::int64_t step = 1;  ///< t, counted from 1
  double learning_rate = 0;
  double beta1 = 0.9;
  double beta2 = 0.999;
  double eps = 1e-8;
  double weight_decay = 0;
  bool decoupled = false;     ///< true: AdamW, false: the decay is added to the gradient
  double gradient_scale = 1;  ///< multiplies the gradient first: clipping, 1 / accumulated bags
};

namespace detail {

template <class Backend>
struct sgd_step_impl {
  static_assert(
      dependent_false<Backend>,
      "milkit::ops::sgd_step: no implementation for this backend here; include "
      "<milkit/ops/training/optimizer_step_cpu.hpp> for cpu or <milkit/ops/training/optimizer_step_cuda.cuh> for cuda");
};
template <class Backend>
struct adam_step_impl {
  static_assert(
      dependent_false<Backend>,
      "milkit::ops::adam_step: no implementation for this backend here; include "
      "<milkit/ops/training/optimizer_step_cpu.hpp> for cpu or <milkit/ops/training/optimizer_step_cuda.cuh> for cuda");
};
template <class Backend>
struct statistics_step_impl {
  static_assert(
      dependent_false<Backend>,
      "milkit::ops::statistics_step: no implementation for this backend here; include "
      "<milkit/ops/training/optimizer_step_cpu.hpp> for cpu or <milkit/ops/training/optimizer_step_cuda.cuh> for cuda");
};

inline void expect_rate(std::string_view op, std::string_view what, double got, double below) {
  expect_value(got >= 0 && got < below, op, what, " is ", got, ", expected at least 0 and ",
               below < HUGE_VAL ? message("below ", below) : std::string("finite"));
}

inline void expect_step_options(std::string_view op, double learning_rate, double weight_decay, double gradient_scale) {
  expect_rate(op, "learning_rate", learning_rate, HUGE_VAL);
  expect_rate(op, "weight_decay", weight_decay, HUGE_VAL);
  expect_value(std::isfinite(gradient_scale), op, "gradient_scale is ", gradient_scale, ", expected a finite number");
}

template <class View>
void expect_flat(std::string_view op, std::string_view what, const View& got, std::int64_t want) {
  expect_extent(op, what, got.extent(0), want);
  if (!got.contiguous()) throw shape_error(message(op, ": ", what, " has stride ", got.stride(), ", expected 1"));
}

}  // namespace detail

/// One step of gradient descent with momentum and L2, in one pass over flat memory:
///
///     g' = gradient_scale g + weight_decay theta,  v = momentum v + g',  theta -= learning_rate v
///
/// Shapes: weights, gradient and velocity [n]; where momentum is 0 velocity is not touched and may be absent. Zeros in
/// velocity make the first step v = g'. NaN in the gradient reaches weights and velocity: ask `count_nonfinite` before.
/// n = 0: nothing. Cost: O(n), no workspace; the same bits at any thread count.
/// Errors: shape_error for other sizes or strides; value_error for a rate below 0 or momentum outside [0, 1).
template <backend Backend, class T, class Space>
requires resident_on<vector_view<T, Space>, Backend>
void sgd_step(Backend& backend, vector_view<T, Space> weights,
              vector_view<const std::type_identity_t<T>, Space> gradient,
              vector_view<std::type_identity_t<T>, Space> velocity, const sgd_step_options& options) {
  constexpr auto op = "milkit::ops::sgd_step";
  const std::int64_t n = weights.extent(0);
  detail::expect_flat(op, "weights", weights, n);
  detail::expect_flat(op, "gradient", gradient, n);
  if (options.momentum != 0 || !velocity.absent()) detail::expect_flat(op, "velocity", velocity, n);
  detail::expect_step_options(op, options.learning_rate, options.weight_decay, options.gradient_scale);
  detail::expect_rate(op, "momentum", options.momentum, 1);
  execute<detail::sgd_step_impl>(backend, weights, gradient, velocity, options);
}

/// One step of Adam (Kingma and Ba, ICLR 2015) or AdamW (Loshchilov and Hutter, ICLR 2019), in one pass over memory:
///
///     g' = gradient_scale g,  then g' += weight_decay theta, or if decoupled theta -= learning_rate weight_decay theta
///     m = beta1 m + (1 - beta1) g',  v = beta2 v + (1 - beta2) g'^2
///     theta -= learning_rate m / (1 - beta1^t) / (sqrt(v / (1 - beta2^t)) + eps)
///
/// Shapes: weights, gradient, first (m) and second (v) [n]; moments start as zeros. The bias corrections are computed
/// in double. NaN in the gradient reaches weights and moments: ask `count_nonfinite` before.
/// n = 0: nothing. Cost: O(n), no workspace; the same bits at any thread count.
/// Errors: shape_error for other sizes or strides; value_error for step < 1, betas outside [0, 1), eps <= 0, rates < 0.
template <backend Backend, class T, class Space>
requires resident_on<vector_view<T, Space>, Backend>
void adam_step(Backend& backend, vector_view<T, Space> weights,
               vector_view<const std::type_identity_t<T>, Space> gradient,
               vector_view<std::type_identity_t<T>, Space> first, vector_view<std::type_identity_t<T>, Space> second,
               const adam_step_options& options) {
  constexpr auto op = "milkit::ops::adam_step";
  const std::int64_t n = weights.extent(0);
  detail::expect_flat(op, "weights", weights, n);
  detail::expect_flat(op, "gradient", gradient, n);
  detail::expect_flat(op, "first", first, n);
  detail::expect_flat(op, "second", second, n);
  detail::expect_step_options(op, options.learning_rate, options.weight_decay, options.gradient_scale);
  detail::expect_rate(op, "beta1", options.beta1, 1);
  detail::expect_rate(op, "beta2", options.beta2, 1);
  expect_value(options.eps > 0 && std::isfinite(options.eps), op, "eps is ", options.eps, ", expected above 0");
  expect_value(options.step >= 1, op, "step is ", options.step, ", expected at least 1");
  execute<detail::adam_step_impl>(backend, weights, gradient, first, second, options);
}

/// What moves a layer's running statistics after a step: where k = sums[n] is above 0, statistics[i] += sums[i] / k for i <
/// n, and the count of steps, statistics[n] += k. Shapes: both [n + 1]. Cost: O(n). Errors: shape_error.
template <backend Backend, class T, class Space>
requires resident_on<vector_view<T, Space>, Backend>
void statistics_step(Backend& backend, vector_view<T, Space> statistics,
                     vector_view<const std::type_identity_t<T>, Space> sums) {
  constexpr auto op = "milkit::ops::statistics_step";
  if (statistics.extent(0) < 1) throw shape_error(message(op, ": there is no count of steps in statistics"));
  detail::expect_flat(op, "statistics", statistics, statistics.extent(0));
  detail::expect_flat(op, "sums", sums, statistics.extent(0));
  execute<detail::statistics_step_impl>(backend, statistics, sums);
}

}  // namespace milkit::ops
