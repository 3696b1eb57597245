// First of three (zoom_prepare, zoom_train, zoom_predict): slides to pyramids of tiles and their features.
//   zoom_prepare out/cohort --table out/cohort/cohort.csv --out out/zoom_mil
#include <algorithm>
#include <iostream>
#include <map>

#include <milkit/data/hdf5.hpp>
#include <milkit/milkit.hpp>

#include "support/command_line.hpp"
#include "support/with_encoder.hpp"

using namespace milkit;

// The features of one slide, from the file of an earlier run where there is one of the same slide. Tells what it did.
template <class Backend, class Encoder>
std::string prepare(Backend& backend, const Encoder& encoder, const example::study& study,
                    const example::study_slide& one) {
  const auto names = study.level_names();
  const auto path = study.features(one.id);
  const std::string mpp = data::number_text(study.slide_mpp), tissue = data::number_text(study.min_tissue);
  std::string told;
  if (std::filesystem::exists(path)) {
    auto expected = encoders::feature_provenance(encoder, study.tile, names);
    const auto found = data::read_features(path, expected).provenance;
    const auto same = [&](const char* key, const std::string& value) {
      return found.contains(key) && found.at(key) == value;
    };
    if (same("slide_digest", one.digest) && same("slide_mpp", mpp) && same("min_tissue", tissue)) return "was there";
    told = "is made anew: its features were of another file, or of other settings";
  }
  const slide::whole_slide slide = study.open(one.path);
  if (!slide.resolution_note().empty()) told += (told.empty() ? "" : "; ") + slide.resolution_note();
  const slide::tile_pyramid tiles = study.cut(slide);
  encoders::encode_options options;
  train::progress_options bar = train::progress_to_stderr();
  if (tiles.tiles() < 4000) bar.out = nullptr;
  train::progress progress("  " + one.id, tiles.tiles(), bar);
  options.on_tiles = [&](std::int64_t done) { progress.update(done); };
  data::feature_pyramid made = encoders::encode_pyramid(backend, encoder, slide, tiles, names, options);
  made.provenance["slide"] = one.path.string();
  made.provenance["slide_bytes"] = message(std::filesystem::file_size(one.path));
  made.provenance["slide_digest"] = one.digest;
  made.provenance["slide_mpp"] = mpp;
  made.provenance["min_tissue"] = tissue;
  made.provenance["tissue"] = tiles.without_tissue ? "none was found: all tiles are kept" : "found";
  data::write_features(path, made);
  if (tiles.without_tissue) told += (told.empty() ? "" : "; ") + std::string("no tissue was found: all tiles are kept");
  return told;
}

// Prepares what can be, and names the rest. Returns how many were there from an earlier run.
template <class Backend, class Encoder>
std::int64_t prepare_all(Backend& backend, const Encoder& encoder, example::study& study,
                         const example::reporter& complain) {
  std::int64_t done = 0, kept = 0;
  std::map<std::string, std::string> of_content = study.others;  // ids by digests
  train::progress progress("slides", static_cast<std::int64_t>(study.slides.size()), train::progress_to_stderr());
  for (example::study_slide& one : study.slides) {
    try {
      if (!one.skipped.empty()) throw io_error(one.skipped);
      one.digest = example::slide_digest(one.path);
      const auto [twin, is_new] = of_content.emplace(one.digest, one.id);
      if (!is_new) throw io_error(message("slide ", one.path, ": has the content of slide ", twin->second));
      const std::string told = prepare(backend, encoder, study, one);
      kept += told == "was there";
      if (!told.empty() && told != "was there") complain(one.id + ": " + told);
    } catch (const slide::resolution_error& error) {
      one.skipped = message(error.what(), " (here: --slide-mpp)");
    } catch (const std::exception& error) {
      one.skipped = error.what();
    }
    if (!one.skipped.empty()) complain(one.id.empty() ? one.skipped : one.id + " is left out: " + one.skipped);
    progress.update(++done);
  }
  return kept;
}

int main(int argc, char** argv) {
  std::string place;
  std::filesystem::path table;
  example::study study;
  example::device device;
  example::command_line line(
      "Cuts slides into tiles at several magnifications and encodes them. What is done is kept: start it again after "
      "an "
      "interruption and it goes on. A slide that cannot be used is named and left out.");
  line.place("SLIDES", place, "a slide, or a folder that holds slides");
  line.option("--table", table,
              "CSV with the columns slide_id,case_id,label, and path where names are not enough; without it slides "
              "have no labels");
  line.option("--out", study.folder, "folder of the study");
  line.option("--magnifications", study.magnifications, "from low to high, two or three, in steps of 2, 4 or 8");
  line.option("--tile", study.tile, "pixels a side of a tile, at every magnification", 16);
  line.option("--min-tissue", study.min_tissue, "least share of tissue of a tile at the lowest magnification", 0, 1.01);
  line.option("--slide-mpp", study.slide_mpp, "microns a level-0 pixel, in place of what slides say; 0: not given");
  line.option("--encoder", study.encoder, "what makes features of tiles", {"stain", "resnet50", "resnet34"});
  line.option("--weights", study.weights, "safetensors file with the weights of a ResNet, named as torchvision does");
  line.option(device);
  return example::run("zoom_prepare", line, argc, argv, [&] {
    expect_value(study.magnifications.size() == 2 || study.magnifications.size() == 3, "--magnifications", "there are ",
                 study.magnifications.size(), ", expected 2 or 3");
    const auto complain = [](const std::string& what) { std::cerr << "zoom_prepare: " << what << std::endl; };
    std::int64_t kept = 0;
    bool written = false;
    example::on_device(device, [&](auto& backend) {
      example::with_encoder(backend, study, [&](const auto& encoder) {
        std::filesystem::create_directories(study.folder / "features");
        write_study(study);
        find_slides(study, place, table, complain);
        kept = prepare_all(backend, encoder, study, complain);
      });
    });
    const auto done = static_cast<std::int64_t>(study.slides.size());
    const std::int64_t failed =
        std::count_if(study.slides.begin(), study.slides.end(), [](const auto& one) { return !one.skipped.empty(); });
    std::erase_if(study.slides, [](const auto& one) { return one.id.empty(); });
    try {
      write_slides(study, complain);
      written = true;
    } catch (const std::exception& error) {
      complain(error.what());
    }
    std::cout << done - failed << " slides prepared";
    if (kept > 0) std::cout << ", " << kept << " of them earlier";
    if (failed > 0) std::cout << ", " << failed << " left out, named above";
    std::cout << ": " << study.folder.string() << "\n";
    return failed == done || !written ? 1 : 0;
  });
}
