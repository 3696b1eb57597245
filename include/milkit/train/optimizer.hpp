#pragma once

#include <array>
#include <cmath>
#include <concepts>
#include <string>

#include <milkit/core/cpu.hpp>
#include <milkit/ops/training/optimizer_step.hpp>

namespace milkit::train {

/// What changes from step to step.
struct step_options {
  std::int64_t step = 1;      ///< counted from 1
  double learning_rate = 0;   ///< the one in force now, from the schedule
  double gradient_scale = 1;  ///< multiplies the gradient first: clipping, 1 / accumulated bags
};

/// An optimizer describes: its hyper-parameters are members, `learning_rate` the one a schedule starts from. It owns no
/// memory; `moments` says how many buffers of the weights' size the caller keeps for it, zeros at the start.
/// `settings()` is its name with all of them, by which a checkpoint knows it again. `step(backend, weights, gradient,
/// moments, options)` runs one update over flat memory.
template <class O>
concept optimizer = requires(const O& o, cpu& backend, vector_view<float> weights, vector_view<const float> gradient,
                             const std::array<vector_view<float>, static_cast<std::size_t>(O::moments)>& moments) {
  { o.learning_rate } -> std::convertible_to<double>;
  { o.settings() } -> std::convertible_to<std::string>;
  o.step(backend, weights, gradient, moments, step_options{});
};

/// Gradient descent with momentum and L2; see `ops::sgd_step`. The moment may be a default view where momentum is 0.
struct sgd {
  static constexpr int moments = 1;
  double learning_rate = 1e-2;
  double momentum = 0;
  double weight_decay = 0;

  std::string settings() const {
    return message("sgd, learning rate ", learning_rate, ", momentum ", momentum, ", weight decay ", weight_decay);
  }

  template <backend Backend, class T, class Space>
  void step(Backend& backend, vector_view<T, Space> weights, vector_view<const std::type_identity_t<T>, Space> gradient,
            const std::array<vector_view<T, Space>, 1>& moment, const step_options& now) const {
    ops::sgd_step(backend, weights, gradient, moment[0],
                  {.learning_rate = now.learning_rate,
                   .momentum = momentum,
                   .weight_decay = weight_decay,
                   .gradient_scale = now.gradient_scale});
  }
};

/// Adam (Kingma & Ba 2015) or, with `Decoupled`, AdamW (Loshchilov & Hutter 2019); see `ops::adam_step`.
template <bool Decoupled>
struct adaptive_moments {
  static constexpr int moments = 2;
  double learning_rate = 1e-3;
  double beta1 = 0.9;
  double beta2 = 0.999;
  double eps = 1e-8;
  double weight_decay = Decoupled ? 1e-2 : 0.0;

  std::string settings() const {
    return message(Decoupled ? "adamw" : "adam", ", learning rate ", learning_rate, ", betas ", beta1, " ", beta2,
                   ", eps ", eps, ", weight decay ", weight_decay);
  }

  template <backend Backend, class T, class Space>
  void step(Backend& backend, vector_view<T, Space> weights, vector_view<const std::type_identity_t<T>, Space> gradient,
            const std::array<vector_view<T, Space>, 2>& moment, const step_options& now) const {
    ops::adam_step(backend, weights, gradient, moment[0], moment[1],
                   {.step = now.step,
                    .learning_rate = now.learning_rate,
                    .beta1 = beta1,
                    .beta2 = beta2,
                    .eps = eps,
                    .weight_decay = weight_decay,
                    .decoupled = Decoupled,
                    .gradient_scale = now.gradient_scale});
  }
};
/// The decay is added to the gradient, before the moments: L2.
using adam = adaptive_moments<false>;
/// The decay shrinks the weights and leaves the gradient alone.
using adamw = adaptive_moments<true>;

/// The factor that shortens a gradient of this norm to `limit`: min(1, limit / norm); a limit of 0 means no clipping.
/// Errors: value_error for a norm that is not finite (before any weight is touched) and for a limit below 0.
inline double clip_factor(double norm, double limit) {
  expect_value(std::isfinite(norm) && norm >= 0, "milkit::train::clip_factor", "the gradient's norm is ", norm,
               ", expected a finite number");
  expect_value(limit >= 0, "milkit::train::clip_factor", "limit is ", limit, ", expected at least 0");
  return limit == 0 || norm <= limit ? 1.0 : limit / norm;
}

}  // namespace milkit::train
