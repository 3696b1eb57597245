#pragma once

#include <milkit/ops/rows/fill.hpp>
#include <milkit/topk/topk.hpp>

namespace milkit::topk {

using jacobian = ops::topk_jacobian;

/// What a perturbed top-K draws from: the pass' random numbers, or noise that a test gives.
struct noise_of_pass {
  ops::drawn_noise at(const pass& pass) const { return {pass.random}; }
};
template <class T, class Space = host_space>
struct noise_of_table : ops::given_noise<T, Space> {
  const ops::given_noise<T, Space>& at(const pass&) const { return *this; }
};

/// Perturbed top-K (Cordonnier et al. 2021; Thandiackal et al. 2022, eq. 4 and 5; docs/papers/zoommil.md 2.4, 2.5). J_s
/// are the K
/// largest of a + sigma Z_s, Z_s ~ N(0, I), by ascending index; T[k, n] = #{s : J_s[k] = n} / S; every row of T sums
/// to 1. sigma is absolute, or with `relative` in units of 1 / N, the mean of attention weights. The gradient is an
/// estimate of E[dT] from the same draws, whose noise is made again from the pass' random stream (seed, step, block;
/// instance and draw are its counter) and never stored: `full` (the default) is unbiased, with the mean of the other
/// draws as a baseline; `full_without_baseline` is unbiased and noisier; `diagonal` is what the official code does and
/// biased (docs/papers/zoommil.md 6). Kept for backward: S K integers. Cost: S N numbers of noise each way, no S K N or
/// K N
/// elements. Errors: value_error for K < 1, an empty bag, S < 1 (S < 2 with the baseline), sigma not positive or
/// infinite.
template <class Noise = noise_of_pass>
struct basic_perturbed {
  static constexpr bool differentiable = true;

  std::int64_t k = 1;
  std::int64_t samples = 100;
  double sigma = 0.002;
  bool relative = false;
  topk::jacobian jacobian = topk::jacobian::full;
  [[no_unique_address]] Noise noise = {};

  template <class Backend, class Scores>
  auto select(Backend& backend, Scores scores, const pass& pass) const {
    constexpr auto op = "milkit::topk::perturbed";
    const std::int64_t n = scores.extent(0);
    expect_options(op);
    if (!pass.training || k < 1 || k >= n) return detail::select_hard(backend, op, scores, k);
    auto selected = detail::allocate_selection<Scores>(backend.kept_memory(), n, k, samples < n ? samples : n);
    selected.draws = backend.kept_memory().template allocate<std::int32_t>(shape<2>{samples, k});
    ops::perturbed_topk(backend, noise.at(pass), scores, sigma_at(n), selected.draws);
    ops::count_draws(backend, n, selected.draws, selected.offsets, selected.columns, selected.weights);
    return selected;
  }
  template <class Backend, class Scores, class Selection, class Dweights, class Dscores>
  void select_backward(Backend& backend, Scores, const Selection& selected, Dweights dweights, Dscores dscores,
                       const pass& pass) const {
    if (selected.draws.absent()) return ops::fill(backend, dscores, typename Dscores::value_type(0));
    ops::perturbed_topk_backward(backend, noise.at(pass), jacobian, selected.draws, selected.columns, dweights,
                                 sigma_at(selected.instances), dscores);
  }

 private:
  double sigma_at(std::int64_t n) const { return relative ? sigma / static_cast<double>(n) : sigma; }
  void expect_options(std::string_view op) const {
    const std::int64_t fewest = jacobian == topk::jacobian::full ? 2 : 1;
    expect_value(samples >= fewest, op, "samples is ", samples, ", expected at least ", fewest,
                 fewest == 2 ? ": the baseline of a draw is the mean of the others" : "");
    ops::detail::expect_sigma(op, sigma);
  }
};
using perturbed = basic_perturbed<>;

}  // namespace milkit::topk
