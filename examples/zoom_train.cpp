// Second of three (zoom_prepare, zoom_train, zoom_predict): trains ZoomMIL on the features of a study, and what it is
// compared with, on the same splits by patient.
//   zoom_train out/zoom_mil --folds 5
#include <iostream>
#include <map>
#include <mutex>
#include <set>

#include <milkit/data/csv.hpp>
#include <milkit/report/curves.hpp>
#include <milkit/report/json.hpp>

#include "support/command_line.hpp"
#include "support/mean_curve.hpp"
#include "support/zoom_models.hpp"

using namespace milkit;

struct settings {
  std::vector<std::string> methods = example::methods;
  std::int64_t folds = 5, epochs = 70;
  std::uint64_t seed = 1;
  double learning_rate = 2e-3, weight_decay = 1e-4, validation = 0, test = 0.25;
  example::network_settings network = {.whole = -1, .narrowing = -1, .dropout = 0.1};
};

// The rate falls to 0 along a cosine while all tiles are looked at, and along another one, half as high, from there on.
struct two_cosines {
  std::int64_t first = 0, epochs = 1;

  std::string settings() const { return message("two cosines, over ", first, " and until ", epochs, " epochs"); }
  double rate(double base, std::int64_t epoch, const train::schedule_state& state) const {
    if (epoch < first) return train::cosine_schedule{.epochs = first}.rate(base, epoch, state);
    if (epoch >= epochs) return 0;
    return train::cosine_schedule{.epochs = epochs - first}.rate(first > 0 ? base / 2 : base, epoch - first, state);
  }
  void observe(train::schedule_state&, double) const {}
};

struct outcome {
  train::evaluation test;
  train::history history;
};

// The parts of each fold: slides of one patient are in one part.
std::vector<train::hold_out> split(const example::study& study, const std::vector<std::int64_t>& slides,
                                   const settings& s) {
  std::vector<std::int64_t> labels;
  std::vector<std::string> patients;
  for (const std::int64_t i : slides) {
    labels.push_back(study.slides[static_cast<std::size_t>(i)].label);
    patients.push_back(study.slides[static_cast<std::size_t>(i)].patient);
  }
  if (s.folds == 1)
    return {train::stratified_hold_out(labels, patients, {.validation = s.validation, .test = s.test, .seed = s.seed})};
  std::vector<train::hold_out> parts;
  for (train::fold& fold : train::stratified_k_fold(labels, patients, {.folds = s.folds, .seed = s.seed})) {
    std::vector<std::int64_t> own_labels;
    std::vector<std::string> own_patients;
    for (const std::int64_t i : fold.train) {
      own_labels.push_back(labels[static_cast<std::size_t>(i)]);
      own_patients.push_back(patients[static_cast<std::size_t>(i)]);
    }
    train::hold_out part{{}, {}, std::move(fold.test)};
    if (s.validation == 0) {
      part.train = std::move(fold.train);
      parts.push_back(std::move(part));
      continue;
    }
    const auto inner =
        train::stratified_hold_out(own_labels, own_patients, {.validation = s.validation, .test = 0, .seed = s.seed});
    for (const std::int64_t i : inner.train) part.train.push_back(fold.train[static_cast<std::size_t>(i)]);
    for (const std::int64_t i : inner.validation) part.validation.push_back(fold.train[static_cast<std::size_t>(i)]);
    train::check_no_leakage(static_cast<std::int64_t>(labels.size()), patients,
                            {part.train, part.validation, part.test});
    parts.push_back(std::move(part));
  }
  return parts;
}

// Trains one network of one fold, or goes on where it stopped, and writes its weights. AdamW, a slide a step, slides of
// each class equally often. The last weights count or, where there is a validation part, those of the epoch with its least
// loss, as in the paper.
template <class Backend, class Network, class Dataset>
outcome fit(Backend& backend, const Network& net, Dataset& all, const std::vector<data::standardiser>& standard,
            const train::hold_out& part, const example::study& study, const std::string& method, std::int64_t fold,
            const settings& s, const std::function<void(std::int64_t)>& on_epochs) {
  train::subset training(all, part.train), validation(all, part.validation), test(all, part.test);
  train::trainer trainer(backend, net, train::adamw{.learning_rate = s.learning_rate, .weight_decay = s.weight_decay},
                         loss::cross_entropy{}, two_cosines{s.network.whole, s.epochs});
  const std::uint64_t seed = s.seed + static_cast<std::uint64_t>(fold);
  auto weights = initial_parameters<float>(backend, net, {.seed = seed});
  std::int64_t epochs = 0;
  const train::fit_options options{.epochs = s.epochs,
                                   .seed = seed,
                                   .order = train::bag_order::balanced,
                                   .checkpoint = study.checkpoint(method, fold),
                                   .checkpoint_every = 5,
                                   .on_epoch = [&](const auto&) { ++epochs, on_epochs(1); }};
  example::drop_checkpoint_of_others(options.checkpoint, example::made_from(all, part, s.network));
  outcome made;
  made.history = part.validation.empty() ? trainer.fit(weights, training, options)
                                         : trainer.fit(weights, training, validation, options);
  on_epochs(s.epochs - epochs);  // those that were there
  made.test = trainer.evaluate(weights, test);
  // Saved weights take features as they are.
  auto saved = weights.template to<host_space>();
  for (std::size_t m = 0; m < standard.size(); ++m) {
    const std::string layer = (standard.size() == 1 ? "" : message("level", m + 1, ".")) + "encoder.0.";
    const auto bias = saved[layer + "bias"], weight = saved[layer + "weight"];
    standard[m].fold_into({weight.data(), {bias.extent(0), s.network.features}}, bias);
  }
  train::save_weights(study.model(method, fold), saved);
  return made;
}

template <class Backend, class Networks, std::size_t Levels>
outcome train_one(Backend& backend, Networks, const train::pyramid_dataset<Levels>& slides, const train::hold_out& part,
                  const example::study& study, const std::string& method, std::int64_t fold, const settings& s,
                  const std::function<void(std::int64_t)>& on_epochs) {
  // Mean and deviation come from the training part alone.
  std::vector<data::standardiser> standard(example::is_small(study) ? Levels : 0,
                                           data::standardiser(s.network.features));
  for (std::size_t m = 0; m < standard.size(); ++m)
    for (const std::int64_t i : part.train) standard[m].add(slides.features(i, m));
  train::standardised_pyramids all(slides, standard);
  if (example::zooms(method))
    return fit(
        backend,
        example::make_zoom_mil<typename Networks::template zoom_mil<Levels>>(s.network, example::choice_of(method)),
        all, standard, part, study, method, fold, s, on_epochs);
  const std::size_t level = method == "abmil_low" ? 0 : Levels - 1;
  example::one_magnification bags(all, level);
  if (!standard.empty()) standard = {standard[level]};
  return fit(backend, example::make_abmil<typename Networks::abmil>(s.network), bags, standard, part, study, method,
             fold, s, on_epochs);
}

// Of the test slides of all folds together.
report::json figures_of(const std::vector<outcome>& folds) {
  std::vector<double> positive, aucs;
  std::vector<std::int64_t> labels, predictions;
  std::int64_t classes = 2;
  for (const outcome& fold : folds) {
    const auto n = fold.test.labels.size();
    classes = static_cast<std::int64_t>(fold.test.probabilities.size() / n);
    positive.insert(positive.end(), fold.test.probabilities.begin(), fold.test.probabilities.end());
    labels.insert(labels.end(), fold.test.labels.begin(), fold.test.labels.end());
    predictions.insert(predictions.end(), fold.test.predictions.begin(), fold.test.predictions.end());
    if (!std::isnan(fold.test.auroc)) aucs.push_back(fold.test.auroc);
  }
  const auto n = static_cast<std::int64_t>(labels.size());
  const auto auc = [&](std::span<const std::int64_t> chosen) {
    std::vector<double> p;
    std::vector<std::int64_t> own;
    for (const std::int64_t i : chosen) {
      own.push_back(labels[static_cast<std::size_t>(i)]);
      for (std::int64_t c = 0; c < classes; ++c) p.push_back(positive[static_cast<std::size_t>(i * classes + c)]);
    }
    return train::macro_auroc(matrix_view<const double>(p.data(), {static_cast<std::int64_t>(own.size()), classes}),
                              own);
  };
  const auto accuracy = [&](std::span<const std::int64_t> chosen) {
    double right = 0;
    for (const std::int64_t i : chosen)
      right += labels[static_cast<std::size_t>(i)] == predictions[static_cast<std::size_t>(i)];
    return right / static_cast<double>(chosen.size());
  };
  std::vector<std::int64_t> every(static_cast<std::size_t>(n));
  std::iota(every.begin(), every.end(), std::int64_t{0});
  const auto auc_interval = train::bootstrap_interval(n, auc),
             accuracy_interval = train::bootstrap_interval(n, accuracy);
  return {{"auc", auc(every)},
          {"auc_interval", {auc_interval.low, auc_interval.high}},
          {"auc_mean_of_folds", aucs.empty() ? train::undefined : train::mean_of(aucs).mean},
          {"accuracy", accuracy(every)},
          {"accuracy_interval", {accuracy_interval.low, accuracy_interval.high}},
          {"test_slides", n}};
}

// metrics.json, predictions.csv, splits.csv, curves.svg, and the figures on the screen.
void write_results(const example::study& study, const settings& s, const std::vector<std::int64_t>& slides,
                   const std::vector<train::hold_out>& parts, const std::vector<std::vector<outcome>>& outcomes) {
  report::json metrics;
  metrics["folds"] = parts.size();
  metrics["settings"] = {{"seed", s.seed},
                         {"epochs", s.epochs},
                         {"validation", s.validation},
                         {"k", s.network.k},
                         {"whole_epochs", s.network.whole},
                         {"narrowing_epochs", s.network.narrowing},
                         {"samples", s.network.perturbation.samples},
                         {"sigma", s.network.perturbation.sigma},
                         {"sigma_is_relative", s.network.perturbation.relative},
                         {"dropout", s.network.dropout},
                         {"learning_rate", s.learning_rate},
                         {"weight_decay", s.weight_decay},
                         {"features", s.network.features},
                         {"classes", s.network.classes}};
  std::vector<std::string> header{"method", "fold", "slide_id", "case_id", "label", "prediction"};
  for (std::int64_t c = 0; c < s.network.classes; ++c) header.push_back(message("probability_", c));
  data::csv_writer predictions(study.folder / "predictions.csv", header);
  for (std::size_t m = 0; m < s.methods.size(); ++m) {
    metrics["methods"][s.methods[m]] = figures_of(outcomes[m]);
    for (std::size_t f = 0; f < parts.size(); ++f)
      for (std::size_t i = 0; i < parts[f].test.size(); ++i) {
        const auto& slide = study.slides[static_cast<std::size_t>(slides[static_cast<std::size_t>(parts[f].test[i])])];
        const train::evaluation& said = outcomes[m][f].test;
        std::vector<std::string> row{s.methods[m],  message(f + 1),       slide.id,
                                     slide.patient, message(slide.label), message(said.predictions[i])};
        for (std::int64_t c = 0; c < s.network.classes; ++c)
          row.push_back(data::number_text(
              said.probabilities[i * static_cast<std::size_t>(s.network.classes) + static_cast<std::size_t>(c)]));
        predictions.row(row);
      }
  }
  predictions.commit();
  for (const std::string& method : s.methods)
    for (std::size_t f = 0; f < parts.size(); ++f) {
      const auto path = study.model(method, static_cast<std::int64_t>(f));
      metrics["models"][path.filename().string()] = data::file_digest(path);
    }
  for (const std::int64_t i : slides) {
    const example::study_slide& one = study.slides[static_cast<std::size_t>(i)];
    metrics["slides"][one.id] = {{"label", one.label}, {"case_id", one.patient}, {"digest", one.digest}};
  }
  metrics["class_names"] = study.class_names();
  report::write_json(study.folder / "metrics.json", metrics);
  data::csv_writer splits(study.folder / "splits.csv", {"fold", "part", "slide_id"});
  for (std::size_t f = 0; f < parts.size(); ++f) {
    const auto write = [&](const char* name, const std::vector<std::int64_t>& part) {
      for (const std::int64_t i : part)
        splits.row(f + 1, name, study.slides[static_cast<std::size_t>(slides[static_cast<std::size_t>(i)])].id);
    };
    write("train", parts[f].train), write("validation", parts[f].validation), write("test", parts[f].test);
  }
  splits.commit();
  const bool validated = !parts.front().validation.empty();
  std::vector<report::series> lines;
  for (std::size_t m = 0; m < s.methods.size(); ++m)
    lines.push_back(
        {.name = s.methods[m], .y = example::mean_curve(outcomes[m], validated ? "validation_loss" : "loss")});
  data::write_all(
      study.folder / "curves.svg",
      report::curves_svg(
          {.title = validated ? "Validation loss" : "Training loss", .y_label = "cross-entropy", .lines = lines}));

  std::cout << slides.size() << " slides, " << parts.size() << (parts.size() == 1 ? " fold" : " folds") << "\n";
  for (const auto& [name, figures] : metrics["methods"].items()) {
    char text[160];
    std::snprintf(text, sizeof text, "%-10s AUC %.3f (%.3f to %.3f), accuracy %.3f\n", name.c_str(),
                  figures["auc"].get<double>(), figures["auc_interval"][0].get<double>(),
                  figures["auc_interval"][1].get<double>(), figures["accuracy"].get<double>());
    std::cout << text;
  }
}

// The features of the slides with a label, checked. What cannot be used is named and left out.
void read_all_features(const example::study& study, std::vector<data::feature_pyramid>& features,
                       std::vector<std::int64_t>& slides) {
  // Features by what must be the same for all: how many there are, and what made them where the file says it.
  std::map<std::string, std::int64_t> kinds;
  const auto kind_of = [](const data::feature_pyramid& of) {
    const auto encoder = of.provenance.find("encoder");
    return message(of.levels.front().features.extent(1), " features",
                   encoder == of.provenance.end() ? "" : " of the encoder " + encoder->second);
  };
  const auto leave_out = [](const std::string& id, const std::string& why) {
    std::cerr << "zoom_train: " << id << " is left out: " << why << std::endl;
  };
  for (std::size_t i = 0; i < study.slides.size(); ++i) {
    const example::study_slide& one = study.slides[i];
    if (one.label < 0 || !one.skipped.empty()) continue;
    try {
      features.push_back(example::read_features(study, one));
      slides.push_back(static_cast<std::int64_t>(i));
      ++kinds[kind_of(features.back())];
    } catch (const std::exception& error) {
      leave_out(one.id, error.what());
    }
  }
  expect_value(!slides.empty(), study.folder.string(),
               "no slide has features and a label; give zoom_prepare a --table");
  const std::string most = std::max_element(kinds.begin(), kinds.end(), [](const auto& a, const auto& b) {
                             return a.second < b.second;
                           })->first;
  for (std::size_t i = features.size(); i-- > 0;) {
    const std::string kind = kind_of(features[i]);
    if (kind == most || (most.starts_with(kind + " ") || kind.starts_with(most + " "))) continue;
    const auto& id = study.slides[static_cast<std::size_t>(slides[i])].id;
    leave_out(id, message(study.features(id), " has ", kind, ", most others have ", most));
    features.erase(features.begin() + static_cast<std::ptrdiff_t>(i));
    slides.erase(slides.begin() + static_cast<std::ptrdiff_t>(i));
  }
}

template <class Backend, class Networks, std::size_t Levels>
void run(Backend& device, Networks networks, std::integral_constant<std::size_t, Levels>, const example::study& study,
         settings& s) {
  std::vector<data::feature_pyramid> read;
  std::vector<std::int64_t> slides;  // those with features and a label
  read_all_features(study, read, slides);
  std::set<std::int64_t> labels;
  for (const std::int64_t i : slides) {
    labels.insert(study.slides[static_cast<std::size_t>(i)].label);
    s.network.classes = std::max(s.network.classes, *labels.rbegin() + 1);
  }
  expect_value(labels.size() >= 2, study.folder.string(), "all ", slides.size(), " slides have the label ",
               *labels.begin(), "; there must be two labels or more to learn");
  s.network.features = read.front().levels.front().features.extent(1);
  train::pyramid_dataset<Levels> features(s.network.classes);  // the only copy
  for (std::size_t i = 0; i < read.size(); ++i) {
    const example::study_slide& one = study.slides[static_cast<std::size_t>(slides[i])];
    features.add(one.id, one.label, std::move(read[i]));
  }
  const std::vector<train::hold_out> parts = split(study, slides, s);
  const auto folds = static_cast<std::int64_t>(parts.size()),
             tasks = folds * static_cast<std::int64_t>(s.methods.size());

  std::filesystem::create_directories(study.folder / "models");
  std::vector<std::vector<outcome>> outcomes(s.methods.size(), std::vector<outcome>(parts.size()));
  std::mutex mutex;
  std::int64_t done = 0;
  train::progress progress("epochs", tasks * s.epochs, train::progress_to_stderr());
  const auto work = [&](auto& backend, std::int64_t task) {
    const auto method = static_cast<std::size_t>(task / folds), fold = static_cast<std::size_t>(task % folds);
    const auto advance = [&](std::int64_t by) {
      const std::lock_guard lock(mutex);
      progress.update(done += by);
    };
    outcomes[method][fold] = train_one(backend, networks, features, parts[fold], study, s.methods[method],
                                       static_cast<std::int64_t>(fold), s, advance);
  };
  if constexpr (is_cpu<Backend>) {  // networks side by side: each is too small for many threads
    std::vector<cpu> own(static_cast<std::size_t>(device.thread_count()));
    for (cpu& each : own) each.threads = 1;
    parallel_for(device, tasks, 1,
                 [&](row_range rows, int thread) { work(own[static_cast<std::size_t>(thread)], rows.first); });
  } else {
    for (std::int64_t task = 0; task < tasks; ++task) work(device, task);
  }
  write_results(study, s, slides, parts, outcomes);
}

int main(int argc, char** argv) {
  example::study study;
  settings s;
  example::device device;
  example::command_line line(
      "Trains ZoomMIL, and what it is compared with, on the features of a study: splits by patient, the paper's "
      "protocol, metrics of the test slides with bootstrap intervals. Goes on where it was interrupted.");
  line.folder("STUDY", study.folder, "folder that zoom_prepare made");
  line.option(
      "--methods", s.methods,
      "what to train: zoom_mil with a straight-through gradient, perturbed with the paper's; the others are what it is "
      "compared with",
      example::methods);
  line.option("--folds", s.folds, "cross-validation; 1: a single split", 1);
  line.option("--validation", s.validation, "share of the training slides that choose the epoch; 0: the last one", 0,
              1);
  line.option("--test", s.test, "share of the slides to test on, with --folds 1", 0, 1);
  line.option("--k", s.network.k, "tiles to zoom into, at each magnification but the highest");
  line.option("--samples", s.network.perturbation.samples, "draws of the perturbed top-K, of the method perturbed", 2);
  line.option("--sigma", s.network.perturbation.sigma, "of its noise");
  line.flag("--relative-sigma", s.network.perturbation.relative, "--sigma is in units of 1 / tiles");
  line.option("--dropout", s.network.dropout, "rate", 0, 1);
  line.option("--epochs", s.epochs, "passes over the training slides", 1);
  line.option("--whole-epochs", s.network.whole,
              "epochs in which a training zooms into all tiles, and so learns what to look for; with 0, and "
              "--narrowing-epochs 0, K is that of the paper; -1: half of all",
              -1);
  line.option("--narrowing-epochs", s.network.narrowing,
              "epochs after them in which that narrows to --k tiles, and it learns where to look; -1: a third of all",
              -1);
  line.option("--learning-rate", s.learning_rate,
              "of AdamW; it falls to 0 along a cosine in the whole epochs, and from half of it in the others");
  line.option("--weight-decay", s.weight_decay, "of AdamW");
  line.option("--seed", s.seed, "seed of splits, weights and training");
  line.option(device);
  return example::run("zoom_train", line, argc, argv, [&] {
    if (s.network.whole < 0) s.network.whole = s.epochs / 2;
    if (s.network.narrowing < 0) s.network.narrowing = s.epochs / 3;
    expect_value(s.network.whole + s.network.narrowing <= s.epochs, "--whole-epochs and --narrowing-epochs", "are ",
                 s.network.whole, " and ", s.network.narrowing, ", expected at most the ", s.epochs,
                 " of --epochs together");
    study = example::read_study(study.folder);
    example::on_device(device, [&](auto& backend) {
      example::with_levels(study, [&](auto levels) {
        if (example::is_small(study)) run(backend, example::small_networks(), levels, study, s);
        else run(backend, example::paper_networks(), levels, study, s);
      });
    });
    return 0;
  });
}
