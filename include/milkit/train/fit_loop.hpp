#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include <milkit/core/macros.hpp>
#include <milkit/core/random.hpp>
#include <milkit/train/history.hpp>
#include <milkit/train/progress.hpp>
#include <milkit/train/schedule.hpp>

namespace milkit::train {

/// Where a training is: all of it that is no tensor.
struct training_progress {
  std::int64_t epoch = 0;  ///< finished ones
  std::int64_t step = 0;   ///< updates of the weights so far
  std::int64_t best_epoch = -1;
  double best_score = 0;
  schedule_state schedule;
  train::history history;
};

namespace detail {

/// The blocks of random numbers that a training draws from, each keyed by seed and epoch or draw.
inline constexpr std::uint64_t order_block = 1, pass_block = 2, bag_block = 3, evaluation_block = 4;

struct loop_options {
  std::int64_t epochs = 100;
  std::uint64_t seed = 0;
  std::int64_t bags_per_step = 1;
  double clip_norm = 0;
  std::int64_t patience = 0;
  std::filesystem::path checkpoint = {};
  std::int64_t checkpoint_every = 1;
  progress_options progress = {};
  std::string label = "training";
};

/// One example's turn in a step: its number in the data set, in which draw of which epoch it comes, and how much its loss counts.
struct example_turn {
  std::int64_t example = 0;
  std::uint64_t draw = 0;
  std::int64_t epoch = 0;
  double scale = 1;
};

/// What validation gives: figures for the history, the loss that a schedule observes, and the score, the higher the better;
/// NaN where it is undefined.
struct validation_result {
  std::vector<metric> figures;
  double loss = 0;
  double score = 0;
};

/// A training as its loop sees it, whatever network, task, data and backend are. An example of weight 0 is passed over; the
/// loss of a step is the mean of its examples' by their weights.
class training_steps {
 public:
  virtual ~training_steps() = default;
  std::vector<double> weights;        ///< of each example
  std::vector<std::int64_t> numbers;  ///< what each is called in messages

  virtual std::vector<std::int64_t> order(const random_stream& random) = 0;  ///< the examples of an epoch
  virtual void begin_step(std::span<const std::int64_t> examples) = 0;       ///< clears the gradient
  virtual double learn(const example_turn& turn) = 0;                        ///< adds to the gradient, returns the loss
  virtual double gradient_norm() = 0;
  virtual void update(std::int64_t step, double rate, double gradient_scale) = 0;
  virtual double rate(std::int64_t epoch, const schedule_state& state) = 0;
  virtual void observe(schedule_state& state, double loss) = 0;
  virtual std::optional<validation_result> validate() = 0;  ///< none where there is nothing to validate by
  virtual void keep_best() = 0;
  virtual void load() = 0;  ///< reads the checkpoint into the progress and the tensors
  virtual void save() = 0;
  virtual void report(double rate, double train_loss) = 0;
};

/// Runs epochs from where `state` is until `options` says to stop. Errors: value_error for options out of range, no example
/// with a weight, and a loss or gradient that is not finite, which names the examples; the weights are then those before that step.
MILKIT_INLINE void run_training(training_steps& run, const loop_options& options, training_progress& state);

}  // namespace detail
}  // namespace milkit::train

#if !defined(MILKIT_COMPILED)
#include <milkit/train/fit_loop.ipp>
#endif
