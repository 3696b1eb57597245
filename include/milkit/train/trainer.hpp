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

/// What decides which epoch's weights are the best, and when training stops early.
enum class criterion { loss, accuracy, auroc };

/// What one pass over labelled bags gives.
struct evaluation {
  double loss = 0;  ///< mean, by the weights of the labels; NaN where all are 0
  double accuracy = 0;
  double auroc = 0;  ///< macro over the classes (of two classes: the usual one); NaN where it is undefined
  std::vector<std::int64_t> labels;       ///< [bags]
  std::vector<std::int64_t> predictions;  ///< [bags]
  std::vector<double> probabilities;      ///< [bags, classes]
};

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
    evaluation result;
    confusion_matrix confusion(classes);
    double total = 0, total_weight = 0;
    for (std::int64_t i = 0; i < size; ++i) {
      const auto scope = backend_->workspace.scope();
      const auto logits = backend_->workspace.template allocate<T>(shape<2>{1, columns});
      infer(weights, dataset.bag(i), logits, static_cast<std::uint64_t>(number_of(dataset, i)));
      const std::int64_t label = dataset.label(i);
      if (const double weight = loss_.weight(label); weight != 0) {
        total += weight * loss::value(loss_, *backend_, logits, one(label));
        total_weight += weight;
      }
      const auto row = to_host(*backend_, vector_view<const T, Space>(logits.data(), {columns}));
      const std::vector<double> p = loss_.probabilities(std::vector<double>(row.data(), row.data() + columns));
      const std::int64_t prediction = std::max_element(p.begin(), p.end()) - p.begin();
      confusion.add(label, prediction);
      result.labels.push_back(label);
      result.predictions.push_back(prediction);
      result.probabilities.insert(result.probabilities.end(), p.begin(), p.end());
    }
    result.loss = total_weight > 0 ? total / total_weight : undefined;
    result.accuracy = accuracy(confusion);
    result.auroc = macro_auroc(matrix_view<const double>(result.probabilities.data(), {size, classes}), result.labels);
    return result;
  }

 private:
  template <class T, class Space, class Training, class Validation>
  history run(parameters<Network, T, Space>& weights, Training& training, Validation* validation,
              const fit_options& options) {
    constexpr const char* op = "milkit::train::trainer";
    expect_resident<Space>();
    expect_value(options.epochs > 0, op, "epochs is ", options.epochs, ", expected at least 1");
    expect_value(options.bags_per_step > 0, op, "bags_per_step is ", options.bags_per_step, ", expected at least 1");
    expect_value(options.clip_norm >= 0, op, "clip_norm is ", options.clip_norm, ", expected at least 0");
    expect_value(options.patience >= 0, op, "patience is ", options.patience, ", expected at least 0");
    expect_value(options.checkpoint_every > 0, op, "checkpoint_every is ", options.checkpoint_every,
                 ", expected at least 1");
    expect_dataset(training, "");
    bool learns = false;
    for (std::int64_t i = 0; i < training.size(); ++i) learns |= loss_.weight(training.label(i)) != 0;
    expect_value(learns, op, "the labels of all bags have the weight 0");
    if (validation) expect_dataset(*validation, "validation ");
    training_state<T, Space> state(weights.flat().extent(0), Optimizer::moments);
    parameters<Network, T, Space> gradient = weights.zeros();
    const std::string settings = settings_text<T>(options, training.size(), validation ? validation->size() : 0);
    if (!options.checkpoint.empty() && std::filesystem::exists(options.checkpoint))
      load_checkpoint(options.checkpoint, weights, state, settings);

    progress_options bar = options.progress;
    bar.already_done = state.epoch * training.size();
    train::progress progress(options.label, options.epochs * training.size(), bar);
    std::vector<metric> figures;
    while (state.epoch < options.epochs && !stopped(state, options)) {
      const double rate = schedule_.rate(optimizer_.learning_rate, state.epoch, state.schedule);
      const double train_loss = train_epoch(weights, gradient, training, state, rate, options, progress, figures);
      figures = {{"loss", train_loss}, {"learning_rate", rate}};
      evaluation result;
      if (validation) {
        result = evaluate(weights, *validation);
        figures.push_back({"validation_loss", result.loss});
        figures.push_back({"validation_accuracy", result.accuracy});
        figures.push_back({"validation_auroc", result.auroc});
      }
      schedule_.observe(state.schedule, validation ? result.loss : train_loss);
      ++state.epoch;
      state.history.add(figures);
      const double score = validation ? score_of(result, options.best_by) : -train_loss;
      expect_value(!validation || options.best_by != criterion::auroc || !std::isnan(score), op,
                   "the AUROC to judge by is undefined: the validation bags are all of one class");
      if (state.best_epoch < 0 ? !std::isnan(score) : score > state.best_score) {
        state.best_epoch = state.epoch;
        state.best_score = score;
        ops::copy_rows(*backend_, std::as_const(weights).flat(), state.best_weights.view());
      }
      const bool last = state.epoch == options.epochs || stopped(state, options);
      if (!options.checkpoint.empty() && (state.epoch % options.checkpoint_every == 0 || last))
        save_checkpoint(options.checkpoint, weights, state, settings);
      if (options.on_epoch)
        options.on_epoch({state.epoch, options.epochs, rate, train_loss, validation ? &result : nullptr});
    }
    if (validation && options.restore_best && state.best_epoch > 0)
      ops::copy_rows(*backend_, std::as_const(state.best_weights).view(), weights.flat());
    return state.history;
  }

  template <class T, class Space, class Training, class State>
  double train_epoch(parameters<Network, T, Space>& weights, parameters<Network, T, Space>& gradient,
                     Training& training, State& state, double rate, const fit_options& options,
                     train::progress& progress, const std::vector<metric>& figures) {
    const auto epoch = static_cast<std::uint64_t>(state.epoch);
    const std::vector<std::int64_t> order =
        epoch_order(training, options.order, random_stream(options.seed, epoch, order_block));
    const auto bags = static_cast<std::int64_t>(order.size());
    double total = 0, total_weight = 0;
    std::vector<std::int64_t> step_labels;
    for (std::int64_t first = 0; first < bags; first += options.bags_per_step) {
      const std::int64_t count = (std::min)(options.bags_per_step, bags - first);
      const auto step_bags = std::span(order).subspan(static_cast<std::size_t>(first), static_cast<std::size_t>(count));
      double step_weight = 0;
      bool learns = false;
      step_labels.clear();
      for (const std::int64_t i : step_bags) {
        step_labels.push_back(training.label(i));
        step_weight += loss_.weight(training.label(i));
        learns |= loss_.weight(training.label(i)) != 0;
      }
      ops::fill(*backend_, gradient.flat(), T(0));
      for (std::int64_t k = first; k < first + count; ++k) {
        const std::int64_t i = order[static_cast<std::size_t>(k)];
        if (const std::int64_t label = training.label(i); loss_.weight(label) != 0) {
          const auto draw = epoch * static_cast<std::uint64_t>(bags) + static_cast<std::uint64_t>(k);
          const pass pass{.training = true,
                          .random = random_stream(options.seed, draw, pass_block),
                          .epoch = state.epoch,
                          .step_labels = vector_view<const std::int64_t>(step_labels.data(), {count})};
          const double loss = network_.train_bags(
              *backend_, weights.flat(), bag_of(training, i, random_stream(options.seed, draw, bag_block)), one(label),
              loss_, loss_.weight(label) / step_weight, gradient.flat(), pass);
          expect_value(std::isfinite(loss), "milkit::train::trainer", "the loss of bag ", number_of(training, i),
                       " in epoch ", state.epoch + 1, " is ", loss, ", expected a finite number");
          total += loss_.weight(label) * loss;
          total_weight += loss_.weight(label);
        }
        progress.update(state.epoch * bags + k + 1, figures);
      }
      if (learns) update(weights, gradient, training, state, rate, options.clip_norm, step_bags);
    }
    return total_weight > 0 ? total / total_weight : undefined;
  }

  template <class T, class Space, class Training, class State>
  void update(parameters<Network, T, Space>& weights, parameters<Network, T, Space>& gradient, Training& training,
              State& state, double rate, double clip_norm, std::span<const std::int64_t> bags) {
    const vector_view<const T, Space> flat = gradient.flat();
    const std::vector<row_range> stretches = trainable_stretches(weights.entries(), flat.extent(0));
    const double norm = norm_of(*backend_, flat, stretches);
    if (!std::isfinite(norm)) {
      std::string names;
      for (const std::int64_t i : bags) names += message(names.empty() ? "" : ", ", number_of(training, i));
      throw value_error(message("milkit::train::trainer: the gradient of bag ", names, " in epoch ", state.epoch + 1,
                                " has the norm ", norm, ", expected a finite number"));
    }
    const double scale = clip_factor(norm, clip_norm);
    ++state.step;
    for (const row_range& part : stretches) {
      std::array<vector_view<T, Space>, static_cast<std::size_t>(Optimizer::moments)> moments;
      for (std::size_t m = 0; m < moments.size(); ++m)
        moments[m] = state.moments[m].view().rows(part.first, part.count);
      optimizer_.step(*backend_, weights.flat().rows(part.first, part.count), flat.rows(part.first, part.count),
                      moments, {.step = state.step, .learning_rate = rate, .gradient_scale = scale});
    }
    move_statistics(*backend_, weights.entries(), weights.flat(), flat);
  }

  /// A network that draws in inference draws for each bag its own, and for one bag always the same.
  template <class Weights, class Bag, class Logits>
  void infer(const Weights& weights, const Bag& bag, Logits logits, std::uint64_t number) {
    const random_stream random(0, number, evaluation_block);
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

  template <class State>
  static bool stopped(const State& state, const fit_options& options) {
    return options.patience > 0 && state.epoch - (std::max)(state.best_epoch, std::int64_t{0}) >= options.patience;
  }
  static double score_of(const evaluation& e, criterion how) {
    return how == criterion::loss ? -e.loss : how == criterion::accuracy ? e.accuracy : e.auroc;
  }
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

  static constexpr std::uint64_t order_block = 1, pass_block = 2, bag_block = 3, evaluation_block = 4;

  Backend* backend_;
  Network network_;
  Optimizer optimizer_;
  Loss loss_;
  Schedule schedule_;
};

}  // namespace milkit::train
