#pragma once

#include <cmath>
#include <mutex>
#include <span>
#include <string>
#include <vector>

#include <milkit/core/parallel_for.hpp>
#include <milkit/train/progress.hpp>
#include <milkit/train/splits.hpp>
#include <milkit/train/trainer.hpp>

namespace milkit::train {

struct cross_validation_options {
  std::int64_t folds = 10;
  std::int64_t repeats = 1;    ///< each with other folds and other initial weights
  std::int64_t only_fold = 0;  ///< 1 to folds: run this one alone; 0: all
  std::uint64_t seed = 0;
  progress_options progress = {};
};

/// One fold of one repeat: which bags it was tested on, in that order, and what came out.
struct fold_result {
  std::int64_t repeat = 0, fold = 0;
  std::vector<std::int64_t> test;
  evaluation result;
  train::history history;
};

/// Mean and standard deviation (n - 1) of a figure over folds; NaN values (an AUROC of a fold with one class) are left
/// out.
struct mean_and_deviation {
  double mean = 0, deviation = 0;
  std::int64_t count = 0;
};
inline mean_and_deviation mean_of(std::span<const double> values) {
  mean_and_deviation r;
  double square = 0;
  for (const double v : values)
    if (!std::isnan(v)) {
      ++r.count;
      const double delta = v - r.mean;
      r.mean += delta / static_cast<double>(r.count);
      square += delta * (v - r.mean);
    }
  if (r.count == 0) r.mean = undefined;
  r.deviation = r.count > 1 ? std::sqrt(square / static_cast<double>(r.count - 1)) : 0.0;
  return r;
}

struct cross_validation_result {
  std::vector<fold_result> folds;

  mean_and_deviation accuracy() const {
    return over([](const evaluation& e) { return e.accuracy; });
  }
  mean_and_deviation auroc() const {
    return over([](const evaluation& e) { return e.auroc; });
  }

 private:
  template <class Figure>
  mean_and_deviation over(Figure figure) const {
    std::vector<double> values;
    for (const fold_result& each : folds) values.push_back(figure(each.result));
    return mean_of(values);
  }
};

namespace detail {
/// `body(backend, i)` for each fold: on a CPU as many at once as it has threads, each on a single-threaded worker; a fold
/// alone has them all.
template <class Body>
void each_fold(cpu& backend, std::int64_t count, Body&& body) {
  if (count == 1) return body(backend, std::int64_t{0});
  for (int t = 0; t < backend.thread_count(); ++t) backend.worker(t);
  parallel_for(backend, count, 1, [&](row_range one, int thread) { body(backend.worker(thread), one.first); });
}
/// Elsewhere one after the other.
template <backend Backend, class Body>
void each_fold(Backend& backend, std::int64_t count, Body&& body) {
  for (std::int64_t i = 0; i < count; ++i) body(backend, i);
}
}  // namespace detail

/// Repeated stratified k-fold cross-validation that keeps groups (patients) together; `groups` may be empty. For every
/// fold it calls `run(backend, const fold&, seed) -> std::pair<evaluation, history>`, on a CPU several at once, each with
/// a single-threaded backend of its own, so `run` must share nothing that it writes. The seed is a function of
/// `options.seed`, repeat and fold; results do not depend on the number of threads. Errors: as `stratified_k_fold`; value_error for
/// repeats < 1 or a fold that is not there; the first exception of a fold.
template <backend Backend, class Run>
cross_validation_result cross_validate(Backend& backend, std::span<const std::int64_t> labels,
                                       std::span<const std::string> groups, const cross_validation_options& options,
                                       Run&& run) {
  constexpr const char* op = "milkit::train::cross_validate";
  expect_value(options.repeats >= 1, op, "repeats is ", options.repeats, ", expected at least 1");
  expect_value(options.only_fold >= 0 && options.only_fold <= options.folds, op, "only_fold is ", options.only_fold,
               ", expected 1 to ", options.folds, " or 0 for all");
  struct task {
    std::int64_t repeat, fold;
    train::fold split;
  };
  std::vector<task> tasks;
  for (std::int64_t repeat = 0; repeat < options.repeats; ++repeat) {
    const auto seed =
        random_stream(options.seed, static_cast<std::uint64_t>(repeat), 0).below(std::uint64_t{1} << 62, 0, 0);
    const auto splits = stratified_k_fold(labels, groups, {.folds = options.folds, .seed = seed});
    for (std::int64_t f = 0; f < options.folds; ++f) {
      if (options.only_fold > 0 && f + 1 != options.only_fold) continue;
      check_no_leakage(static_cast<std::int64_t>(labels.size()), groups,
                       {splits[static_cast<std::size_t>(f)].train, splits[static_cast<std::size_t>(f)].test});
      tasks.push_back({repeat, f, splits[static_cast<std::size_t>(f)]});
    }
  }
  cross_validation_result all;
  all.folds.resize(tasks.size());
  train::progress progress("folds", static_cast<std::int64_t>(tasks.size()), options.progress);
  std::mutex mutex;
  std::int64_t done = 0;
  double accuracy_sum = 0;
  detail::each_fold(backend, static_cast<std::int64_t>(tasks.size()), [&](Backend& own, std::int64_t i) {
    const task& t = tasks[static_cast<std::size_t>(i)];
    fold_result& out = all.folds[static_cast<std::size_t>(i)];
    out.repeat = t.repeat;
    out.fold = t.fold;
    out.test = t.split.test;
    const random_stream seeds(options.seed, static_cast<std::uint64_t>(t.repeat),
                              1 + static_cast<std::uint64_t>(t.fold));
    std::tie(out.result, out.history) = run(own, t.split, seeds.below(std::uint64_t{1} << 62, 0, 0));
    const std::lock_guard lock(mutex);
    accuracy_sum += out.result.accuracy;
    ++done;
    progress.update(done, {{"accuracy", accuracy_sum / static_cast<double>(done)}});
  });
  return all;
}

}  // namespace milkit::train
