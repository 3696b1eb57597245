// Third of three (zoom_prepare, zoom_train, zoom_predict): slides to predictions. Only the tiles that the network looks
// at are read and encoded. Pictures of attention and of the zoom path, and one page with everything.
//   zoom_predict out/zoom_mil --truth out/cohort/truth
#include <iostream>

#include <milkit/data/csv.hpp>
#include <milkit/data/png.hpp>

#include "support/command_line.hpp"
#include "support/with_encoder.hpp"
#include "support/zoom_models.hpp"
#include "support/zoom_report.hpp"

using namespace milkit;

struct settings {
  std::vector<std::string> places;
  std::filesystem::path truth;
  std::int64_t pictures = 6, timed = 10;
};

// Where the lesion is, as make_cohort writes it.
class lesion {
 public:
  lesion(const std::filesystem::path& folder, const std::string& id, slide::level0_extent size) : size_(size) {
    const auto path = folder / (id + ".png");
    if (!folder.empty() && std::filesystem::exists(path)) mask_ = data::read_png(path, std::int64_t{1} << 30);
  }
  bool known() const { return mask_.size() > 0; }
  const rgb_image& mask() const { return mask_; }
  bool any() const { return share(slide::level0_rectangle(slide::level0_point(0, 0), size_)) > 0; }
  // Of an area.
  double share(const slide::level0_rectangle& area) const {
    const double x_scale = static_cast<double>(mask_.extent(1)) / size_.width,
                 y_scale = static_cast<double>(mask_.extent(0)) / size_.height;
    const auto at = [](double v, std::int64_t most) {
      return std::clamp(std::int64_t{std::lround(v)}, std::int64_t{0}, most);
    };
    const std::int64_t left = at(area.origin.x * x_scale, mask_.extent(1)),
                       right = at(area.right() * x_scale, mask_.extent(1)),
                       top = at(area.origin.y * y_scale, mask_.extent(0)),
                       bottom = at(area.bottom() * y_scale, mask_.extent(0));
    std::int64_t in = 0;
    for (std::int64_t y = top; y < bottom; ++y)
      for (std::int64_t x = left; x < right; ++x) in += pixel(mask_, y, x)[0] > 127;
    return right > left && bottom > top ? double(in) / double((right - left) * (bottom - top)) : 0;
  }

 private:
  rgb_image mask_;
  slide::level0_extent size_;
};

// The networks of all folds.
template <class Network, class Backend>
class ensemble {
 public:
  ensemble(Network net, const example::study& study, const std::string& method, std::int64_t folds)
      : net_(std::move(net)) {
    for (std::int64_t f = 0; f < folds; ++f) {
      auto weights = initial_parameters<float>(net_);
      train::load_weights(study.model(method, f), weights);
      if constexpr (is_cpu<Backend>) weights_.push_back(std::move(weights));
      else weights_.push_back(weights.template to<typename Backend::space>());
    }
  }
  const Network& network() const { return net_; }
  const auto& weights(std::int64_t fold) const { return weights_[static_cast<std::size_t>(fold)]; }

 private:
  Network net_;
  std::vector<parameters<Network, float, typename Backend::space>> weights_;
};

template <class Body>
double seconds_of(Body&& body) {
  const double start = train::steady_seconds();
  body();
  return train::steady_seconds() - start;
}

// What a prediction looked at, as pictures need it.
std::vector<example::seen_level> seen_levels(const example::study& study, const slide::whole_slide& slide,
                                             const slide::tile_pyramid& tiles,
                                             const models::zoom_prediction<float>& said, bool with_insets) {
  std::vector<example::seen_level> all;
  const auto names = study.level_names();
  for (std::size_t m = 0; m < said.levels.size(); ++m) {
    const auto& level = said.levels[m];
    const slide::tile_grid& grid = tiles.levels[m];
    example::seen_level seen{names[m], {}, level.selected, {}, {}, {}};
    for (std::size_t i = 0; i < level.rows.size(); ++i) {
      seen.tiles.push_back(grid.tiles[static_cast<std::size_t>(level.rows[i])].area);
      seen.attention.push_back(static_cast<double>(level.attention.view()(static_cast<std::int64_t>(i), 0)));
      seen.zoom.push_back(
          static_cast<double>(level.attention.view()(static_cast<std::int64_t>(i), level.attention.extent(1) - 1)));
    }
    if (with_insets) {
      const auto& weights = m + 1 < said.levels.size() ? seen.zoom : seen.attention;
      std::vector<std::size_t> order(weights.size());
      for (std::size_t i = 0; i < order.size(); ++i) order[i] = i;
      std::stable_sort(order.begin(), order.end(),
                       [&](std::size_t a, std::size_t b) { return weights[a] > weights[b]; });
      for (std::size_t i = 0; i < std::min<std::size_t>(order.size(), 4); ++i)
        seen.insets.push_back(slide.read_region(seen.tiles[order[i]], {grid.tile_size, grid.tile_size}));
    }
    all.push_back(std::move(seen));
  }
  return all;
}

template <class Backend, class Encoder, class Networks, std::size_t Levels>
void predict(Backend& backend, const Encoder& encoder, Networks, std::integral_constant<std::size_t, Levels>,
             const example::study& study, const example::trained_study& trained, const settings& s) {
  using zoom_network = typename Networks::template zoom_mil<Levels>;
  using abmil_network = typename Networks::abmil;
  std::map<std::string, ensemble<zoom_network, Backend>> zooming;
  std::map<std::string, ensemble<abmil_network, Backend>> whole;
  for (const std::string& method : trained.methods)
    if (example::zooms(method))
      zooming.try_emplace(method, example::make_zoom_mil<zoom_network>(trained.network, example::choice_of(method)),
                          study, method, trained.folds);
    else whole.try_emplace(method, example::make_abmil<abmil_network>(trained.network), study, method, trained.folds);
  const auto& main_network = zooming.at("zoom_mil");

  const bool own = s.places.empty();
  const auto complain = [](const std::string& what) { std::cerr << "zoom_predict: " << what << std::endl; };
  const std::vector<example::study_slide> slides = own ? study.slides : example::find_new_slides(s.places, complain);

  example::prediction_report report(study, trained, own ? study.folder : study.folder / "new_slides");
  train::progress progress("slides", static_cast<std::int64_t>(slides.size()), train::progress_to_stderr());
  std::int64_t done = 0, pictured[2] = {0, 0}, timed = 0;
  for (const example::study_slide& one : slides) {
    try {
      if (!one.skipped.empty()) throw value_error(one.skipped);
      if (own && !one.digest.empty() && example::slide_digest(one.path) != one.digest)
        throw value_error(
            message(one.path, ": is another file than the one that was prepared; run zoom_prepare again"));
      example::slide_report told{.slide = one, .fold = own ? trained.test_fold(one.id) : -1};
      const std::int64_t fold = std::max(told.fold, std::int64_t{0});
      models::zoom_prediction<float> said;
      std::optional<slide::whole_slide> slide;
      slide::tile_pyramid tiles;
      told.seconds = seconds_of([&] {
        slide.emplace(study.open(one.path));
        tiles = study.cut(*slide);
        said = models::predict(backend, main_network.network(), main_network.weights(fold),
                               encoders::encoded_slide(*slide, tiles, encoder));
        for (std::int64_t c = 0; c < said.probabilities.extent(1); ++c)
          told.probabilities.push_back(static_cast<double>(said.probabilities.view()(0, c)));
        for (std::int64_t f = 1; told.fold < 0 && f < trained.folds; ++f) {
          const auto other = models::predict(backend, main_network.network(), main_network.weights(f),
                                             encoders::encoded_slide(*slide, tiles, encoder));
          for (std::size_t c = 0; c < told.probabilities.size(); ++c)
            told.probabilities[c] += static_cast<double>(other.probabilities.view()(0, static_cast<std::int64_t>(c)));
        }
        for (double& p : told.probabilities) p /= told.fold < 0 ? static_cast<double>(trained.folds) : 1;
      });
      if (!slide->resolution_note().empty()) complain(one.id + ": " + slide->resolution_note());
      if (tiles.without_tissue) complain(one.id + ": no tissue was found: all tiles are kept");
      told.tiles_seen = said.instances();
      for (const auto& level : tiles.levels) told.tiles.push_back(static_cast<std::int64_t>(level.tiles.size()));

      // The others, on the slides that are timed and on those with a lesion.
      const lesion truth(s.truth, one.id, slide->size());
      const bool with_lesion = truth.known() && truth.any(), time_it = own && timed < s.timed;
      const auto hits = [&](const models::zoom_prediction<float>& of) {
        for (const std::int64_t row : of.levels.back().rows)
          if (truth.share(tiles.levels.back().tiles[static_cast<std::size_t>(row)].area) >= 0.25) return true;
        return false;
      };
      for (const auto& each : zooming) {
        const auto& method = each.first;
        const auto& networks = each.second;
        if (!with_lesion && !time_it) continue;
        models::zoom_prediction<float> other;
        const double seconds = seconds_of([&] {
          const auto again = study.open(one.path);
          const auto cut = study.cut(again);
          other = models::predict(backend, networks.network(), networks.weights(fold),
                                  encoders::encoded_slide(again, cut, encoder));
        });
        report.add_run(method, other.instances(), seconds);
        if (with_lesion) report.add_hit(method, hits(other));
      }
      for (const auto& each : whole) {
        const auto& method = each.first;
        const auto& networks = each.second;
        if (!time_it) continue;
        const std::size_t level = method == "abmil_low" ? 0 : Levels - 1;
        const double seconds = seconds_of([&] {
          const auto again = study.open(one.path);
          const auto cut = study.cut(again);
          models::predict(backend, networks.network(), networks.weights(fold),
                          bag_batch(encoders::encoded_tiles(again, cut.levels[level], encoder)));
        });
        report.add_run(method, told.tiles[level], seconds);
      }
      timed += time_it;

      const std::size_t kind = one.label == 1 ? 1 : 0;
      const bool show = own ? pictured[kind] < (s.pictures + (kind == 1)) / 2 : pictured[0] + pictured[1] < s.pictures;
      pictured[kind] += show;
      report.add(told, *slide, seen_levels(study, *slide, tiles, said, show), truth.mask(), show);
    } catch (const std::exception& error) {
      complain(one.id + " is left out: " + error.what());
      report.skip(one, error.what());
    }
    progress.update(++done);
  }
  report.write();
}

int main(int argc, char** argv) {
  example::study study;
  settings s;
  example::device device;
  example::command_line line(
      "Predicts slides with the networks of zoom_train, reading and encoding only the tiles that they look at. Writes "
      "predicted.csv, pictures of attention and of the zoom path, and report.html. Without SLIDES: those of the study, "
      "each by the network that was tested on it. Slides that no network was trained or tested on are predicted by "
      "all folds, and the mean counts; those of --slides go to STUDY/new_slides.");
  line.folder("STUDY", study.folder, "folder that zoom_prepare and zoom_train made");
  line.places("--slides", s.places, "slides, or folders of slides, to predict instead of those of the study");
  line.option("--truth", s.truth, "folder with a mask <slide>.png for each slide (white: lesion)");
  line.option("--pictures", s.pictures, "how many slides are shown in the page");
  line.option("--timed", s.timed, "how many slides are predicted by every network to compare the time");
  line.option(device);
  return example::run("zoom_predict", line, argc, argv, [&] {
    study = example::read_study(study.folder);
    const example::trained_study trained = example::read_trained(study);
    example::on_device(device, [&](auto& backend) {
      example::with_encoder(backend, study, [&](const auto& encoder) {
        constexpr bool stain = std::is_same_v<std::remove_cvref_t<decltype(encoder)>, encoders::stain_descriptor>;
        using networks = std::conditional_t<stain, example::small_networks, example::paper_networks>;
        example::with_levels(study,
                             [&](auto levels) { predict(backend, encoder, networks(), levels, study, trained, s); });
      });
    });
    return 0;
  });
}
