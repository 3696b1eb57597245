// Cross-validated AB-MIL on colon tissue, end to end from pixels (Ilse, Tomczak & Welling 2018, section 4.3): an image
// is the bag of the 27 x 27 patches around its nuclei, and it is positive when some nucleus is epithelial.
//   colon_nuclei DIR --pooling gated
#include <iostream>
#include <mutex>

#include <milkit/data/augmentation.hpp>
#include <milkit/data/csv.hpp>
#include <milkit/data/png.hpp>
#include <milkit/data/row_ids.hpp>
#include <milkit/milkit.hpp>
#include <milkit/report/patches.hpp>

#include "support/command_line.hpp"
#include "support/cross_validation_report.hpp"

using namespace milkit;

// The network of the paper: 27 x 27 x 3 -> 24 x 24 x 36 -> 12 x 12 -> 10 x 10 x 48 -> 5 x 5 -> 512 -> 512, a pooler, a
// classifier.
using encoder = nn::sequential<nn::conv2d<3, 36, 4>, nn::relu, nn::max_pool2d, nn::conv2d<36, 48, 3>, nn::relu,
                               nn::max_pool2d, nn::flatten, nn::linear<48 * 5 * 5, 512>, nn::relu, nn::dropout,
                               nn::linear<512, 512>, nn::relu, nn::dropout>;
template <class Pooler>
using network = models::bag_classifier<encoder, Pooler, nn::linear<512, 2>>;

constexpr std::int64_t side = 27;

struct nucleus {
  std::int64_t x, y;
  bool epithelial;
};
struct tissue_image {
  std::string name;
  std::int64_t label;
  rgb_image picture;
  std::vector<nucleus> nuclei;
  float mean[3], scale[3];  // of each colour of the picture
};

std::vector<tissue_image> read_images(const std::filesystem::path& folder) {
  const data::csv_table labels = data::read_csv(folder / "labels.csv"), nuclei = data::read_csv(folder / "nuclei.csv");
  std::vector<tissue_image> images;
  data::row_ids names;
  data::row_files files;
  for (std::int64_t row = 0; row < labels.size(); ++row) {
    files.add(labels, row, labels.column("image"), folder / labels.text(row, labels.column("image")));
    tissue_image image{
        names.add(labels, row, labels.column("image")), labels.integer(row, labels.column("label")), {}, {}, {}, {}};
    if (image.label != 0 && image.label != 1) labels.fail(row, labels.column("label"), "is a label, expected 0 or 1");
    image.picture = data::read_png(folder / image.name);
    const std::int64_t pixels = image.picture.extent(0) * image.picture.extent(1);
    for (int c = 0; c < 3; ++c) {
      double sum = 0, square = 0;
      for (std::int64_t i = 0; i < pixels; ++i) {
        const double v = image.picture.data()[3 * i + c] / 255.0;
        sum += v;
        square += v * v;
      }
      const double mean = sum / static_cast<double>(pixels);
      image.mean[c] = static_cast<float>(mean);
      image.scale[c] =
          static_cast<float>(1 / std::sqrt(std::max(square / static_cast<double>(pixels) - mean * mean, 1e-4)));
    }
    images.push_back(std::move(image));
  }
  for (std::int64_t row = 0; row < nuclei.size(); ++row) {
    const auto found = std::find_if(images.begin(), images.end(),
                                    [&](const auto& i) { return i.name == nuclei.text(row, nuclei.column("image")); });
    if (found == images.end()) nuclei.fail(row, nuclei.column("image"), "is an image that labels.csv does not have");
    const auto pixel_at = [&](const char* column, std::int64_t pixels) {
      const double at = nuclei.number(row, nuclei.column(column));
      if (!(at >= 0 && at <= static_cast<double>(pixels)))
        nuclei.fail(row, nuclei.column(column), message("is outside the picture, expected 0 to ", pixels));
      return static_cast<std::int64_t>(std::llround(at));
    };
    found->nuclei.push_back({pixel_at("x", found->picture.extent(1)), pixel_at("y", found->picture.extent(0)),
                             nuclei.text(row, nuclei.column("type")) == "epithelial"});
  }
  for (const auto& image : images)
    if (image.nuclei.empty()) throw value_error(image.name + ": has no nuclei, expected at least one");
  return images;
}

// Patches around the nuclei, cut and augmented when they are asked for.
class patches {
 public:
  explicit patches(const std::vector<tissue_image>& images) : images_(&images) {
    std::size_t most = 0;
    for (const auto& image : images) most = std::max(most, image.nuclei.size());
    buffer_ = tensor<float, 4>({static_cast<std::int64_t>(most), 3, side, side});
  }
  std::int64_t size() const { return static_cast<std::int64_t>(images_->size()); }
  std::int64_t classes() const { return 2; }
  std::int64_t label(std::int64_t i) const { return (*images_)[static_cast<std::size_t>(i)].label; }
  auto bag(std::int64_t i) { return cut(i, {.orientation = false, .stain = 0}, {}); }
  auto bag(std::int64_t i, const random_stream& random) { return cut(i, {}, random); }

 private:
  bag_batch<bag_view<float, 4>> cut(std::int64_t i, const data::augmentation& how, const random_stream& random) {
    const tissue_image& image = (*images_)[static_cast<std::size_t>(i)];
    const auto count = static_cast<std::int64_t>(image.nuclei.size());
    const auto bag = buffer_.view().rows(0, count);
    for (std::int64_t n = 0; n < count; ++n) {
      const nucleus& at = image.nuclei[static_cast<std::size_t>(n)];
      data::cut_patch(image.picture, at.x, at.y, side, how, random, static_cast<std::uint64_t>(n), bag.row(n));
      for (int c = 0; c < 3; ++c)
        for (std::int64_t k = 0; k < side * side; ++k) {
          float& v = bag.row(n)[c * side * side + k];
          v = (v - image.mean[c]) * image.scale[c];
        }
    }
    return bags_of(view<const float, 4>(bag));
  }

  const std::vector<tissue_image>* images_;
  tensor<float, 4> buffer_;
};

struct settings {
  std::filesystem::path folder, out = "out/colon_nuclei";
  std::string pooling = "gated";
  train::cross_validation_options folds = {.seed = 1};
  std::int64_t epochs = 60;
  double learning_rate = 1e-4, weight_decay = 5e-4;
  example::device device;
};

// The picture, its epithelial nuclei, and its patches as bright as their attention.
rgb_image explain(const tissue_image& image, matrix_view<const float> attention) {
  std::vector<report::pixel_rectangle> all;
  std::vector<double> weights, truth;
  for (std::size_t i = 0; i < image.nuclei.size(); ++i) {
    const nucleus& n = image.nuclei[i];
    all.push_back({n.x - side / 2, n.y - side / 2, side, side});
    weights.push_back(static_cast<double>(attention(static_cast<std::int64_t>(i), 0)));
    truth.push_back(n.epithelial ? 1 : 0);
  }
  const rgb_image weighted = report::draw_weighted_patches(image.picture, all, weights);
  const rgb_image epithelial = report::draw_weighted_patches(image.picture, all, truth);
  const std::vector<report::captioned_picture> row = {
      {&image.picture, image.name}, {&epithelial, "epithelial nuclei"}, {&weighted, "attention"}};
  return report::draw_side_by_side(row);
}

template <class Pooler, class Backend>
void run(Backend& device, const std::vector<tissue_image>& images, const settings& s) {
  const network<Pooler> net;
  std::vector<std::int64_t> labels;
  for (const auto& image : images) labels.push_back(image.label);
  std::mutex mutex;
  std::int64_t explained = -1;  // the lowest positive test image, so that the picture does not depend on timing
  rgb_image picture;
  const auto result = train::cross_validate(
      device, labels, {}, s.folds, [&](Backend& backend, const train::fold& fold, std::uint64_t seed) {
        patches all(images);
        train::subset training(all, fold.train), test(all, fold.test);
        auto weights = initial_parameters<float>(backend, net, {.seed = seed});
        train::trainer trainer(backend, net,
                               train::adam{.learning_rate = s.learning_rate, .weight_decay = s.weight_decay},
                               loss::cross_entropy{}, train::cosine_schedule{.epochs = s.epochs});
        train::fit_options fit{.epochs = s.epochs, .seed = seed, .restore_best = false};
        if (s.folds.only_fold > 0) fit.progress = s.folds.progress;
        const auto history = trainer.fit(weights, training, test, fit);
        const auto positive = std::find_if(fold.test.begin(), fold.test.end(),
                                           [&](std::int64_t i) { return labels[static_cast<std::size_t>(i)] == 1; });
        if (positive != fold.test.end()) {
          const auto seen = models::predict(backend, net, weights, all.bag(*positive));
          const std::lock_guard lock(mutex);
          if (explained < 0 || *positive < explained) {
            explained = *positive;
            picture = explain(images[static_cast<std::size_t>(*positive)], seen.attention.view());
          }
        }
        return std::pair(trainer.evaluate(weights, test), history);
      });
  if (explained >= 0) data::write_png(s.out / "attention.png", picture.view());
  example::report(
      s.out, "Colon nuclei, " + s.pooling + " pooling",
      message(images.size(), " images, ", result.folds.size(), " of ", s.folds.folds, " folds, seed ", s.folds.seed),
      result, [&](std::int64_t bag) { return images[static_cast<std::size_t>(bag)].name; },
      {{"pooling", s.pooling},
       {"epochs", message(s.epochs)},
       {"learning_rate", message(s.learning_rate)},
       {"weight_decay", message(s.weight_decay)},
       {"seed", message(s.folds.seed)}},
      {.best_epoch_on_test = true, .more = [&](report::html_page& page) {
         if (explained >= 0)
           page.section("A positive test image")
               .picture(picture.view(),
                        "Left: the image. Middle: the patches of its epithelial nuclei, which training never sees. "
                        "Right: every patch as bright as its attention.");
       }});
}

int main(int argc, char** argv) {
  settings s;
  example::command_line line(
      "Cross-validated attention-based MIL on patches around the nuclei of colon tissue images, end to end.");
  line.folder("DIR", s.folder, "folder with images, labels.csv (image,label) and nuclei.csv (image,type,x,y)");
  line.option("--pooling", s.pooling, "how patches become a bag", {"attention", "gated", "mean", "max"});
  line.option("--folds", s.folds.folds, "folds", 2);
  line.option("--repeats", s.folds.repeats, "repetitions with other folds and weights", 1);
  line.option("--only-fold", s.folds.only_fold, "run one fold alone, 1 to --folds; 0: all");
  line.option("--seed", s.folds.seed, "seed of folds, weights and training");
  line.option("--epochs", s.epochs, "passes over the training images", 1);
  line.option("--learning-rate", s.learning_rate, "of Adam, falling to 0 along a cosine");
  line.option("--weight-decay", s.weight_decay, "L2 on the weights");
  line.option(s.device);
  line.option("--out", s.out, "folder for report.html, metrics.json, predictions.csv, attention.png");
  return example::run("colon_nuclei", line, argc, argv, [&] {
    s.folds.progress = train::progress_to_stderr();
    std::filesystem::create_directories(s.out);
    const auto images = read_images(s.folder);
    example::on_device(s.device, [&](auto& device) {
      if (s.pooling == "gated") run<pooling::gated_attention<512, 128>>(device, images, s);
      else if (s.pooling == "attention") run<pooling::attention<512, 128>>(device, images, s);
      else if (s.pooling == "mean") run<pooling::mean>(device, images, s);
      else run<pooling::max>(device, images, s);
    });
    return 0;
  });
}
