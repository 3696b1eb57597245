// Cross-validated AB-MIL (Ilse, Tomczak & Welling 2018) on the classic bags of multiple-instance learning:
//   classic_bags musk1.data --pooling gated --repeats 5
#include <algorithm>
#include <iostream>
#include <set>

#include <milkit/data/bag_csv.hpp>
#include <milkit/data/standardise.hpp>
#include <milkit/milkit.hpp>

#include "support/command_line.hpp"
#include "support/cross_validation_report.hpp"

using namespace milkit;

// The network of the paper for feature vectors: three layers, a pooler, a classifier.
using encoder = nn::sequential<nn::linear<dynamic_extent, 256>, nn::relu, nn::dropout, nn::linear<256, 128>, nn::relu,
                               nn::dropout, nn::linear<128, 64>, nn::relu, nn::dropout>;
template <class Pooler>
using network = models::bag_classifier<encoder, Pooler, nn::linear<64, 2>>;

struct settings {
  std::vector<std::string> files;
  std::string pooling = "gated";
  std::filesystem::path out = "out/classic_bags";
  train::cross_validation_options folds = {.repeats = 5, .seed = 1};
  std::int64_t epochs = 50;
  double learning_rate = 5e-4, weight_decay = 5e-3, dropout = 0.25;
  train::bag_augmentation augmentation = {};
  example::device device;
};

data::bag_table read(const std::string& file) {
  data::bag_table bags = data::read_bags(file);
  for (std::size_t b = 0; b < bags.labels.size(); ++b)
    if (bags.labels[b] > 1)
      throw value_error(message(file, ": bag '", bags.names[b], "' has label ", bags.labels[b], ", expected 0 or 1"));
  if (std::count(bags.labels.begin(), bags.labels.end(), bags.labels[0]) == bags.bags())
    throw value_error(message(file, ": all ", bags.bags(), " bags have the label ", bags.labels[0],
                              ", expected two labels, 0 and 1"));
  return bags;
}

template <class Pooler, class Backend>
train::cross_validation_result run(Backend& device, const data::bag_table& bags, const settings& s) {
  const nn::dropout drop{.rate = s.dropout};
  const encoder layers({.in = {bags.features()}}, {}, drop, {}, {}, drop, {}, {}, drop);
  const network<Pooler> net{.embedding = {.encoder = layers}};
  return train::cross_validate(
      device, bags.labels, {}, s.folds, [&](Backend& backend, const train::fold& fold, std::uint64_t seed) {
        const data::bag_table own = data::standardised(bags, fold.train);  // by the training bags of this fold
        train::augmented_table all(own, s.augmentation);
        train::subset training(all, fold.train), test(all, fold.test);
        auto weights = initial_parameters<float>(backend, net, {.seed = seed});
        train::trainer trainer(backend, net,
                               train::adam{.learning_rate = s.learning_rate, .weight_decay = s.weight_decay},
                               loss::cross_entropy{}, train::cosine_schedule{.epochs = s.epochs});
        const auto history =
            trainer.fit(weights, training, test, {.epochs = s.epochs, .seed = seed, .restore_best = false});
        return std::pair(trainer.evaluate(weights, test), history);
      });
}

int main(int argc, char** argv) {
  settings s;
  example::command_line line(
      "Cross-validated attention-based MIL on bags of feature vectors (UCI C4.5, or CSV: bag,label,f1,...).");
  line.files("files", s.files, "files of bags; the format is recognised");
  line.option("--pooling", s.pooling, "how instances become a bag", {"attention", "gated", "mean", "max"});
  line.option("--folds", s.folds.folds, "folds", 2);
  line.option("--repeats", s.folds.repeats, "repetitions with other folds and weights", 1);
  line.option("--only-fold", s.folds.only_fold, "run one fold alone, 1 to --folds; 0: all");
  line.option("--seed", s.folds.seed, "seed of folds, weights and training");
  line.option("--epochs", s.epochs, "passes over the training bags", 1);
  line.option("--learning-rate", s.learning_rate, "of Adam, falling to 0 along a cosine");
  line.option("--weight-decay", s.weight_decay, "L2 on the weights");
  line.option("--dropout", s.dropout, "rate after each layer", 0, 1);
  line.option("--drop", s.augmentation.drop, "share of a training bag's instances that are left out at random", 0, 1);
  line.option("--noise", s.augmentation.noise, "deviation of the noise on training features");
  line.option(s.device);
  line.option("--out", s.out, "folder for report.html, metrics.json, predictions.csv");
  return example::run("classic_bags", line, argc, argv, [&] {
    s.folds.progress = train::progress_to_stderr();
    std::set<std::string> folders;
    for (const std::string& file : s.files) {
      const data::bag_table bags = read(file);
      const std::string name = std::filesystem::path(file).stem().string();
      std::string folder = name;
      for (int i = 2; !folders.insert(folder).second; ++i) folder = message(name, "_", i);
      const auto out = s.files.size() == 1 ? s.out : s.out / folder;
      std::filesystem::create_directories(out);
      std::cout << file << ": " << bags.bags() << " bags, " << bags.instances.rows() << " instances, "
                << bags.features() << " features\n";
      for (const std::string& column : bags.ignored)
        std::cout << file << ": column '" << column << "' is no feature and is left out\n";
      train::cross_validation_result result;
      example::on_device(s.device, [&](auto& device) {
        result = s.pooling == "gated"       ? run<pooling::gated_attention<64, 64>>(device, bags, s)
                 : s.pooling == "attention" ? run<pooling::attention<64, 64>>(device, bags, s)
                 : s.pooling == "mean"      ? run<pooling::mean>(device, bags, s)
                                            : run<pooling::max>(device, bags, s);
      });
      example::report(out, name + ", " + s.pooling + " pooling",
                      message(s.folds.folds, " folds, ", s.folds.repeats, " repeats, seed ", s.folds.seed), result,
                      [&](std::int64_t bag) { return bags.names[static_cast<std::size_t>(bag)]; },
                      {{"pooling", s.pooling},
                       {"epochs", message(s.epochs)},
                       {"learning_rate", message(s.learning_rate)},
                       {"weight_decay", message(s.weight_decay)},
                       {"dropout", message(s.dropout)},
                       {"drop", message(s.augmentation.drop)},
                       {"noise", message(s.augmentation.noise)},
                       {"seed", message(s.folds.seed)}});
    }
    return 0;
  });
}
