// What looking at a large image costs: one training step of a CNN on all of its pixels, of attention sampling in one
// stage (Katharopoulos & Fleuret 2019) and in two (Zoom-In network, Kong & Henao 2022), as the image grows. A small
// object decides the label.
//   zoom_in_needle --sizes 1024,2048,4096,8192,16384
#include <array>
#include <cmath>
#include <cstdio>
#include <iostream>
#include <optional>

#include <milkit/data/png.hpp>
#include <milkit/milkit.hpp>
#include <milkit/report/curves.hpp>
#include <milkit/report/html.hpp>
#include <milkit/report/json.hpp>
#include <milkit/report/patches.hpp>
#include <milkit/sampling/slide_views.hpp>

#include "support/command_line.hpp"
#include "support/needle_picture.hpp"
#include "support/resident_memory.hpp"
#include "support/start_convolutions.hpp"
#include "support/text.hpp"

using namespace milkit;
using example::text;

using whole_cnn = nn::sequential<models::lenet_features<>, nn::linear<32, 2>>;
using one_stage =
    models::zoom_in<models::whole_image, models::cell_attention<>, models::lenet_features<>, nn::linear<32, 2>>;
using two_stages =
    models::zoom_in<models::tile_attention<>, models::cell_attention<>, models::lenet_features<>, nn::linear<32, 2>>;

// For the short trainings: convolutions with strides, a fiftieth of the work. A needle is a hundredth of what the
// sub-tiles see, so without the layer norm the classifier's weights would have to grow a hundredfold before anything
// is learned.
using small_features = nn::sequential<nn::conv2d_same<3, 16, 5, true, 2>, nn::relu, nn::conv2d_same<16, 32, 3, true, 2>,
                                      nn::relu, nn::global_average_pool>;
using small_classifier = nn::sequential<nn::layer_norm<32>, nn::linear<32, 2>>;
using small_one_stage =
    models::zoom_in<models::whole_image, models::cell_attention<>, small_features, small_classifier>;
using small_two_stages =
    models::zoom_in<models::tile_attention<>, models::cell_attention<>, small_features, small_classifier>;

struct settings {
  std::filesystem::path out = "out/zoom_in_needle";
  std::vector<std::int64_t> sizes = {1024, 2048, 4096, 8192};
  std::int64_t draws = 30, train = 0, training_draws = 128, training_images = 200, test_images = 100;
  double memory = 2;
  std::uint64_t seed = 1;
  int threads = 0;
};

// A step of one method on one size. All in bytes; NaN: unknown, or not run.
struct cost {
  std::string method;
  std::int64_t side;
  double planned = std::nan(""),
         peak = std::nan("");  // workspaces of all threads, the image where it is held, weights, gradient
  double resident = std::nan(""), resident_before = std::nan("");  // of the whole process
  double seconds = std::nan("");
};

template <class Network>
Network network_of(const settings& s, std::int64_t tile) {
  Network net;
  net.options.draws = s.draws;
  net.options.contrastive_from = 0;
  net.options.views = {.tile = {tile, tile}, .tile_scale = 1.0 / 8, .cell_scale = 1.0 / 4, .subtile = {32, 32}};
  if constexpr (Network::one_stage) net.options.views.tile = {};
  example::start_attention_and_features(net);
  return net;
}

constexpr std::int64_t positive = 1;
const vector_view<const std::int64_t> label(&positive, {1});

// The CNN's forward and backward pass on a positive image.
template <class Weights, class Gradient>
void train_on_all_pixels(cpu& backend, const whole_cnn& net, Weights weights, image_view<const float> image,
                         Gradient gradient) {
  const auto scope = backend.workspace.scope();
  const auto logits = backend.workspace.allocate<float>(shape<2>{1, 2}),
             dlogits = backend.workspace.allocate<float>(shape<2>{1, 2});
  const auto losses = backend.workspace.allocate<double>(1);
  typename whole_cnn::saved<image_view<const float>> kept;
  const context at{backend, weights, gradient, {.training = true}};
  net.forward(at, image, logits, kept);
  loss::cross_entropy{}.evaluate(backend, logits, label, 1.0, losses, dlogits);
  net.backward(at, kept, dlogits, image_view<float>());
}

// Its memory, counted by a backend that computes nothing.
memory_plan plan_all_pixels(const cpu& backend, const whole_cnn& net, std::int64_t side) {
  cpu planner = backend.planner();
  workspace<host_space> others(true);
  const auto weights = others.allocate<float>(parameter_stretch(net));
  const auto image = others.allocate<float>(shape<4>{1, 3, side, side});
  train_on_all_pixels(planner, net, weights, image_view<const float>(image), weights);
  memory_plan plan;
  plan.bag = static_cast<std::size_t>(image.size()) * sizeof(float);
  plan.weights = plan.gradient = static_cast<std::size_t>(weights.extent(0)) * sizeof(float);
  plan.workspace = planner.peak_bytes();
  return plan;
}

// Runs steps unless the plan says that they need more than there may be: the first to measure memory, then the median
// time of up to three more, fewer where they take long. step(backend, number) is one.
template <class Step>
cost measure(const settings& s, std::string method, std::int64_t side, const memory_plan& plan, Step&& step) {
  cost measured{std::move(method), side};
  measured.planned = static_cast<double>(plan.total());
  if (measured.planned > s.memory * 1e9) return measured;
  cpu backend{.threads = s.threads};
  const bool counts = example::reset_resident_peak();
  if (counts) measured.resident_before = example::resident_bytes("VmRSS:");
  step(backend, 0);
  measured.peak = static_cast<double>(plan.bag + plan.weights + plan.gradient + backend.peak_bytes());
  if (counts) measured.resident = example::resident_bytes("VmHWM:");
  std::vector<double> seconds;
  for (double all = 0; seconds.size() < 3 && (seconds.empty() || all < 4); all += seconds.back()) {
    const double start = train::steady_seconds();
    step(backend, 1 + seconds.size());
    seconds.push_back(train::steady_seconds() - start);
  }
  std::sort(seconds.begin(), seconds.end());
  measured.seconds = seconds[seconds.size() / 2];
  return measured;
}

template <class Network>
cost measure_sampling(const settings& s, std::string method, const std::filesystem::path& file, std::int64_t side) {
  const auto net = network_of<Network>(s, 512);
  cpu backend{.threads = s.threads};
  const auto weights = initial_parameters<float>(backend, net, {.seed = s.seed});
  auto gradient = weights.zeros();
  const slide::whole_slide slide(file);
  const auto plan = models::plan_training_step(backend, net, sampling::slide_source<>(slide), loss::cross_entropy{});
  return measure(s, std::move(method), side, plan, [&](cpu& device, std::uint64_t number) {
    const slide::whole_slide fresh(file);  // nothing is decoded yet, as when an epoch comes to an image
    net.train_bags(device, weights.flat(), sampling::slide_source<>(fresh), label, loss::cross_entropy{}, 1.0,
                   gradient.flat(), {.training = true, .random = random_stream(s.seed, number, 1)});
  });
}

cost measure_all_pixels(const settings& s, const std::filesystem::path& file, std::int64_t side) {
  whole_cnn net;
  example::start_convolutions(net.layers);
  cpu backend{.threads = s.threads};
  const auto weights = initial_parameters<float>(backend, net, {.seed = s.seed});
  auto gradient = weights.zeros();
  return measure(s, "all pixels", side, plan_all_pixels(backend, net, side), [&](cpu& device, std::uint64_t) {
    tensor<float, 4> image({1, 3, side, side});
    cpu reading{.threads = 1};
    const slide::whole_slide fresh(file);
    sampling::slide_source<>(fresh).read(reading, {0, 0}, {side, side}, image.view());
    train_on_all_pixels(device, net, weights.flat(), std::as_const(image).view(), gradient.flat());
  });
}

// A slide whose colours lie around 0, the ground's near it: otherwise the ground is nearly all that an image's
// embedding holds.
struct centred_slide {
  using value_type = float;
  sampling::slide_source<> slide;

  sampling::area<sampling::pixel_frame> size() const { return slide.size(); }
  void read(cpu& backend, sampling::place<sampling::pixel_frame> origin, sampling::area<sampling::pixel_frame> extent,
            image_view<float> out) const {
    constexpr std::array<float, 3> ground = {0.76f, 0.73f, 0.71f};
    slide.read(backend, origin, extent, out);
    const std::int64_t plane = out.extent(2) * out.extent(3);
    for (std::int64_t i = 0; i < 3 * plane; ++i)
      out.data()[i] = 4 * (out.data()[i] - ground[static_cast<std::size_t>(i / plane)]);
  }
};

// Slides of 1024 x 1024 pixels, positive and negative by turns, of which one is open at a time.
class needle_slides {
 public:
  static constexpr std::int64_t side = 1024;
  needle_slides(const std::filesystem::path& folder, std::int64_t count, std::uint64_t seed, int threads)
      : folder_(folder) {
    std::filesystem::create_directories(folder);
    train::progress progress("training images", count, train::progress_to_stderr());
    for (std::int64_t i = 0; i < count; ++i) {
      pictures_.emplace_back(side, random_stream(seed, static_cast<std::uint64_t>(i), 2).key0(), i % 2 == 1);
      example::write_needle_slide(path(i), pictures_.back(), threads);
      progress.update(i + 1);
    }
  }
  std::int64_t size() const { return static_cast<std::int64_t>(pictures_.size()); }
  std::int64_t classes() const { return 2; }
  std::int64_t label(std::int64_t i) const { return picture(i).positive(); }
  auto bag(std::int64_t i) { return centred_slide{sampling::slide_source<>(slide(i))}; }

  const example::needle_picture& picture(std::int64_t i) const { return pictures_[static_cast<std::size_t>(i)]; }
  const slide::whole_slide& slide(std::int64_t i) { return open_.emplace(path(i)); }

 private:
  std::filesystem::path path(std::int64_t i) const { return folder_ / message("needle_", i, ".tiff"); }
  std::filesystem::path folder_;
  std::vector<example::needle_picture> pictures_;
  std::optional<slide::whole_slide> open_;
};

struct trained {
  std::string method;
  train::evaluation test;
  train::history history;
  double seconds = 0;
  rgb_image tiles, cells, drawn;  // the first positive test image: both attentions, and the sub-tiles of one look
};

// A positive image as bright as both attentions: tile by tile, and each cell's sub-tile by the product.
template <class Network, class Weights>
void explain(cpu& backend, const Network& net, const Weights& weights, const slide::whole_slide& slide,
             trained& result) {
  constexpr std::int64_t shrink = 2;
  const rgb_image picture = slide.thumbnail(needle_slides::side / shrink);
  const centred_slide image{sampling::slide_source<>(slide)};
  const auto said = models::predict(backend, net, weights, image, random_stream(0, 0, 1));
  result.drawn = picture.clone();
  for (const auto& each : said.subtiles)
    report::outline(result.drawn, {each.origin.column / shrink, each.origin.row / shrink, 32 / shrink, 32 / shrink},
                    {20, 60, 200});
  const auto scope = backend.workspace.scope();
  typename Network::template saved<float, cpu> kept;
  net.attend(backend, weights.flat(), image, kept);
  const auto& grid = kept.grid;
  std::vector<report::pixel_rectangle> tiles, subtiles;
  std::vector<double> of_tiles, of_cells;
  for (std::int64_t c = 0; c < grid.tiles().size(); ++c) {
    const auto tile = grid.tile_origin(grid.tiles().at(c));
    const double share = double{kept.tile_attention(0, c)};
    tiles.push_back({tile.column / shrink, tile.row / shrink, grid.tile.columns / shrink, grid.tile.rows / shrink});
    of_tiles.push_back(share);
    for (std::int64_t i = 0; i < grid.cells.size(); ++i) {
      const auto at = grid.subtile_origin(grid.tiles().at(c), grid.cells.at(i));
      subtiles.push_back(
          {at.column / shrink, at.row / shrink, grid.subtile.columns / shrink, grid.subtile.rows / shrink});
      of_cells.push_back(share * double{kept.cell_attention(c, i)});
    }
  }
  result.tiles = report::draw_weighted_patches(picture, tiles, of_tiles);
  result.cells = report::draw_weighted_patches(picture, subtiles, of_cells);
}

template <class Network>
trained train_one(const settings& s, const std::string& method, needle_slides& all) {
  auto net = network_of<Network>(s, 256);
  net.options.draws = s.training_draws;
  net.options.inference = models::looking::sampled;
  net.options.repeats = 4;
  net.options.contrastive_from = s.train * 3 / 4;
  cpu backend{.threads = s.threads};
  std::vector<std::int64_t> learning, testing;
  for (std::int64_t i = 0; i < all.size(); ++i) (i < s.training_images ? learning : testing).push_back(i);
  train::subset training(all, learning), test(all, testing);
  auto weights = initial_parameters<float>(backend, net, {.seed = s.seed});
  train::trainer trainer(backend, net, train::adam{.learning_rate = 3e-3}, loss::cross_entropy{},
                         train::cosine_schedule{.epochs = s.train});
  trained result{.method = method, .test = {}, .history = {}, .tiles = {}, .cells = {}, .drawn = {}};
  const double start = train::steady_seconds();
  result.history = trainer.fit(weights, training,
                               {.epochs = s.train,
                                .seed = s.seed,
                                .bags_per_step = 1,
                                .clip_norm = 5,
                                .progress = train::progress_to_stderr(),
                                .label = method});
  result.seconds = train::steady_seconds() - start;
  result.test = trainer.evaluate(weights, test);
  for (const std::int64_t i : testing)
    if (all.label(i) == 1) {
      explain(backend, net, weights, all.slide(i), result);
      break;
    }
  return result;
}

std::string megabytes(double bytes) { return std::isnan(bytes) ? "" : text("%.1f", bytes / 1e6); }
std::string milliseconds(double seconds) { return std::isnan(seconds) ? "" : text("%.0f", 1000 * seconds); }
constexpr std::array<const char*, 3> methods = {"all pixels", "one stage", "two stages"};

void write_report(const settings& s, const std::vector<cost>& costs, const std::vector<trained>& networks,
                  const rgb_image& truth) {
  report::json metrics;
  metrics["settings"] = {
      {"draws", s.draws}, {"memory_bytes", s.memory * 1e9}, {"seed", s.seed}, {"train_epochs", s.train}};
  metrics["steps"] = report::json::array();
  report::plot memory{.title = "Memory of one training step", .x_label = "pixels a side", .y_label = "MB", .lines = {}},
      time{.title = "Time of one training step", .x_label = "pixels a side", .y_label = "seconds", .lines = {}};
  std::vector<std::vector<std::string>> rows;
  for (const char* method : methods) {
    report::series bytes{.name = method}, seconds{.name = method};
    for (const cost& each : costs) {
      if (each.method != method) continue;
      const auto side = static_cast<double>(each.side);
      const bool ran = !std::isnan(each.peak);
      bytes.x.push_back(side), bytes.y.push_back(each.peak / 1e6);
      seconds.x.push_back(side), seconds.y.push_back(each.seconds);
      metrics["steps"].push_back({{"method", method},
                                  {"side", each.side},
                                  {"ran", ran},
                                  {"planned_bytes", each.planned},
                                  {"peak_bytes", each.peak},
                                  {"resident_before_bytes", each.resident_before},
                                  {"resident_peak_bytes", each.resident},
                                  {"seconds", each.seconds}});
      rows.push_back({method, std::to_string(each.side), megabytes(each.planned),
                      ran ? megabytes(each.peak) : "not run", megabytes(each.resident - each.resident_before),
                      milliseconds(each.seconds)});
    }
    memory.lines.push_back(std::move(bytes));
    time.lines.push_back(std::move(seconds));
  }
  report::html_page page("Needles in images of growing size",
                         message("One training step on one positive image, ", s.draws, " sub-tiles a branch"));
  const std::string memory_svg = report::curves_svg(memory), time_svg = report::curves_svg(time);
  data::write_all(s.out / "memory.svg", memory_svg);
  data::write_all(s.out / "time.svg", time_svg);
  page.section("Memory")
      .svg(memory_svg,
           "Most bytes in use at once: the workspaces of all threads, weights and gradient and, of all pixels, the "
           "image. Not counted: "
           "what OpenSlide decodes and keeps. A line ends where a step would need more than --memory.")
      .section("Time")
      .svg(time_svg, "Forward and backward pass, with opening the file and reading it: the median of up to three.")
      .section("All steps")
      .table({"method", "pixels a side", "planned MB", "peak MB", "resident MB", "ms"}, rows)
      .paragraph(
          "Planned: counted before the step without computing anything; of two stages with as many tiles as may be "
          "drawn. Resident: by how much the memory of the whole process rose during the first step, with what "
          "OpenSlide "
          "keeps. A second branch needs a tile beside the one attended to: an image of 512 pixels a side has none.");
  for (const trained& each : networks)
    metrics["trained"].push_back({{"method", each.method},
                                  {"accuracy", each.test.accuracy},
                                  {"auc", each.test.auroc},
                                  {"loss", each.test.loss},
                                  {"seconds", each.seconds}});
  if (!networks.empty()) {
    page.section(message("Trained on ", s.training_images, " images of 1024 x 1024 pixels"));
    report::plot loss{.title = "Training loss", .y_label = "loss", .lines = {}};
    std::vector<std::vector<std::string>> tested;
    for (const trained& each : networks) {
      loss.lines.push_back({.name = each.method, .y = each.history.column("loss")});
      tested.push_back(
          {each.method, text("%.3f", each.test.accuracy), text("%.3f", each.test.auroc), text("%.0f", each.seconds)});
    }
    page.paragraph(message("One training each, seed ", s.seed, ", tested on ", s.test_images,
                           " images. Not the networks measured above: smaller features, a layer norm before the "
                           "classifier, colours around 0, ",
                           s.training_draws, " sub-tiles a branch, tiles of 256 pixels."));
    page.table({"method", "accuracy", "AUC", "seconds"}, tested).svg(report::curves_svg(loss));
    std::vector<report::captioned_picture> row = {{&truth, "needles"}};
    const trained& two = networks.back();
    for (const trained& each : networks) {
      if (&each == &two) row.push_back({&each.tiles, "two stages: tiles"});
      row.push_back({&each.cells, each.method + ": cells"});
    }
    row.push_back({&two.drawn, "sub-tiles drawn"});
    const rgb_image picture = report::draw_side_by_side(row);
    data::write_png(s.out / "attention.png", picture.view());
    page.section("A positive test image")
        .picture(
            picture.view(),
            "Left: its needles, marked. Then as bright as attended: by one stage, and by two stages tile by tile and "
            "sub-tile by "
            "sub-tile (the most attended as it is, the least black). Right: the sub-tiles that two stages drew once.");
  }
  report::write_json(s.out / "metrics.json", metrics);
  page.write(s.out / "report.html");
}

int main(int argc, char** argv) {
  settings s;
  example::command_line line(
      "Memory and time of one training step as images grow: of a CNN on all pixels, of attention sampling in one stage "
      "and in two.");
  line.option("--sizes", s.sizes, "pixels a side");
  line.option("--draws", s.draws, "sub-tiles an image, in each branch", 1);
  line.option("--memory", s.memory, "GB that a step may need; what is planned to need more is not run");
  line.option("--train", s.train,
              "epochs of training one stage and two stages on images of 1024 x 1024; 0: none. 24 take six minutes on 2 "
              "cores; after 12 two stages have not always begun to learn");
  line.option("--training-draws", s.training_draws, "sub-tiles an image for --train", 1);
  line.option("--training-images", s.training_images, "for --train", 2);
  line.option("--test-images", s.test_images, "for --train", 2);
  line.option("--seed", s.seed, "of images, weights and draws");
  line.option("--threads", s.threads, "0: one a core");
  line.option("--out", s.out,
              "folder for the images, report.html, metrics.json, memory.svg, time.svg and attention.png");
  return example::run("zoom_in_needle", line, argc, argv, [&] {
    constexpr std::int64_t least = 512, most = 65536;
    for (const std::int64_t side : s.sizes)
      if (side < least || side > most)
        throw value_error(message("--sizes: ", side, " is no size, expected ", least, " to ", most, " pixels a side"));
    std::filesystem::create_directories(s.out);
    std::vector<cost> costs;
    std::cout << "method      pixels a side  planned MB     peak MB  resident MB        ms\n";
    const auto add = [&](cost one) {
      char row[128];
      std::snprintf(row, sizeof row, "%-11s %13lld %11s %11s %12s %9s", one.method.c_str(),
                    static_cast<long long>(one.side), megabytes(one.planned).c_str(),
                    std::isnan(one.peak) ? "not run" : megabytes(one.peak).c_str(),
                    megabytes(one.resident - one.resident_before).c_str(), milliseconds(one.seconds).c_str());
      std::cout << row << std::endl;
      costs.push_back(std::move(one));
    };
    for (const std::int64_t side : s.sizes) {
      const auto file = s.out / message("needle_", side, ".tiff");
      example::write_needle_slide(file, {side, s.seed, true}, s.threads);
      add(measure_all_pixels(s, file, side));
      add(measure_sampling<one_stage>(s, "one stage", file, side));
      add(measure_sampling<two_stages>(s, "two stages", file, side));
    }
    std::vector<trained> networks;
    rgb_image truth;
    if (s.train > 0) {
      needle_slides all(s.out / "training", s.training_images + s.test_images, s.seed, s.threads);
      networks.push_back(train_one<small_one_stage>(s, "one stage", all));
      networks.push_back(train_one<small_two_stages>(s, "two stages", all));
      for (const trained& each : networks)
        std::cout << each.method << ": accuracy " << text("%.3f", each.test.accuracy) << ", AUC "
                  << text("%.3f", each.test.auroc) << " after " << s.train << " epochs, " << text("%.0f", each.seconds)
                  << " s\n";
      const std::int64_t shown = s.training_images + (s.training_images + 1) % 2;
      truth = all.slide(shown).thumbnail(512);
      for (const auto& at : all.picture(shown).needles())
        report::outline(truth, {std::llround(at.x / 2) - 12, std::llround(at.y / 2) - 12, 24, 24}, {20, 60, 200}, 1, 2);
    }
    write_report(s, costs, networks, truth);
    std::cout << "report: " << (s.out / "report.html").string() << "\n";
    return 0;
  });
}
