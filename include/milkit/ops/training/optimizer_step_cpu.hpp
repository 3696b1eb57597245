#pragma once

#include <Eigen/Core>

#include <milkit/core/compiled.hpp>
#include <milkit/core/parallel_for.hpp>
#include <milkit/ops/training/optimizer_step.hpp>

namespace milkit::ops::detail {

inline constexpr std::int64_t optimizer_chunk = std::int64_t{1} << 14;  // elements a task
inline constexpr std::int64_t optimizer_block = std::int64_t{1} << 10;  // elements: four arrays stay in the L1 cache

/// A few elements as an Eigen array: Eigen's packets hold a square root, which compilers do not vectorise without
/// -fno-math-errno.
template <class T>
auto array_at(vector_view<T> v, row_range range) {
  using array = Eigen::Array<std::remove_const_t<T>, Eigen::Dynamic, 1>;
  return Eigen::Map<std::conditional_t<std::is_const_v<T>, const array, array>>(v.data() + range.first, range.count);
}

template <class Body>
void for_each_block(cpu& backend, std::int64_t n, Body&& body) {
  parallel_for(backend, n, optimizer_chunk, [&](row_range chunk) {
    for (std::int64_t i = 0; i < chunk_count(chunk.count, optimizer_block); ++i) {
      const row_range block = chunk_at(chunk.count, optimizer_block, i);
      body(row_range{chunk.first + block.first, block.count});
    }
  });
}

template <>
struct sgd_step_impl<cpu> {
  template <class T>
  static void run(cpu& backend, vector_view<T> weights, vector_view<const T> gradient, vector_view<T> velocity,
                  const sgd_step_options& options) {
    const T rate = static_cast<T>(options.learning_rate), momentum = static_cast<T>(options.momentum);
    const T decay = static_cast<T>(options.weight_decay), scale = static_cast<T>(options.gradient_scale);
    for_each_block(backend, weights.extent(0), [&](row_range block) {
      auto theta = array_at(weights, block);
      const auto g = scale * array_at(gradient, block) + decay * theta;
      if (options.momentum == 0) {
        theta -= rate * g;
      } else {
        auto v = array_at(velocity, block);
        v = momentum * v + g;
        theta -= rate * v;
      }
    });
  }
};

template <>
struct adam_step_impl<cpu> {
  template <class T>
  static void run(cpu& backend, vector_view<T> weights, vector_view<const T> gradient, vector_view<T> first,
                  vector_view<T> second, const adam_step_options& options) {
    const double t = static_cast<double>(options.step);
    const double correction1 = 1 - std::pow(options.beta1, t), correction2 = 1 - std::pow(options.beta2, t);
    const T rate = static_cast<T>(options.learning_rate / correction1);
    const T root = static_cast<T>(1 / std::sqrt(correction2));
    const T beta1 = static_cast<T>(options.beta1), rest1 = static_cast<T>(1 - options.beta1);
    const T beta2 = static_cast<T>(options.beta2), rest2 = static_cast<T>(1 - options.beta2);
    const T eps = static_cast<T>(options.eps), scale = static_cast<T>(options.gradient_scale);
    const T decay = static_cast<T>(options.decoupled ? 0 : options.weight_decay);
    const T keep = static_cast<T>(options.decoupled ? 1 - options.learning_rate * options.weight_decay : 1);
    for_each_block(backend, weights.extent(0), [&](row_range block) {
      auto theta = array_at(weights, block);
      auto m = array_at(first, block);
      auto v = array_at(second, block);
      const auto g = scale * array_at(gradient, block) + decay * theta;
      m = beta1 * m + rest1 * g;
      v = beta2 * v + rest2 * g.square();
      theta = keep * theta - rate * m / (root * v.sqrt() + eps);
    });
  }
};

template <>
struct statistics_step_impl<cpu> {
  template <class T>
  static void run(cpu&, vector_view<T> statistics, vector_view<const T> sums) {
    const std::int64_t last = statistics.extent(0) - 1;
    const T steps = sums(last);
    if (!(steps > T(0))) return;
    for (std::int64_t i = 0; i < last; ++i) statistics(i) += sums(i) / steps;
    statistics(last) += steps;
  }
};

MILKIT_COMPILED_OP(sgd_step_impl, vector_view<T>, vector_view<const T>, vector_view<T>, sgd_step_options);
MILKIT_COMPILED_OP(adam_step_impl, vector_view<T>, vector_view<const T>, vector_view<T>, vector_view<T>,
                   adam_step_options);
MILKIT_COMPILED_OP(statistics_step_impl, vector_view<T>, vector_view<const T>);

}  // namespace milkit::ops::detail
