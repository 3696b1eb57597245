#pragma once

#include <algorithm>
#include <cmath>
#include <limits>

#include <milkit/train/fit_loop.hpp>
#include <milkit/train/optimizer.hpp>

namespace milkit::train::detail {

MILKIT_INLINE void expect_loop_options(const loop_options& options) {
  constexpr const char* op = "milkit::train::trainer";
  expect_value(options.epochs > 0, op, "epochs is ", options.epochs, ", expected at least 1");
  expect_value(options.bags_per_step > 0, op, "bags_per_step is ", options.bags_per_step, ", expected at least 1");
  expect_value(options.clip_norm >= 0, op, "clip_norm is ", options.clip_norm, ", expected at least 0");
  expect_value(options.patience >= 0, op, "patience is ", options.patience, ", expected at least 0");
  expect_value(options.checkpoint_every > 0, op, "checkpoint_every is ", options.checkpoint_every,
               ", expected at least 1");
}

MILKIT_INLINE bool is_finished(const training_progress& state, const loop_options& options) {
  const std::int64_t since_best = state.epoch - (std::max)(state.best_epoch, std::int64_t{0});
  return state.epoch >= options.epochs || (options.patience > 0 && since_best >= options.patience);
}

/// The step's update, unless its gradient is not finite.
MILKIT_INLINE void update_weights(training_steps& run, const loop_options& options, training_progress& state,
                                  double rate, std::span<const std::int64_t> examples) {
  const double norm = run.gradient_norm();
  if (!std::isfinite(norm)) {
    std::string names;
    for (const std::int64_t i : examples)
      names += message(names.empty() ? "" : ", ", run.numbers[static_cast<std::size_t>(i)]);
    throw value_error(message("milkit::train::trainer: the gradient of bag ", names, " in epoch ", state.epoch + 1,
                              " has the norm ", norm, ", expected a finite number"));
  }
  ++state.step;
  run.update(state.step, rate, clip_factor(norm, options.clip_norm));
}

/// The mean loss of an epoch, after whose steps the weights have moved.
MILKIT_INLINE double run_epoch(training_steps& run, const loop_options& options, training_progress& state, double rate,
                               train::progress& progress, const std::vector<metric>& figures) {
  const auto epoch = static_cast<std::uint64_t>(state.epoch);
  const std::vector<std::int64_t> order = run.order(random_stream(options.seed, epoch, order_block));
  const auto examples = static_cast<std::int64_t>(order.size());
  const auto weight_of = [&](std::int64_t i) { return run.weights[static_cast<std::size_t>(i)]; };
  double total = 0, total_weight = 0;
  for (std::int64_t first = 0; first < examples; first += options.bags_per_step) {
    const std::int64_t count = (std::min)(options.bags_per_step, examples - first);
    const auto step = std::span(order).subspan(static_cast<std::size_t>(first), static_cast<std::size_t>(count));
    double step_weight = 0;
    bool learns = false;
    for (const std::int64_t i : step) {
      step_weight += weight_of(i);
      learns |= weight_of(i) != 0;
    }
    run.begin_step(step);
    for (std::int64_t k = first; k < first + count; ++k) {
      const std::int64_t i = order[static_cast<std::size_t>(k)];
      if (const double weight = weight_of(i); weight != 0) {
        const double loss =
            run.learn({.example = i,
                       .draw = epoch * static_cast<std::uint64_t>(examples) + static_cast<std::uint64_t>(k),
                       .epoch = state.epoch,
                       .scale = weight / step_weight});
        expect_value(std::isfinite(loss), "milkit::train::trainer", "the loss of bag ",
                     run.numbers[static_cast<std::size_t>(i)], " in epoch ", state.epoch + 1, " is ", loss,
                     ", expected a finite number");
        total += weight * loss;
        total_weight += weight;
      }
      progress.update(state.epoch * examples + k + 1, figures);
    }
    if (learns) update_weights(run, options, state, rate, step);
  }
  return total_weight > 0 ? total / total_weight : std::numeric_limits<double>::quiet_NaN();
}

MILKIT_INLINE void run_training(training_steps& run, const loop_options& options, training_progress& state) {
  expect_loop_options(options);
  expect_value(std::any_of(run.weights.begin(), run.weights.end(), [](double w) { return w != 0; }),
               "milkit::train::trainer", "the labels of all bags have the weight 0");
  if (!options.checkpoint.empty() && std::filesystem::exists(options.checkpoint)) run.load();

  const auto examples = static_cast<std::int64_t>(run.weights.size());
  progress_options bar = options.progress;
  bar.already_done = state.epoch * examples;
  train::progress progress(options.label, options.epochs * examples, bar);
  std::vector<metric> figures;
  while (!is_finished(state, options)) {
    const double rate = run.rate(state.epoch, state.schedule);
    const double train_loss = run_epoch(run, options, state, rate, progress, figures);
    figures = {{"loss", train_loss}, {"learning_rate", rate}};
    const validation_result validation =
        run.validate().value_or(validation_result{.figures = {}, .loss = train_loss, .score = -train_loss});
    figures.insert(figures.end(), validation.figures.begin(), validation.figures.end());
    run.observe(state.schedule, validation.loss);
    ++state.epoch;
    state.history.add(figures);
    if (state.best_epoch < 0 ? !std::isnan(validation.score) : validation.score > state.best_score) {
      state.best_epoch = state.epoch;
      state.best_score = validation.score;
      run.keep_best();
    }
    if (!options.checkpoint.empty() && (state.epoch % options.checkpoint_every == 0 || is_finished(state, options)))
      run.save();
    run.report(rate, train_loss);
  }
}

}  // namespace milkit::train::detail
