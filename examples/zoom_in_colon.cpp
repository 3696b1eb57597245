// The Zoom-In network on whole images of colon tissue (Kong & Henao 2022): from the pixels and a label an image to an attention over its
// tiles, one over the cells of a tile, and ten sub-tiles of 27 x 27 pixels that decide. An image is positive when some nucleus is epithelial.
//   zoom_in_colon DIR --draws 10
#include <cmath>
#include <iostream>
#include <mutex>

#include <milkit/milkit.hpp>
#include <milkit/report/patches.hpp>

#include "support/colon_images.hpp"
#include "support/command_line.hpp"
#include "support/cross_validation_report.hpp"
#include "support/start_convolutions.hpp"

using namespace milkit;

using two_stages =
    models::zoom_in<models::tile_attention<>, models::cell_attention<>, models::lenet_features<>, nn::linear<32, 2>>;
using one_stage =
    models::zoom_in<models::whole_image, models::cell_attention<>, models::lenet_features<>, nn::linear<32, 2>>;

struct settings {
  std::filesystem::path folder, out = "out/zoom_in_colon";
  std::int64_t draws = 10, epochs = 100, even_epochs = -1, looks = 10;
  bool one_stage = false, official_gradient = false, no_contrast = false;
  double learning_rate = 3e-3, weight_decay = 1e-5, first_entropy = 0.05, entropy = 0.001;
  example::image_augmentation augmentation = {.turned = true, .stain = 0.1, .zoom = 0.3};
  train::cross_validation_options folds = {.seed = 1};
  example::device device;
};

// Images as the network takes them; training sees them turned, stained otherwise, nearer or farther.
class image_dataset {
 public:
  image_dataset(const std::vector<example::colon_image>& images, const example::image_augmentation& augmentation)
      : images_(&images), augmentation_(augmentation) {}
  std::int64_t size() const { return static_cast<std::int64_t>(images_->size()); }
  std::int64_t classes() const { return 2; }
  std::int64_t label(std::int64_t i) const { return at(i).label; }
  auto bag(std::int64_t i) { return prepared(i, {}, {}); }
  auto bag(std::int64_t i, const random_stream& random) { return prepared(i, augmentation_, random); }

 private:
  const example::colon_image& at(std::int64_t i) const { return (*images_)[static_cast<std::size_t>(i)]; }
  sampling::planar_image<float> prepared(std::int64_t i, const example::image_augmentation& how,
                                         const random_stream& random) {
    const rgb_image& picture = at(i).picture;
    const std::int64_t side = picture.extent(0);
    example::prepare_planes(picture, how, random, planes_);
    return {view<const float, 3>(planes_.data(), {3, side, side})};
  }
  const std::vector<example::colon_image>* images_;
  example::image_augmentation augmentation_;
  std::vector<float> planes_;
};

template <class Network>
Network network_of(const settings& s) {
  Network net;
  net.options.draws = s.draws;
  net.options.first_entropy = s.first_entropy;
  net.options.entropy = s.entropy;
  net.options.entropy_epochs = s.even_epochs;
  net.options.contrastive = !s.no_contrast;
  net.options.contrastive_from = s.even_epochs;
  net.options.inference = models::looking::sampled;
  net.options.repeats = s.looks;
  if (s.official_gradient) net.cell_sampler.estimator = ops::draw_estimator::official_zoom_in;
  if constexpr (Network::one_stage) net.options.views.tile = {};
  // The attention starts even (PyTorch's default) and is kept so until the features say something; what it then leaves is asked to look
  // negative. With the paper's lambda of 1e-5 from the start it settles on a few cells of some lumen within the first epochs.
  example::start_convolutions(net.features.layers);
  return net;
}

// Attention of the whole image, cell by cell: a_c b_i of cell i of tile c, on one grid.
struct attention_map {
  std::int64_t rows = 0, columns = 0;
  std::vector<double> values, tiles;  // tiles: a_c / cells, on the same grid
};
template <class T>
attention_map map_of(const models::zoom_in_prediction<T>& seen) {
  const auto tiles = seen.grid.tiles();
  const auto cells = seen.grid.cells;
  attention_map map{tiles.rows * cells.rows, tiles.columns * cells.columns, {}, {}};
  for (std::int64_t y = 0; y < map.rows; ++y)
    for (std::int64_t x = 0; x < map.columns; ++x) {
      const std::int64_t tile = tiles.index({y / cells.rows, x / cells.columns}),
                         cell = cells.index({y % cells.rows, x % cells.columns});
      const double a = static_cast<double>(seen.tile_attention.view()(0, tile));
      map.values.push_back(a * static_cast<double>(seen.cell_attention.view()(tile, cell)));
      map.tiles.push_back(a / static_cast<double>(cells.size()));
    }
  return map;
}

// Whether an epithelial nucleus lies in the sub-tile around the middle of each cell.
std::vector<double> truth_of(const example::colon_image& image, const attention_map& map, std::int64_t side) {
  std::vector<double> truth;
  const double half = 13.5, step_y = static_cast<double>(side) / static_cast<double>(map.rows),
               step_x = static_cast<double>(side) / static_cast<double>(map.columns);
  for (std::int64_t y = 0; y < map.rows; ++y)
    for (std::int64_t x = 0; x < map.columns; ++x)
      truth.push_back(std::any_of(image.nuclei.begin(), image.nuclei.end(), [&](const example::nucleus& n) {
        return n.epithelial && std::abs(n.y - (static_cast<double>(y) + 0.5) * step_y) <= half &&
               std::abs(n.x - (static_cast<double>(x) + 0.5) * step_x) <= half;
      }));
  return truth;
}

// A picture below a map of the same field, brighter where the value is larger.
rgb_image lit(const rgb_image& picture, const std::vector<double>& values, const attention_map& map) {
  const double most = *std::max_element(values.begin(), values.end());
  rgb_image made = picture.clone();
  for (std::int64_t y = 0; y < made.extent(0); ++y)
    for (std::int64_t x = 0; x < made.extent(1); ++x) {
      const double value = values[static_cast<std::size_t>(y * map.rows / made.extent(0) * map.columns +
                                                           x * map.columns / made.extent(1))];
      const double share = most > 0 ? 0.15 + 0.85 * value / most : 1;
      for (int c = 0; c < 3; ++c) pixel(made, y, x)[c] = static_cast<std::uint8_t>(pixel(made, y, x)[c] * share + 0.5);
    }
  return made;
}

// The image with its epithelial nuclei, both attentions, and the sub-tiles of one look.
template <class T>
rgb_image explain(const example::colon_image& image, const attention_map& map,
                  const std::vector<typename models::zoom_in_prediction<T>::subtile>& subtiles) {
  rgb_image marked = image.picture.clone(), drawn = image.picture.clone();
  for (const example::nucleus& n : image.nuclei)
    if (n.epithelial)
      report::outline(marked, {static_cast<std::int64_t>(n.x) - 6, static_cast<std::int64_t>(n.y) - 6, 13, 13},
                      {10, 140, 60}, 1, 2);
  for (const auto& each : subtiles)
    report::outline(drawn, {each.origin.column, each.origin.row, 27, 27}, {222, 60, 16}, 1, 2);
  const rgb_image tiles = lit(image.picture, map.tiles, map), cells = lit(image.picture, map.values, map);
  const std::vector<report::captioned_picture> row = {{&marked, image.name + ", epithelial nuclei"},
                                                      {&tiles, "attention over tiles"},
                                                      {&cells, "attention over cells"},
                                                      {&drawn, "sub-tiles drawn"}};
  return report::draw_side_by_side(row);
}

// Pictures of the positive test images, and how well their attention ranks the true regions.
struct explained {
  std::vector<std::pair<std::int64_t, rgb_image>> pictures;
  std::vector<double> correlations;
};

template <class Network, class Backend, class Weights>
void explain_fold(Backend& backend, Network net, const Weights& weights, image_dataset& all,
                  const std::vector<example::colon_image>& images, const train::fold& fold, std::mutex& mutex,
                  explained& said) {
  for (const std::int64_t i : fold.test) {
    const auto& image = images[static_cast<std::size_t>(i)];
    if (image.label == 0) continue;
    const auto source = all.bag(i);
    const auto look =
        models::predict(backend, net, weights, source, random_stream(0, static_cast<std::uint64_t>(i), 0));
    const auto seen = models::attend(backend, net, weights, source);
    const attention_map map = map_of(seen);
    const double correlation = example::spearman(map.values, truth_of(image, map, image.picture.extent(0)));
    rgb_image picture = explain<float>(image, map, look.subtiles);
    const std::lock_guard lock(mutex);
    if (!std::isnan(correlation)) said.correlations.push_back(correlation);
    said.pictures.emplace_back(i, std::move(picture));
  }
}

template <class Network, class Backend>
void run(Backend& device, const example::colon_images& read, const settings& s) {
  const Network net = network_of<Network>(s);
  const auto& images = read.images;
  std::vector<std::int64_t> labels;
  for (const auto& image : images) labels.push_back(image.label);
  std::mutex mutex;
  explained said;
  const auto result = train::cross_validate(
      device, labels, {}, s.folds, [&](Backend& backend, const train::fold& fold, std::uint64_t seed) {
        image_dataset all(images, s.augmentation);
        train::subset training(all, fold.train), test(all, fold.test);
        auto weights = initial_parameters<float>(backend, net, {.seed = seed});
        const train::adam adam{.learning_rate = s.learning_rate, .weight_decay = s.weight_decay};
        Network glancing = net;  // one look is enough for the curves
        glancing.options.repeats = 1;
        train::trainer trainer(backend, glancing, adam, loss::cross_entropy{},
                               train::cosine_schedule{.epochs = s.epochs});
        train::fit_options fit{.epochs = s.epochs, .seed = seed, .bags_per_step = 5, .restore_best = false};
        if (s.folds.only_fold > 0) fit.progress = s.folds.progress;
        const auto history = trainer.fit(weights, training, test, fit);
        explain_fold(backend, net, weights, all, images, fold, mutex, said);
        return std::pair(train::trainer(backend, net, adam).evaluate(weights, test), history);
      });
  std::sort(said.pictures.begin(), said.pictures.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
  const auto correlation = train::mean_of(said.correlations);
  const std::size_t shown = std::min<std::size_t>(said.pictures.size(), 3);
  for (std::size_t k = 0; k < shown; ++k)
    data::write_png(s.out / message("attention_", k + 1, ".png"), said.pictures[k].second.view());
  std::cout << "attention against epithelial regions, Spearman: " << correlation.mean << " over " << correlation.count
            << " positive test images\n";
  example::report(
      s.out,
      Network::one_stage ? "Attention sampling on colon tissue, one stage" : "Zoom-In on colon tissue, two stages",
      message(images.size(), " images, ", read.skipped.size(), " skipped, ", result.folds.size(), " runs of ",
              s.folds.folds, " folds, seed ", s.folds.seed),
      result, [&](std::int64_t bag) { return images[static_cast<std::size_t>(bag)].name; },
      {{"stages", Network::one_stage ? "1" : "2"},
       {"draws", message(s.draws)},
       {"estimator", s.official_gradient ? "official" : "unordered"},
       {"contrastive", s.no_contrast ? "no" : "yes"},
       {"first_entropy", message(s.first_entropy)},
       {"entropy", message(s.entropy)},
       {"even_epochs", message(s.even_epochs)},
       {"looks", message(s.looks)},
       {"epochs", message(s.epochs)},
       {"learning_rate", message(s.learning_rate)},
       {"weight_decay", message(s.weight_decay)},
       {"stain", message(s.augmentation.stain)},
       {"zoom", message(s.augmentation.zoom)},
       {"seed", message(s.folds.seed)},
       {"images", message(images.size())},
       {"skipped", message(read.skipped.size())},
       {"spearman", message(correlation.mean)}},
      {.best_epoch_on_test = true, .more = [&](report::html_page& page) {
         if (!read.skipped.empty()) {
           auto& section = page.section("Skipped");
           for (const std::string& each : read.skipped) section.paragraph(each);
         }
         if (shown == 0) return;
         auto& section = page.section("Positive test images");
         for (std::size_t k = 0; k < shown; ++k)
           section.picture(
               said.pictures[k].second.view(),
               "Left to right: the image and its epithelial nuclei, which training never sees; the attention over "
               "tiles; the "
               "attention over all cells of all tiles; the sub-tiles of one look, from which the network decides.");
       }});
}

int main(int argc, char** argv) {
  settings s;
  example::command_line line("Cross-validated Zoom-In network on whole images of colon tissue, end to end.");
  line.folder("DIR", s.folder,
              "folder with images, labels.csv (image,label) and, for the pictures, nuclei.csv (image,type,x,y)");
  line.option("--draws", s.draws, "sub-tiles that are drawn from an image", 1);
  line.flag("--one-stage", s.one_stage,
            "attention over the cells of the whole image (ATS) instead of over tiles and their cells");
  line.flag("--official-gradient", s.official_gradient,
            "the official code's gradient, which is biased, instead of the unbiased one");
  line.flag("--no-contrast", s.no_contrast, "without the contrastive branch");
  line.option("--first-entropy", s.first_entropy,
              "lambda of the entropy regulariser in the first epoch, falling to --entropy");
  line.option("--entropy", s.entropy, "lambda after --even-epochs");
  line.option("--even-epochs", s.even_epochs,
              "epochs in which lambda falls; the contrastive branch comes after them; -1: three fifths of all", -1);
  line.option("--looks", s.looks, "looks at a test image, whose logits are averaged", 1);
  line.option("--folds", s.folds.folds, "folds", 2);
  line.option("--repeats", s.folds.repeats, "repetitions with other folds and weights", 1);
  line.option("--only-fold", s.folds.only_fold, "run one fold alone, 1 to --folds; 0: all");
  line.option("--seed", s.folds.seed, "seed of folds, weights and training");
  line.option("--epochs", s.epochs, "passes over the training images", 1);
  line.option("--learning-rate", s.learning_rate, "of Adam, falling to 0 along a cosine");
  line.option("--weight-decay", s.weight_decay, "L2 on the weights");
  line.option("--stain", s.augmentation.stain, "stains of training images are multiplied by up to 1 plus or minus this",
              0, 1);
  line.option("--zoom", s.augmentation.zoom, "training images are shown up to 1 plus this times as large, or as small",
              0, 1);
  line.option(s.device);
  line.option("--out", s.out, "folder for report.html, metrics.json, predictions.csv, attention_1.png, ...");
  return example::run("zoom_in_colon", line, argc, argv, [&] {
    s.folds.progress = train::progress_to_stderr();
    if (s.even_epochs < 0) s.even_epochs = 3 * s.epochs / 5;
    std::filesystem::create_directories(s.out);
    const auto read = example::read_colon_images(s.folder);
    for (const std::string& each : read.skipped) std::cerr << "skipped: " << each << "\n";
    example::on_device(s.device, [&](auto& device) {
      if (s.one_stage) run<one_stage>(device, read, s);
      else run<two_stages>(device, read, s);
    });
    return 0;
  });
}
