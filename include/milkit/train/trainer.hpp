#pragma once

#include <cmath>
#include <filesystem>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include <milkit/loss/cross_entropy.hpp>
#include <milkit/nn/parameters.hpp>
#include <milkit/ops/rows/fill.hpp>
#include <milkit/ops/rows/reduce.hpp>
#include <milkit/train/checkpoint.hpp>
#include <milkit/train/dataset.hpp>
#include <milkit/train/evaluation.hpp>
#include <milkit/train/fit_loop.hpp>
#include <milkit/train/metrics.hpp>
#include <milkit/train/optimizer.hpp>
#include <milkit/train/progress.hpp>
#include <milkit/train/schedule.hpp>
#include <milkit/train/statistics.hpp>

/// A network that a trainer can train has
///
///     double train_bags(backend, weights, bags, labels, loss, scale, gradient, pass) const;  // adds scale * gradient
///     void infer(backend, weights, bags, logits) const;     // logits [bags, columns], as many as the loss asks for;
///                                                           // a network that draws takes a random_stream behind them
///     shape<2> output_shape(bags) const;                    // optional: of the logits; `fit` checks the labels by it
///
/// where `bags` is what the data set's `bag(i)` gives, and `labels` is a host vector of one label a bag.
namespace milkit::train {

struct epoch_report {
  std::int64_t epoch = 0;  ///< counted from 1
  std::int64_t epochs = 0;
  double learning_rate = 0;
  double train_loss = 0;
  const evaluation* validation = nullptr;  ///< null without validation bags
};

struct fit_options {
  std::int64_t epochs = 100;
  std::uint64_t seed = 0;
  train::bag_order order = train::bag_order::shuffled;
  /// The weights change by the loss of so many bags, as of one batch (class weights, too).
  std::int64_t bags_per_step = 1;
  double clip_norm = 0;  ///< largest L2 norm of the gradient; 0: no clipping
  criterion best_by = criterion::loss;
  std::int64_t patience = 0;  ///< stop after so many epochs without a better validation; 0: never
  bool restore_best = true;   ///< with validation bags, end with the best epoch's weights
  /// Written after each `checkpoint_every` epochs, and read at the start if it is there.
  std::filesystem::path checkpoint = {};
  std::int64_t checkpoint_every = 1;
  std::function<void(const epoch_report&)> on_epoch = {};
  progress_options progress = {};
  std::string label = "training";
};

/// Trains a network bag by bag, where the backend works: the weights must be there (`initial_parameters<T>(backend,
/// network)`), bags may be in the host's memory. Everything that is drawn (order, dropout, augmentation) is a function of seed, epoch
/// and step, so that the same seed gives the same weights at any thread count, and a training that was killed and
/// started again with its checkpoint ends with the same bits as one that was not. A checkpoint of other settings is
/// refused (io_error): seed, number type and of bags, their order, bags a step, clipping, criterion, optimizer, schedule
/// and loss. Epochs and patience may change; options of the network (dropout, chunks) are not in it, and the caller's
/// to keep. A bag whose label has the weight 0 is passed over. Errors: value_error for an empty data set, a label
/// outside the classes or beyond the network's logits, no bag with a weight, an AUROC to judge by that is undefined, a
/// loss or gradient that is not finite (naming the bags, of a subset by their index in the whole; the weights are then
/// those before that step).
template <backend Backend, class Network, optimizer Optimizer, class Loss = loss::cross_entropy,
          class Schedule = constant_schedule>
class trainer {
 public:
  trainer(Backend& backend, Network network, Optimizer optimizer, Loss loss = {}, Schedule schedule = {})
      : backend_(&backend),
        network_(std::move(network)),
        optimizer_(optimizer),
        loss_(std::move(loss)),
        schedule_(schedule) {}

  const Network& network() const { return network_; }

  template <class T, class Space, bag_dataset Training>
  history fit(parameters<Network, T, Space>& weights, Training& training, const fit_options& options = {}) {
    return run(weights, training, static_cast<Training*>(nullptr), options);
  }
  template <class T, class Space, bag_dataset Training, bag_dataset Validation>
  history fit(parameters<Network, T, Space>& weights, Training& training, Validation& validation,
              const fit_options& options = {}) {
    return run(weights, training, &validation, options);
  }

  /// Loss, metrics and probabilities over a data set, without dropout and augmentation.
  template <class T, class Space, bag_dataset Dataset>
  evaluation evaluate(const parameters<Network, T, Space>& weights, Dataset& dataset) {
    expect_resident<Space>();
    const std::int64_t size = dataset.size(), classes = dataset.classes(), columns = loss_.columns(classes);
    expect_value(size > 0, "milkit::train::trainer", "there are no bags to evaluate");
    detail::evaluation_builder result(classes);
    for (std::int64_t i = 0; i < size; ++i) {
      const auto scope = backend_->workspace.scope();
      const auto logits = backend_->workspace.template allocate<T>(shape<2>{1, columns});
      infer(weights, dataset.bag(i), logits, static_cast<std::uint64_t>(number_of(dataset, i)));
      const std::int64_t label = dataset.label(i);
      const double weight = loss_.weight(label);
      const double loss = weight != 0 ? loss::value(loss_, *backend_, logits, one(label)) : 0.0;
      const auto row = to_host(*backend_, vector_view<const T, Space>(logits.data(), {columns}));
      result.add(label, loss_.probabilities(std::vector<double>(row.data(), row.data() + columns)), loss, weight);
    }
    return result.finish();
  }

 private:
  template <class T, class Space, class Training, class Validation>
  history run(parameters<Network, T, Space>& weights, Training& training, Validation* validation,
              const fit_options& options) {
    expect_resident<Space>();
    expect_dataset(training, "");
    if (validation) expect_dataset(*validation, "validation ");
    steps_of<T, Space, Training, Validation> steps(*this, weights, training, validation, options);
    detail::run_training(steps,
                         {.epochs = options.epochs,
                          .seed = options.seed,
                          .bags_per_step = options.bags_per_step,
                          .clip_norm = options.clip_norm,
                          .patience = options.patience,
                          .checkpoint = options.checkpoint,
                          .checkpoint_every = options.checkpoint_every,
                          .progress = options.progress,
                          .label = options.label},
                         steps.state);
    if (validation && options.restore_best && steps.state.best_epoch > 0)
      ops::copy_rows(*backend_, std::as_const(steps.state.best_weights).view(), weights.flat());
    return steps.state.history;
  }

  /// What the loop of a fit does by way of this network, these bags and this backend.
  template <class T, class Space, class Training, class Validation>
  class steps_of final : public detail::training_steps {
   public:
    steps_of(trainer& all, parameters<Network, T, Space>& network_weights, Training& training, Validation* validation,
             const fit_options& options)
        : state(network_weights.flat().extent(0), Optimizer::moments),
          all_(all),
          network_weights_(network_weights),
          gradient_(network_weights.zeros()),
          stretches_(trainable_stretches(network_weights.entries(), gradient_.flat().extent(0))),
          training_(training),
          validation_(validation),
          options_(options),
          settings_(all.settings_text<T>(options, training.size(), validation ? validation->size() : 0)) {
      for (std::int64_t i = 0; i < training.size(); ++i) {
        labels_.push_back(training.label(i));
        weights.push_back(all.loss_.weight(training.label(i)));
        numbers.push_back(number_of(training, i));
      }
    }

    training_state<T, Space> state;

    std::vector<std::int64_t> order(const random_stream& random) override {
      return epoch_order(labels_, training_.classes(), options_.order, random);
    }
    void begin_step(std::span<const std::int64_t> bags) override {
      step_labels_.clear();
      for (const std::int64_t i : bags) step_labels_.push_back(labels_[static_cast<std::size_t>(i)]);
      ops::fill(backend(), gradient_.flat(), T(0));
    }
    double learn(const detail::example_turn& turn) override {
      const pass pass{.training = true,
                      .random = random_stream(options_.seed, turn.draw, detail::pass_block),
                      .epoch = turn.epoch,
                      .step_labels = {step_labels_.data(), {static_cast<std::int64_t>(step_labels_.size())}}};
      const random_stream augmentation(options_.seed, turn.draw, detail::bag_block);
      return all_.network_.train_bags(backend(), network_weights_.flat(), bag_of(training_, turn.example, augmentation),
                                      one(labels_[static_cast<std::size_t>(turn.example)]), all_.loss_, turn.scale,
                                      gradient_.flat(), pass);
    }
    double gradient_norm() override { return norm_of(backend(), std::as_const(gradient_).flat(), stretches_); }
    void update(std::int64_t step, double rate, double gradient_scale) override {
      const vector_view<const T, Space> gradient = std::as_const(gradient_).flat();
      for (const auto& [rows, factor] : stretches_) {
        std::array<vector_view<T, Space>, static_cast<std::size_t>(Optimizer::moments)> moments;
        for (std::size_t m = 0; m < moments.size(); ++m)
          moments[m] = state.moments[m].view().rows(rows.first, rows.count);
        all_.optimizer_.step(backend(), network_weights_.flat().rows(rows.first, rows.count),
                             gradient.rows(rows.first, rows.count), moments,
                             {.step = step, .learning_rate = rate * factor, .gradient_scale = gradient_scale});
      }
      move_statistics(backend(), network_weights_.entries(), network_weights_.flat(), gradient);
    }
    double rate(std::int64_t epoch, const schedule_state& schedule) override {
      return all_.schedule_.rate(all_.optimizer_.learning_rate, epoch, schedule);
    }
    void observe(schedule_state& schedule, double loss) override { all_.schedule_.observe(schedule, loss); }
    std::optional<detail::validation_result> validate() override {
      if (!validation_) return std::nullopt;
      validated_ = all_.evaluate(network_weights_, *validation_);
      return detail::validation_of(validated_, options_.best_by);
    }
    void keep_best() override {
      ops::copy_rows(backend(), std::as_const(network_weights_).flat(), state.best_weights.view());
    }
    void load() override { load_checkpoint(options_.checkpoint, network_weights_, state, settings_); }
    void save() override { save_checkpoint(options_.checkpoint, network_weights_, state, settings_); }
    void report(double rate, double train_loss) override {
      if (options_.on_epoch)
        options_.on_epoch({state.epoch, options_.epochs, rate, train_loss, validation_ ? &validated_ : nullptr});
    }

   private:
    Backend& backend() { return *all_.backend_; }

    trainer& all_;
    parameters<Network, T, Space>& network_weights_;
    parameters<Network, T, Space> gradient_;
    std::vector<trainable_stretch> stretches_;
    Training& training_;
    Validation* validation_;
    const fit_options& options_;
    std::string settings_;
    std::vector<std::int64_t> labels_, step_labels_;
    evaluation validated_;
  };

  /// A network that draws in inference draws for each bag its own, and for one bag always the same.
  template <class Weights, class Bag, class Logits>
  void infer(const Weights& weights, const Bag& bag, Logits logits, std::uint64_t number) {
    const random_stream random(0, number, detail::evaluation_block);
    if constexpr (requires { network_.infer(*backend_, weights.flat(), bag, logits, random); })
      network_.infer(*backend_, weights.flat(), bag, logits, random);
    else network_.infer(*backend_, weights.flat(), bag, logits);
  }

  template <class Space>
  static void expect_resident() {
    static_assert(std::is_same_v<Space, typename Backend::space>,
                  "milkit::train::trainer: the weights are in another memory space than the backend; make them with "
                  "initial_parameters<T>(backend, network), or copy them: weights.to<Space>()");
  }
  template <class Dataset>
  static auto bag_of(Dataset& dataset, std::int64_t i, const random_stream& random) {
    if constexpr (requires { dataset.bag(i, random); }) return dataset.bag(i, random);
    else return dataset.bag(i);
  }
  /// What to call a bag: a subset's by its index in the whole data set.
  template <class Dataset>
  static std::int64_t number_of(Dataset& dataset, std::int64_t i) {
    if constexpr (requires { dataset.index(i); }) return dataset.index(i);
    else return i;
  }
  static vector_view<const std::int64_t> one(const std::int64_t& label) { return {&label, {1}}; }

  template <class Dataset>
  void expect_dataset(Dataset& dataset, const char* which) const {
    constexpr const char* op = "milkit::train::trainer";
    expect_value(dataset.size() > 0, op, "there are no ", which, "bags");
    const std::int64_t classes = dataset.classes(), columns = loss_.columns(classes);
    std::int64_t highest = 0;
    for (std::int64_t i = 0; i < dataset.size(); ++i) {
      expect_value(dataset.label(i) >= 0 && dataset.label(i) < classes, op, which, "bag ", number_of(dataset, i),
                   " has label ", dataset.label(i), ", expected 0 to ", classes - 1);
      if (dataset.label(i) > dataset.label(highest)) highest = i;
    }
    if constexpr (requires { network_.output_shape(dataset.bag(0)); }) {
      const std::int64_t has = network_.output_shape(dataset.bag(0))[1];
      expect_value(has >= columns, op, which, "bag ", number_of(dataset, highest), " has label ",
                   dataset.label(highest), ", but the network gives ", has, " logits, and ", classes, " classes take ",
                   columns);
    }
  }
  /// What must be the same for a checkpoint to go on.
  template <class T>
  std::string settings_text(const fit_options& o, std::int64_t bags, std::int64_t validation_bags) const {
    constexpr const char* criteria[] = {"loss", "accuracy", "AUROC"};
    return message("seed ", o.seed, ", ", 8 * sizeof(T), " bit, ", bags, " bags, ", validation_bags,
                   " validation bags, ", o.order == bag_order::balanced ? "balanced" : "shuffled", ", bags per step ",
                   o.bags_per_step, ", clip norm ", o.clip_norm, ", best by ", criteria[static_cast<int>(o.best_by)],
                   "; ", optimizer_.settings(), "; ", schedule_.settings(), "; ", loss_.settings());
  }

  Backend* backend_;
  Network network_;
  Optimizer optimizer_;
  Loss loss_;
  Schedule schedule_;
};

}  // namespace milkit::train
