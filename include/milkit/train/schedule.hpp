#pragma once

#include <array>
#include <cmath>
#include <concepts>
#include <cstdint>
#include <limits>
#include <numbers>
#include <string>

#include <milkit/core/error.hpp>

namespace milkit::train {

/// What a schedule remembers of the losses it was told; plain data, three doubles in a checkpoint. A schedule that
/// looks at the epoch alone leaves it as it is.
struct schedule_state {
  double best = std::numeric_limits<double>::infinity();
  std::int64_t waited = 0;      ///< epochs in a row without a better loss
  std::int64_t reductions = 0;  ///< how often the rate was reduced

  std::array<double, 3> to_doubles() const {
    return {best, static_cast<double>(waited), static_cast<double>(reductions)};
  }
  static schedule_state from_doubles(const std::array<double, 3>& values) {
    return {values[0], static_cast<std::int64_t>(values[1]), static_cast<std::int64_t>(values[2])};
  }
  friend bool operator==(const schedule_state&, const schedule_state&) = default;
};

/// A schedule describes: `rate(base, epoch, state)` is the learning rate in force during that epoch, counted from 0,
/// where `base` is the optimizer's; `observe(state, loss)` is told the validation loss at the end of each epoch;
/// `settings()` is its name with its options, by which a checkpoint knows it again.
template <class S>
concept schedule = requires(const S& s, const schedule_state& state, schedule_state& mutable_state) {
  { s.rate(1e-3, std::int64_t{0}, state) } -> std::convertible_to<double>;
  s.observe(mutable_state, 0.5);
  { s.settings() } -> std::convertible_to<std::string>;
};

namespace detail {

inline void expect_epoch(std::string_view schedule, std::int64_t epoch) {
  expect_value(epoch >= 0, schedule, "epoch is ", epoch, ", expected 0 or more");
}
inline void expect_factor(std::string_view schedule, double factor) {
  expect_value(factor > 0 && factor <= 1, schedule, "factor is ", factor, ", expected above 0 and at most 1");
}
inline void expect_minimum(std::string_view schedule, double minimum, double base) {
  expect_value(minimum >= 0 && minimum <= base, schedule, "minimum is ", minimum,
               ", expected from 0 to the learning rate ", base);
}

}  // namespace detail

/// rate = base.
struct constant_schedule {
  std::string settings() const { return "constant rate"; }
  double rate(double base, std::int64_t, const schedule_state&) const { return base; }
  void observe(schedule_state&, double) const {}
};

/// rate = base factor^floor(epoch / period). Errors: value_error for a period below 1 or a factor outside (0, 1].
struct step_schedule {
  double factor = 0.1;
  std::int64_t period = 30;  ///< epochs

  std::string settings() const { return message("rate times ", factor, " every ", period, " epochs"); }
  double rate(double base, std::int64_t epoch, const schedule_state&) const {
    detail::expect_epoch("milkit::train::step_schedule", epoch);
    detail::expect_factor("milkit::train::step_schedule", factor);
    expect_value(period >= 1, "milkit::train::step_schedule", "period is ", period, ", expected at least 1");
    return base * std::pow(factor, static_cast<double>(epoch / period));
  }
  void observe(schedule_state&, double) const {}
};

/// rate = minimum + (base - minimum) (1 + cos(pi epoch / epochs)) / 2, and minimum from epoch `epochs` on (Loshchilov
/// and Hutter, "SGDR", ICLR 2017, one cycle). Errors: value_error for epochs below 1 or a minimum outside [0, base].
struct cosine_schedule {
  std::int64_t epochs = 100;
  double minimum = 0;

  std::string settings() const { return message("cosine rate over ", epochs, " epochs to ", minimum); }
  double rate(double base, std::int64_t epoch, const schedule_state&) const {
    detail::expect_epoch("milkit::train::cosine_schedule", epoch);
    detail::expect_minimum("milkit::train::cosine_schedule", minimum, base);
    expect_value(epochs >= 1, "milkit::train::cosine_schedule", "epochs is ", epochs, ", expected at least 1");
    if (epoch >= epochs) return minimum;
    const double angle = std::numbers::pi * static_cast<double>(epoch) / static_cast<double>(epochs);
    return minimum + (base - minimum) * (1 + std::cos(angle)) / 2;
  }
  void observe(schedule_state&, double) const {}
};

/// The rate times `factor`, not below `minimum`, after more than `patience` epochs in a row whose loss was not better;
/// then the count starts again. Better: loss < best - threshold |best|. A NaN loss is not better. To watch a figure
/// that should grow, report its negative. Errors: value_error for a factor outside (0, 1], a negative patience or
/// threshold, or a minimum outside [0, base].
struct reduce_on_plateau {
  double factor = 0.1;
  std::int64_t patience = 10;
  double threshold = 1e-4;
  double minimum = 0;

  std::string settings() const {
    return message("rate times ", factor, " on a plateau of ", patience, " epochs, threshold ", threshold, ", minimum ",
                   minimum);
  }
  double rate(double base, std::int64_t epoch, const schedule_state& state) const {
    detail::expect_epoch("milkit::train::reduce_on_plateau", epoch);
    detail::expect_factor("milkit::train::reduce_on_plateau", factor);
    detail::expect_minimum("milkit::train::reduce_on_plateau", minimum, base);
    const double reduced = base * std::pow(factor, static_cast<double>(state.reductions));
    return reduced > minimum ? reduced : minimum;
  }
  void observe(schedule_state& state, double loss) const {
    expect_value(patience >= 0, "milkit::train::reduce_on_plateau", "patience is ", patience, ", expected 0 or more");
    expect_value(threshold >= 0, "milkit::train::reduce_on_plateau", "threshold is ", threshold,
                 ", expected 0 or more");
    const double bar = std::isfinite(state.best) ? state.best - threshold * std::abs(state.best) : state.best;
    if (loss < bar) {
      state.best = loss;
      state.waited = 0;
    } else if (++state.waited > patience) {
      state.waited = 0;
      ++state.reductions;
    }
  }
};

}  // namespace milkit::train
