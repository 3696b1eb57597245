#include "zoom_study.hpp"

#include <algorithm>
#include <functional>
#include <set>

#include <milkit/data/csv.hpp>
#include <milkit/report/json.hpp>
#include <milkit/report/markup.hpp>
#include <milkit/slide/find_slides.hpp>
#include <milkit/slide/tissue.hpp>

namespace example {

using namespace milkit;

namespace {

report::json settings_of(const study& s) {
  return {{"magnifications", s.magnifications}, {"tile", s.tile},           {"encoder", s.encoder},
          {"weights", s.weights.string()},      {"slide_mpp", s.slide_mpp}, {"min_tissue", s.min_tissue}};
}

report::json read_json(const std::filesystem::path& path) {
  try {
    return report::json::parse(data::read_all(path));
  } catch (const report::json::exception& error) {
    throw io_error(message(path.string(), ": is no JSON: ", error.what()));
  }
}

}  // namespace

std::vector<std::string> study::level_names() const {
  std::vector<std::string> names;
  for (const double each : magnifications) names.push_back(data::number_text(each) + "x");
  return names;
}

slide::whole_slide study::open(const std::filesystem::path& path) const {
  slide::open_options options;
  if (slide_mpp > 0) options.given_mpp = slide::mpp{slide_mpp};
  return slide::whole_slide(path, options);
}

slide::tile_pyramid study::cut(const slide::whole_slide& slide) const {
  slide::tile_pyramid_options options;
  options.tile_size = tile;
  options.min_tissue = min_tissue;
  for (const double each : magnifications) options.resolutions.push_back(slide::magnification{each});
  return slide::make_pyramid(slide, slide::find_tissue(slide), options);
}

void write_study(const study& made) {
  const auto path = made.folder / "study.json";
  const report::json settings = settings_of(made);
  if (std::filesystem::exists(path)) {
    const report::json found = read_json(path);
    for (const auto& [name, value] : settings.items())
      expect_value(found.contains(name) && found[name] == value, path.string(), name, " is ",
                   found.contains(name) ? found[name].dump() : "not there", ", but this run asks for ", value.dump(),
                   "; name another folder by --out, or remove this one");
  }
  report::write_json(path, settings);
}

void write_slides(const study& made) {
  data::csv_writer table(made.folder / "slides.csv", {"slide_id", "case_id", "label", "path", "skipped"});
  for (const study_slide& one : made.slides)
    table.row({one.id, one.patient, one.label < 0 ? "" : data::number_text(one.label), one.path.string(), one.skipped});
  table.commit();
}

study read_study(const std::filesystem::path& folder) {
  const auto path = folder / "study.json";
  if (!std::filesystem::exists(path))
    throw io_error(message(folder.string(), ": holds no study.json; run zoom_prepare first"));
  study made{.folder = folder};
  const report::json settings = read_json(path);
  try {
    made.magnifications = settings.at("magnifications").get<std::vector<double>>();
    made.tile = settings.at("tile");
    made.encoder = settings.at("encoder");
    made.weights = settings.at("weights").get<std::string>();
    made.slide_mpp = settings.at("slide_mpp");
    made.min_tissue = settings.at("min_tissue");
  } catch (const report::json::exception& error) {
    throw io_error(message(path.string(), ": ", error.what()));
  }
  const data::csv_table table = data::read_csv(folder / "slides.csv");
  for (std::int64_t row = 0; row < table.size(); ++row)
    made.slides.push_back(
        {table.text(row, table.column("slide_id")), table.text(row, table.column("case_id")),
         table.text(row, table.column("label")).empty() ? -1 : table.integer(row, table.column("label")),
         table.text(row, table.column("path")), table.text(row, table.column("skipped"))});
  return made;
}

std::vector<study_slide> find_slides(const std::filesystem::path& place, const std::filesystem::path& table,
                                     const std::function<void(const std::string&)>& report) {
  std::map<std::string, std::filesystem::path> files;  // by their names, with and without the last extension
  std::vector<study_slide> found;
  std::set<std::string> ids;
  for (const auto& path : slide::find_slides(place, report)) {
    std::string id = path.stem().string();
    for (int i = 2; !ids.insert(id).second; ++i) id = message(path.stem().string(), "_", i);
    files[path.filename().string()] = path;
    files.try_emplace(path.stem().string(), path);
    found.push_back({id, id, -1, path});
  }
  if (table.empty()) return found;
  const data::csv_table labels = data::read_csv(table);
  const std::int64_t id_column = labels.column("slide_id"), case_column = labels.column("case_id"),
                     label_column = labels.column("label");
  std::vector<study_slide> named;
  std::vector<std::string> missing, without_label;
  std::set<std::filesystem::path> used;
  ids.clear();
  for (std::int64_t row = 0; row < labels.size(); ++row) {
    const std::string& id = labels.text(row, id_column);
    if (id.empty() || id.find_first_of("/\\") != id.npos || id == "." || id == "..")
      labels.fail(row, id_column, "cannot name a slide");
    if (!ids.insert(id).second) labels.fail(row, id_column, "is there twice");
    const std::int64_t label = labels.integer(row, label_column);
    if (label < 0) labels.fail(row, label_column, "is a label, expected 0 or more");
    const auto file = files.find(id);
    if (file == files.end()) {
      missing.push_back(id);
      continue;
    }
    used.insert(file->second);
    named.push_back({id, labels.text(row, case_column), label, file->second});
  }
  for (const study_slide& each : found)
    if (!used.contains(each.path)) without_label.push_back(each.path.filename().string());
  if (!missing.empty())
    report(message(table.string(), ": ", missing.size(), " of ", labels.size(), " slides are not in ", place.string(),
                   ": ", listed(missing)));
  if (!without_label.empty())
    report(message(place.string(), ": ", without_label.size(), " slides are not in ", table.string(),
                   " and are left out: ", listed(without_label)));
  if (named.empty()) throw io_error(message(table.string(), ": names no slide of ", place.string()));
  return named;
}

std::string listed(const std::vector<std::string>& names) {
  std::string text;
  const std::size_t shown = std::min(names.size(), std::size_t{5});
  for (std::size_t i = 0; i < shown; ++i) text += (i > 0 ? ", " : "") + names[i];
  if (names.size() > shown) text += message(" and ", names.size() - shown, " more");
  return text;
}

}  // namespace example
