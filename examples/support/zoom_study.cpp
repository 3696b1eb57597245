#include "zoom_study.hpp"

#include <algorithm>
#include <set>

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <milkit/data/digest.hpp>
#include <milkit/data/labels.hpp>
#include <milkit/data/row_ids.hpp>
#include <milkit/report/json.hpp>
#include <milkit/report/markup.hpp>
#include <milkit/slide/find_slides.hpp>
#include <milkit/slide/tissue.hpp>

namespace example {

using namespace milkit;

namespace {

report::json settings_of(const study& s) {
  return {{"magnifications", s.magnifications}, {"tile", s.tile},           {"encoder", s.encoder},
          {"weights", s.weights.string()},      {"slide_mpp", s.slide_mpp}, {"min_tissue", s.min_tissue},
          {"weights_digest", s.weights_digest}};
}

report::json read_json(const std::filesystem::path& path) {
  try {
    return report::json::parse(data::read_all(path));
  } catch (const report::json::exception& error) {
    throw io_error(message(path.string(), ": is no JSON: ", error.what()));
  }
}

// One run at a time reads and writes slides.csv and study.json.
class study_lock {
 public:
  explicit study_lock(const std::filesystem::path& folder)
      : descriptor_(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)) {
    if (descriptor_ >= 0) ::flock(descriptor_, LOCK_EX);
  }
  study_lock(const study_lock&) = delete;
  study_lock& operator=(const study_lock&) = delete;
  ~study_lock() {
    if (descriptor_ >= 0) ::close(descriptor_);
  }

 private:
  int descriptor_;
};

bool has_features(const std::filesystem::path& folder) {
  std::error_code none;
  for (const auto& each : std::filesystem::directory_iterator(folder / "features", none))
    if (each.path().extension() == ".h5") return true;
  return false;
}

bool same_file(const std::filesystem::path& a, const std::filesystem::path& b) {
  std::error_code none;
  return a == b || std::filesystem::equivalent(a, b, none);
}

std::filesystem::path whole(const std::filesystem::path& path) {
  return std::filesystem::absolute(path).lexically_normal();
}

std::vector<study_slide> read_slides(const std::filesystem::path& folder) {
  std::vector<study_slide> slides;
  if (!std::filesystem::exists(folder / "slides.csv")) return slides;
  const data::csv_table table = data::read_csv(folder / "slides.csv");
  data::row_ids ids;
  const std::int64_t id = table.column("slide_id"), patient = table.column("case_id"), label = table.column("label"),
                     path = table.column("path"), skipped = table.column("skipped"), name = table.column("class_name"),
                     digest = table.column("digest");
  const data::class_labels labels = data::read_labels(table, label);
  for (std::int64_t row = 0; row < table.size(); ++row)
    slides.push_back({ids.add(table, row, id), table.text(row, patient), labels.of_rows[static_cast<std::size_t>(row)],
                      table.text(row, path), table.text(row, skipped), table.text(row, name), table.text(row, digest)});
  return slides;
}

void save_slides(study& made) {
  const std::vector<std::string> names = made.class_names();
  for (study_slide& one : made.slides)  // of all runs together
    if (!one.class_name.empty())
      one.label = std::lower_bound(names.begin(), names.end(), one.class_name) - names.begin();
  data::csv_writer table(made.folder / "slides.csv",
                         {"slide_id", "case_id", "label", "path", "skipped", "class_name", "digest"});
  for (const study_slide& one : made.slides)
    table.row({one.id, one.patient, one.label < 0 ? "" : data::number_text(one.label), one.path.string(), one.skipped,
               one.class_name, one.digest});
  table.commit();
}

// Labels are names for all slides or for none; a row that is replaced does not count.
void expect_one_kind_of_labels(const study& made, const std::vector<study_slide>& earlier) {
  const study_slide *named = nullptr, *numbered = nullptr;
  std::set<std::string> ids;
  const auto look = [&](const study_slide& one) {
    if (one.label >= 0 && ids.insert(one.id).second) (one.class_name.empty() ? numbered : named) = &one;
  };
  for (const study_slide& one : made.slides) look(one);
  for (const study_slide& one : earlier) look(one);
  if (named && numbered)
    throw value_error(message(made.folder.string(), ": slide ", named->id, " has the label '", named->class_name,
                              "', but slide ", numbered->id, " the number ", numbered->label,
                              "; labels are all names or all numbers"));
}

// Slides with ids of their names. One that an earlier row has for the same file stays; one that stands for another file
// that is still there is refused.
std::vector<study_slide> found_slides(const std::vector<std::filesystem::path>& paths,
                                      const std::vector<study_slide>& earlier, const reporter& report) {
  std::vector<study_slide> found;
  std::set<std::string> ids;
  std::vector<std::filesystem::path> fresh;
  for (const auto& relative : paths) {
    const auto path = whole(relative);
    const auto twin =
        std::find_if(found.begin(), found.end(), [&](const study_slide& one) { return same_file(one.path, path); });
    const bool again = twin != found.end() ||
                       std::any_of(fresh.begin(), fresh.end(), [&](const auto& each) { return same_file(each, path); });
    if (again) {
      report(message("slide ", path.string(), ": is left out: it is the same file as another one"));
      continue;
    }
    const auto known =
        std::find_if(earlier.begin(), earlier.end(), [&](const study_slide& one) { return same_file(one.path, path); });
    if (known == earlier.end()) {
      fresh.push_back(path);
      continue;
    }
    found.push_back(*known);
    found.back().path = path;
    found.back().skipped.clear();
    ids.insert(known->id);
  }
  for (const auto& path : fresh) {
    const std::string name(data::trimmed(path.stem().string()));
    std::string id = name;
    for (int i = 2; ids.contains(id); ++i) id = message(name, "_", i);
    const auto taken =
        std::find_if(earlier.begin(), earlier.end(), [&](const study_slide& one) { return one.id == id; });
    if (taken != earlier.end() && std::filesystem::exists(taken->path) &&
        slide_digest(taken->path) != slide_digest(path)) {
      found.push_back({"", id, -1, path,
                       message("slide ", path.string(), ": its id '", id, "' stands for ", taken->path.string(),
                               " already; prepare it in another folder (--out), or give it an id by a --table")});
      continue;
    }
    ids.insert(id);
    found.push_back({id, id, -1, path});
    if (taken == earlier.end() || taken->digest.empty() || taken->digest != slide_digest(path)) continue;
    found.back() = *taken;  // the same slide in another place
    found.back().path = path;
    found.back().skipped.clear();
  }
  std::sort(found.begin(), found.end(), [](const auto& a, const auto& b) { return a.path < b.path; });
  return found;
}

// The slides of a table.
std::vector<study_slide> table_slides(const std::filesystem::path& place, const std::filesystem::path& table,
                                      const std::vector<study_slide>& earlier, const reporter& report) {
  const slide::slide_search search = slide::search_slides(place);
  std::vector<std::filesystem::path> slides, damaged;
  for (const auto& each : search.slides) slides.push_back(whole(each));
  for (const auto& each : search.refusals) {
    damaged.push_back(each.path);
  }
  const data::named_files by_name(whole(place), slides), refused_by_name(place, damaged);
  const data::csv_table rows = data::read_csv(table);
  const std::int64_t id_column = rows.column("slide_id"), case_column = rows.column("case_id"),
                     label_column = rows.column("label"),
                     path_column = rows.has_column("path") ? rows.column("path") : -1;
  study known;
  known.slides = earlier;
  const data::class_labels labels = data::read_labels(rows, label_column, known.class_names());
  data::row_ids ids;
  data::row_files files;
  std::vector<study_slide> named;
  std::vector<std::string> missing, without_label;
  std::set<std::filesystem::path> used;
  std::int64_t unlabelled = 0;
  for (std::int64_t row = 0; row < rows.size(); ++row) {
    const std::string& id = ids.add(rows, row, id_column);
    if (id.find_first_of("/\\") != id.npos || id == "." || id == "..") rows.fail(row, id_column, "cannot name a slide");
    study_slide one{id, data::id_of(rows, row, case_column), labels.of_rows[static_cast<std::size_t>(row)], {}};
    if (one.label >= 0 && !labels.names.empty()) one.class_name = labels.names[static_cast<std::size_t>(one.label)];
    const bool by_path = path_column >= 0 && !rows.text(row, path_column).empty();
    const std::int64_t file_column = by_path ? path_column : id_column;
    one.path = by_path ? by_name.below(rows.text(row, path_column)) : by_name.find(rows, row, id_column);
    if (one.path.empty()) {
      const auto refused = refused_by_name.find(rows, row, file_column);
      if (refused.empty()) {
        missing.push_back(rows.text(row, file_column));
        continue;
      }
      one.path = whole(refused);
      for (const auto& each : search.refusals)
        if (each.path == refused) one.skipped = each.why;
    }
    files.add(rows, row, file_column, one.path);
    unlabelled += one.label < 0;
    used.insert(one.path);
    named.push_back(std::move(one));
  }
  for (const auto& each : search.refusals)
    if (!used.contains(whole(each.path))) report(each.why);
  for (const auto& each : slides)
    if (!used.contains(each)) without_label.push_back(each.filename().string());
  if (!labels.names.empty()) {
    std::string classes;
    for (std::size_t c = 0; c < labels.names.size(); ++c)
      classes += message(c > 0 ? ", " : "", c, " ", labels.names[c]);
    report(message(table.string(), ": labels are names; the classes are: ", classes));
  }
  if (unlabelled > 0)
    report(message(table.string(), ": ", unlabelled, " slides have no label: they are prepared and not trained on"));
  if (!missing.empty())
    report(message(table.string(), ": ", missing.size(), " of ", rows.size(), " slides are not in ", place.string(),
                   ": ", listed(missing)));
  if (!without_label.empty())
    report(message(place.string(), ": ", without_label.size(), " slides are not in ", table.string(),
                   " and are left out: ", listed(without_label)));
  if (named.empty()) throw io_error(message(table.string(), ": names no slide of ", place.string()));
  return named;
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

std::vector<std::string> study::class_names() const {
  std::set<std::string> names;
  for (const study_slide& one : slides)
    if (!one.class_name.empty()) names.insert(one.class_name);
  return {names.begin(), names.end()};
}

std::string slide_digest(const std::filesystem::path& path) {
  std::string text = data::file_digest(path);
  std::error_code none;
  auto folder = path;
  folder.replace_extension();
  if (folder == path || !std::filesystem::is_directory(folder, none)) return text;
  std::vector<std::filesystem::path> files;
  for (const auto& each : std::filesystem::directory_iterator(folder))
    if (each.is_regular_file()) files.push_back(each.path());
  std::sort(files.begin(), files.end());
  data::digest all;
  all.add(text);
  for (const auto& each : files) all.add(each.filename().string()).add(data::file_digest(each));
  return all.text();
}

void write_study(study& made) {
  const auto path = made.folder / "study.json";
  const study_lock lock(made.folder);
  if (!made.weights.empty()) {
    made.weights_digest = data::file_digest(made.weights);
    made.weights = std::filesystem::absolute(made.weights).lexically_normal();
  }
  const report::json settings = settings_of(made);
  if (std::filesystem::exists(path) && has_features(made.folder)) {
    const report::json found = read_json(path);
    for (const auto& [name, value] : settings.items())
      expect_value(name == "weights" || (found.contains(name) && found[name] == value), path.string(), name, " is ",
                   found.contains(name) ? found[name].dump() : "not there", ", but this run asks for ", value.dump(),
                   "; name another folder by --out, or remove this one");
  }
  report::write_json(path, settings);
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
    made.weights_digest = settings.at("weights_digest").get<std::string>();
    made.slide_mpp = settings.at("slide_mpp");
    made.min_tissue = settings.at("min_tissue");
  } catch (const report::json::exception& error) {
    throw io_error(message(path.string(), ": ", error.what()));
  }
  if (!made.weights.empty() && std::filesystem::exists(made.weights)) {
    const std::string now = data::file_digest(made.weights);
    expect_value(now == made.weights_digest, folder.string(),
                 "its features were made with other weights: ", made.weights.string(), " has the digest ", now,
                 ", expected ", made.weights_digest,
                 "; bring those weights back, or prepare the slides in another folder");
  }
  made.slides = read_slides(folder);
  return made;
}

void write_slides(study& made, const reporter& report) {
  const study_lock lock(made.folder);
  const std::vector<study_slide> mine = made.slides;
  std::set<std::string> ids, others;
  std::set<std::filesystem::path> paths;
  for (const study_slide& one : mine) ids.insert(one.id), paths.insert(one.path);
  for (study_slide& one : read_slides(made.folder))
    if (!ids.contains(one.id) && !paths.contains(one.path)) {
      others.insert(one.id);
      made.slides.push_back(std::move(one));
    }
  if (!others.empty())
    report(
        message(others.size(), " slides of earlier runs stay in the study: ", listed({others.begin(), others.end()})));
  save_slides(made);
  made.slides.resize(mine.size());
}

void find_slides(study& made, const std::filesystem::path& place, const std::filesystem::path& table,
                 const reporter& report) {
  const study_lock lock(made.folder);
  std::vector<study_slide> earlier = read_slides(made.folder);
  made.slides = table.empty() ? found_slides(slide::find_slides(place, report), earlier, report)
                              : table_slides(place, table, earlier, report);
  expect_one_kind_of_labels(made, earlier);
  study reserved = made;  // new ids are taken before the work begins: another run may be at work, too
  reserved.slides = earlier;
  std::set<std::string> ids, mine;
  std::set<std::filesystem::path> paths;
  for (const study_slide& one : made.slides) mine.insert(one.id), paths.insert(one.path);
  for (const study_slide& one : earlier) {
    ids.insert(one.id);
    if (!one.digest.empty() && !mine.contains(one.id) && !paths.contains(one.path) && std::filesystem::exists(one.path))
      made.others[one.digest] = one.id;
  }
  for (const study_slide& one : made.slides)
    if (!one.id.empty() && !ids.contains(one.id)) {
      reserved.slides.push_back(one);
      reserved.slides.back().skipped = "was not prepared to the end";
    }
  if (reserved.slides.size() > earlier.size()) save_slides(reserved);
}

std::vector<study_slide> find_new_slides(const std::vector<std::string>& places, const reporter& report) {
  std::vector<std::filesystem::path> paths;
  for (const std::string& place : places)
    for (const auto& each : slide::find_slides(place, report)) paths.push_back(each);
  return found_slides(paths, {}, report);
}

std::string listed(const std::vector<std::string>& names) {
  std::string text;
  const std::size_t shown = std::min(names.size(), std::size_t{5});
  for (std::size_t i = 0; i < shown; ++i) text += (i > 0 ? ", " : "") + names[i];
  if (names.size() > shown) text += message(" and ", names.size() - shown, " more");
  return text;
}

}  // namespace example
