#include "zoom_report.hpp"

#include <iostream>

#include <milkit/data/csv.hpp>
#include <milkit/data/digest.hpp>
#include <milkit/data/png.hpp>
#include <milkit/report/heatmap.hpp>
#include <milkit/report/json.hpp>
#include <milkit/report/overlay.hpp>
#include <milkit/report/patches.hpp>
#include <milkit/report/zoom_path.hpp>

#include "text.hpp"

namespace example {

using namespace milkit;

namespace {

std::string title_of(const std::string& method) {
  if (method == "zoom_mil") return "ZoomMIL";
  if (method == "perturbed") return "perturbed top-K, the paper's";
  if (method == "hard") return "hard top-K, no gradient";
  if (method == "random") return "random selection";
  return method == "abmil_low" ? "AB-MIL, lowest magnification" : "AB-MIL, highest magnification";
}

report::json read_metrics(const study& of) {
  const auto path = of.folder / "metrics.json";
  if (!std::filesystem::exists(path))
    throw io_error(message(of.folder.string(), ": holds no metrics.json; run zoom_train first"));
  return report::json::parse(data::read_all(path));
}

std::string mean_sentence(std::int64_t slides, std::int64_t folds) {
  return message(slides, slides == 1 ? " slide was" : " slides were", " in no part of the training: probabilities are ",
                 "means over the networks of all ", folds, " folds, tiles and pictures those of the first.");
}

// The weights are those that metrics.json has figures of.
void expect_same_models(const study& of, const report::json& models) {
  for (const auto& [name, digest] : models.items())
    expect_value(data::file_digest(of.folder / "models" / name) == digest.get<std::string>(),
                 (of.folder / "models" / name).string(),
                 "is not the model that metrics.json has the figures of; run zoom_train to its end");
}

// What decides a training is as it was.
void expect_same_slides(const study& of, const report::json& trained) {
  for (const study_slide& one : of.slides) {
    if (!trained.contains(one.id)) continue;
    const report::json& was = trained[one.id];
    expect_value(was.at("label") == one.label && was.at("case_id") == one.patient && was.at("digest") == one.digest,
                 (of.folder / "slides.csv").string(), "slide ", one.id,
                 " has another label, patient or file than when ", "the networks were trained; run zoom_train again");
  }
}

slide::pixel_size size_of(const slide::whole_slide& slide) {
  return {static_cast<std::int64_t>(slide.size().width), static_cast<std::int64_t>(slide.size().height)};
}

}  // namespace

trained_study read_trained(const study& of) {
  const auto path = of.folder / "metrics.json";
  const report::json metrics = read_metrics(of);
  trained_study made;
  try {
    const auto& settings = metrics.at("settings");
    made.folds = metrics.at("folds");
    made.network.k = settings.at("k").get<std::vector<std::int64_t>>();
    made.network.features = settings.at("features");
    made.network.classes = settings.at("classes");
    for (const auto& [name, figures] : metrics.at("methods").items()) made.methods.push_back(name);
    expect_same_models(of, metrics.at("models"));
    expect_same_slides(of, metrics.at("slides"));
  } catch (const report::json::exception& error) {
    throw io_error(message(path.string(), ": ", error.what()));
  }
  const data::csv_table splits = data::read_csv(of.folder / "splits.csv");
  for (std::int64_t row = 0; row < splits.size(); ++row) {
    const std::string& id = splits.text(row, splits.column("slide_id"));
    if (splits.text(row, splits.column("part")) == "test")
      made.fold_of[id] = splits.integer(row, splits.column("fold")) - 1;
    else made.fold_of.emplace(id, 0);  // with one fold alone it has no test of its own
  }
  return made;
}

prediction_report::prediction_report(const study& of, const trained_study& trained, std::filesystem::path folder)
    : study_(of), trained_(trained), folder_(std::move(folder)), class_names_(of.class_names()) {}

std::string prediction_report::class_text(std::int64_t label) const {
  const auto at = static_cast<std::size_t>(label);
  return label < 0 ? "" : at < class_names_.size() ? class_names_[at] : message(label);
}

void prediction_report::add_run(const std::string& method, std::int64_t tiles, double seconds) {
  runs& own = runs_[method];
  own.tiles += static_cast<double>(tiles);
  own.seconds += seconds;
  own.count += 1;
}
void prediction_report::add_hit(const std::string& method, bool hit) {
  runs_[method].hits += hit;
  runs_[method].lesions += 1;
}
void prediction_report::skip(const study_slide& slide, const std::string& why) { skipped_.emplace_back(slide.id, why); }

void prediction_report::add(const slide_report& told, const slide::whole_slide& slide,
                            const std::vector<seen_level>& levels, const rgb_image& truth, bool show) {
  slides_.push_back(told);
  if (!show) return;
  const auto folder = folder_ / "slides" / told.slide.id;
  std::filesystem::create_directories(folder);
  rgb_image large = slide.thumbnail(900);
  const rgb_image little = slide.thumbnail(420);
  if (truth.size() > 0) {  // the outline of the lesion
    slide::mask_image mask({truth.extent(0), truth.extent(1)});
    for (std::int64_t i = 0; i < mask.size(); ++i) mask.data()[i] = truth.data()[3 * i] > 127;
    large = report::draw_overlay(large, std::as_const(mask).view(), {}, {.outline_colour = {0, 0, 0}});
  }
  std::vector<report::zoom_step> steps;
  std::vector<rgb_image> heatmaps;
  std::vector<report::captioned_picture> row;
  heatmaps.reserve(levels.size());
  for (const seen_level& level : levels) {
    steps.push_back({level.name, level.tiles, level.selected, {}});
    for (const rgb_image& inset : level.insets) steps.back().insets.push_back(inset.clone());
    heatmaps.push_back(report::draw_heatmap(little, size_of(slide), level.tiles, level.attention,
                                            {.scale = report::colour_scale::rank, .caption = level.name}));
    data::write_png(folder / ("attention_" + level.name + ".png"), heatmaps.back().view());
    report::write_heatmap_csv(folder / ("attention_" + level.name + ".csv"), level.tiles, level.attention);
    row.push_back({&heatmaps.back(), "attention, " + level.name});
  }
  std::string heading = told.slide.id;
  if (told.slide.label >= 0) heading += ", class " + class_text(told.slide.label);
  for (std::size_t c = 0; c < told.probabilities.size(); ++c)
    heading += (c == 0 ? ": P = " : ", ") + text("%.3f", told.probabilities[c]);
  shown_.push_back({heading, report::draw_zoom_path(large, size_of(slide), steps), report::draw_side_by_side(row)});
  data::write_png(folder / "zoom_path.png", shown_.back().path.view());
}

void prediction_report::write() {
  expect_value(!slides_.empty(), folder_.string(), "none of ", skipped_.size(), " slides could be predicted",
               skipped_.empty() ? "" : ", the first because: " + skipped_[0].second, "; earlier results stay");
  std::filesystem::create_directories(folder_);
  std::vector<std::string> header{"slide_id", "case_id", "label", "fold", "prediction"};
  for (std::int64_t c = 0; c < trained_.network.classes; ++c) header.push_back(message("probability_", c));
  for (const char* each : {"tiles_seen", "tiles_at_highest", "seconds"}) header.push_back(each);
  data::csv_writer csv(folder_ / "predicted.csv", header);
  std::vector<std::vector<std::string>> rows;
  double seen = 0, all = 0, seconds = 0, right = 0, labelled = 0;
  std::int64_t averaged = 0;
  for (const slide_report& one : slides_) {
    const auto best = std::max_element(one.probabilities.begin(), one.probabilities.end()) - one.probabilities.begin();
    const std::string label = one.slide.label < 0 ? "" : message(one.slide.label);
    const std::string fold = one.fold < 0 ? "mean" : message(one.fold + 1);
    std::vector<std::string> line{one.slide.id, one.slide.patient, label, fold, message(best)};
    for (const double p : one.probabilities) line.push_back(data::number_text(p));
    line.push_back(message(one.tiles_seen));
    line.push_back(message(one.tiles.back()));
    line.push_back(text("%.3f", one.seconds));
    csv.row(line);
    averaged += one.fold < 0;
    rows.push_back({one.slide.id, one.slide.patient, class_text(one.slide.label), class_text(best),
                    text("%.3f", one.probabilities.back()), message(one.tiles_seen), message(one.tiles.back()),
                    text("%.2f", one.seconds)});
    seen += static_cast<double>(one.tiles_seen);
    for (const auto tiles : one.tiles) all += static_cast<double>(tiles);
    seconds += one.seconds;
    labelled += one.slide.label >= 0;
    right += one.slide.label == best;
  }
  csv.commit();

  const auto count = static_cast<double>(slides_.size());
  const report::json metrics = read_metrics(study_);
  const std::string magnifications = [&] {
    std::string joined;
    for (const auto& name : study_.level_names()) joined += (joined.empty() ? "" : ", ") + name;
    return joined;
  }();
  report::html_page page("ZoomMIL", message(slides_.size(), " slides, magnifications ", magnifications, ", tiles of ",
                                            study_.tile, " pixels, encoder: ", study_.encoder));
  const auto& zoom = metrics["methods"]["zoom_mil"];
  const auto figure = [](const report::json& value) {
    return value.is_null() ? std::string("-") : text("%.3f", value.get<double>());
  };
  std::vector<report::key_figure> figures{
      {"test AUC", figure(zoom["auc"]),
       "95 % interval " + figure(zoom["auc_interval"][0]) + " to " + figure(zoom["auc_interval"][1]) + ", " +
           message(metrics["folds"].get<std::int64_t>()) + " folds"},
      {"test accuracy", figure(zoom["accuracy"]),
       "95 % interval " + figure(zoom["accuracy_interval"][0]) + " to " + figure(zoom["accuracy_interval"][1])}};
  if (count > 0) {
    figures.push_back(
        {"tiles encoded", text("%.0f", seen / count),
         "a slide, of " + text("%.0f", all / count) + ": " + text("%.1f %%", 100 * (1 - seen / all)) + " saved"});
    figures.push_back({"seconds a slide", text("%.2f", seconds / count), "read, encoded and predicted"});
  }
  page.key_figures(figures);

  report::json compared = report::json::object();
  std::vector<std::vector<std::string>> table;
  for (const std::string& method : trained_.methods) {
    const auto& own = metrics["methods"][method];
    const auto found = runs_.find(method);
    const runs run = found == runs_.end() ? runs() : found->second;
    const auto mean = [&](double sum, const char* format) {
      return run.count > 0 ? text(format, sum / run.count) : "";
    };
    table.push_back({title_of(method), figure(own["auc"]),
                     figure(own["auc_interval"][0]) + " to " + figure(own["auc_interval"][1]), figure(own["accuracy"]),
                     mean(run.tiles, "%.0f"), mean(run.seconds, "%.2f"),
                     run.lesions > 0 ? text("%.0f %%", 100 * run.hits / run.lesions) : ""});
    compared[method] = {{"auc", own["auc"]},
                        {"tiles", run.count > 0 ? run.tiles / run.count : 0},
                        {"seconds", run.count > 0 ? run.seconds / run.count : 0},
                        {"lesions_seen", run.lesions > 0 ? run.hits / run.lesions : 0}};
  }
  report::write_json(folder_ / "comparison.json", compared);
  const std::vector<std::string> columns{
      "", "test AUC", "95 % interval", "accuracy", "tiles encoded", "seconds a slide", "lesion seen"};
  page.section("Compared on the same splits")
      .table(columns, table)
      .paragraph(
          "Test slides of all folds together; intervals by bootstrap over slides. Tiles and seconds are of one slide, "
          "everything from opening the file on: means over the slides that were timed and, of networks that "
          "zoom, those with a lesion. Lesion seen: in how many of the "
          "slides with a lesion some tile at the highest magnification was a quarter lesion or more.");
  if (std::filesystem::exists(study_.folder / "curves.svg"))
    page.section("Training").svg(data::read_all(study_.folder / "curves.svg"), "Mean over the folds, epoch by epoch.");
  if (!shown_.empty()) page.section("Where it looked");
  for (const shown_slide& one : shown_)
    page.picture(one.path.view(), one.heading +
                                      ". Outlines: tiles that it zoomed into, in the colour of their magnification; "
                                      "shaded: seen at the highest. Black: the lesion, where it is known. Right: the "
                                      "tiles of each magnification that weigh most.")
        .picture(one.heatmaps.view(), "Attention at each magnification, by rank among the tiles that were looked at.");
  page.section("Slides");
  if (averaged > 0) page.paragraph(mean_sentence(averaged, trained_.folds));
  page.table(
      {"slide", "patient", "label", "prediction", "P of the last class", "tiles seen", "at the highest", "seconds"},
      rows);
  if (!skipped_.empty()) {
    std::vector<std::vector<std::string>> skipped;
    for (const auto& [id, why] : skipped_) skipped.push_back({id, why});
    page.section("Left out").table({"slide", "why"}, skipped);
  }
  page.write(folder_ / "report.html");

  for (const auto& row : table) {
    char line[200];
    std::snprintf(line, sizeof line, "%-30s AUC %s (%s)  tiles %5s  seconds %5s  lesion seen %s\n", row[0].c_str(),
                  row[1].c_str(), row[2].c_str(), row[4].c_str(), row[5].c_str(), row[6].c_str());
    std::cout << line;
  }
  if (count > 0)
    std::cout << slides_.size() << " slides predicted, " << text("%.0f", seen / count) << " of "
              << text("%.0f", all / count) << " tiles encoded: " << text("%.1f %%", 100 * (1 - seen / all))
              << " saved\n";
  if (labelled > 0) std::cout << text("%.0f", right) << " of " << text("%.0f", labelled) << " labels right\n";
  if (averaged > 0) std::cout << mean_sentence(averaged, trained_.folds) << "\n";
  std::cout << "report: " << (folder_ / "report.html").string() << "\n";
}

}  // namespace example
