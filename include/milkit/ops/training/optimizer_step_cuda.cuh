#pragma once

#include <milkit/ops/rows/fill_cuda.cuh>
#include <milkit/ops/training/optimizer_step.hpp>

namespace milkit::ops::detail {

/// One pass over flat memory: `step` updates an element of the weights and of its `Moments` moments from its gradient. Where all
/// arrays start at multiples of 16 bytes they move 16 bytes at a time.
template <class Step, class T, int Moments>
struct optimizer_step_kernel {
  static constexpr int threads = 256, size = pack<T>::size;
  static constexpr unsigned kept = Moments > 0 ? Moments : 1;
  Step step;
  T* weights;
  const T* gradient;
  T* moments[kept];
  std::int64_t count;
  bool aligned;

  __device__ void operator()() const {
    const std::int64_t packs = aligned ? count / size : 0;
    for (std::int64_t i = grid_position::thread(); i < packs; i += grid_position::threads()) move_pack(i);
    for (std::int64_t i = packs * size + grid_position::thread(); i < count; i += grid_position::threads()) {
      T moment[kept] = {};
      for (int m = 0; m < Moments; ++m) moment[m] = moments[m][i];
      step(weights[i], gradient[i], moment);
      for (int m = 0; m < Moments; ++m) moments[m][i] = moment[m];
    }
  }

  __device__ void move_pack(std::int64_t i) const {
    pack<T> theta(weights + i * size), g(gradient + i * size), state[kept];
    for (int m = 0; m < Moments; ++m) state[m].load(moments[m] + i * size);
    for (int k = 0; k < size; ++k) {
      T moment[kept] = {};
      for (int m = 0; m < Moments; ++m) moment[m] = state[m].each[k];
      step(theta.each[k], g.each[k], moment);
      for (int m = 0; m < Moments; ++m) state[m].each[k] = moment[m];
    }
    theta.store(weights + i * size);
    for (int m = 0; m < Moments; ++m) state[m].store(moments[m] + i * size);
  }
};

template <class T>
struct sgd_element {
  T rate, momentum, decay, scale;
  __device__ void operator()(T& theta, T gradient, T* moment) const {
    const T g = scale * gradient + decay * theta;
    moment[0] = momentum == T(0) ? g : momentum * moment[0] + g;
    theta -= rate * moment[0];
  }
};

template <class T>
struct adam_element {
  T rate, root, beta1, rest1, beta2, rest2, eps, scale, decay, keep;
  __device__ void operator()(T& theta, T gradient, T* moment) const {
    using std::sqrt;
    const T g = scale * gradient + decay * theta;
    moment[0] = beta1 * moment[0] + rest1 * g;
    moment[1] = beta2 * moment[1] + rest2 * (g * g);
    theta = keep * theta - rate * moment[0] / (root * sqrt(moment[1]) + eps);
  }
};

template <int Moments, class Step, class T, class... Moment>
void launch_optimizer_step(cuda& backend, const Step& step, device_vector<T> weights, device_vector<const T> gradient,
                           Moment... moments) {
  const bool aligned = pack<T>::aligned(weights.data()) && pack<T>::aligned(gradient.data()) &&
                       (pack<T>::aligned(moments.data()) && ...);
  using kernel = optimizer_step_kernel<Step, T, Moments>;
  const std::int64_t count = weights.extent(0), items = aligned ? chunk_count(count, kernel::size) : count;
  launch(backend, {blocks_for(backend, items, kernel::threads)},
         kernel{step, weights.data(), gradient.data(), {moments.data()...}, count, aligned});
}

template <>
struct sgd_step_impl<cuda> {
  template <class T>
  static void run(cuda& backend, device_vector<T> weights, device_vector<const T> gradient, device_vector<T> velocity,
                  const sgd_step_options& options) {
    const sgd_element<T> step{static_cast<T>(options.learning_rate), static_cast<T>(options.momentum),
                              static_cast<T>(options.weight_decay), static_cast<T>(options.gradient_scale)};
    if (options.momentum == 0) launch_optimizer_step<0>(backend, step, weights, gradient);
    else launch_optimizer_step<1>(backend, step, weights, gradient, velocity);
  }
};

template <>
struct adam_step_impl<cuda> {
  template <class T>
  static void run(cuda& backend, device_vector<T> weights, device_vector<const T> gradient, device_vector<T> first,
                  device_vector<T> second, const adam_step_options& options) {
    const double t = static_cast<double>(options.step);
    const double correction1 = 1 - std::pow(options.beta1, t), correction2 = 1 - std::pow(options.beta2, t);
    const adam_element<T> step{
        .rate = static_cast<T>(options.learning_rate / correction1),
        .root = static_cast<T>(1 / std::sqrt(correction2)),
        .beta1 = static_cast<T>(options.beta1),
        .rest1 = static_cast<T>(1 - options.beta1),
        .beta2 = static_cast<T>(options.beta2),
        .rest2 = static_cast<T>(1 - options.beta2),
        .eps = static_cast<T>(options.eps),
        .scale = static_cast<T>(options.gradient_scale),
        .decay = static_cast<T>(options.decoupled ? 0 : options.weight_decay),
        .keep = static_cast<T>(options.decoupled ? 1 - options.learning_rate * options.weight_decay : 1),
    };
    launch_optimizer_step<2>(backend, step, weights, gradient, first, second);
  }
};

template <class T>
struct statistics_step_element {
  device_vector<T> statistics;
  device_vector<const T> sums;
  __device__ void operator()(std::int64_t, std::int64_t i) const {
    const std::int64_t last = statistics.extent(0) - 1;
    if (const T steps = sums(last); steps > T(0)) statistics(i) += i < last ? sums(i) / steps : steps;
  }
};

template <>
struct statistics_step_impl<cuda> {
  template <class T>
  static void run(cuda& backend, device_vector<T> statistics, device_vector<const T> sums) {
    for_each_element(backend, 1, statistics.extent(0), statistics_step_element<T>{statistics, sums});
  }
};

}  // namespace milkit::ops::detail
