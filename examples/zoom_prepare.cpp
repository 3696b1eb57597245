// First of three (zoom_prepare, zoom_train, zoom_predict): slides to pyramids of tiles and their features.
//   zoom_prepare out/cohort --table out/cohort/cohort.csv --out out/zoom_mil
#include <iostream>

#include <milkit/data/hdf5.hpp>
#include <milkit/milkit.hpp>

#include "support/command_line.hpp"
#include "support/with_encoder.hpp"

using namespace milkit;

// The features of one slide, from the file of an earlier run where there is one. Tells what it did.
template <class Backend, class Encoder>
std::string prepare(Backend& backend, const Encoder& encoder, const example::study& study,
                    const example::study_slide& one) {
  const auto names = study.level_names();
  const auto path = study.features(one.id);
  if (std::filesystem::exists(path)) {
    data::read_features(path, encoders::feature_provenance(encoder, study.tile, names));
    return "was there";
  }
  const slide::whole_slide slide = study.open(one.path);
  const slide::tile_pyramid tiles = study.cut(slide);
  encoders::encode_options options;
  train::progress_options bar = train::progress_to_stderr();
  if (tiles.tiles() < 4000) bar.out = nullptr;
  train::progress progress("  " + one.id, tiles.tiles(), bar);
  options.on_tiles = [&](std::int64_t done) { progress.update(done); };
  data::feature_pyramid made = encoders::encode_pyramid(backend, encoder, slide, tiles, names, options);
  made.provenance["slide"] = one.path.string();
  made.provenance["tissue"] = tiles.without_tissue ? "none was found: all tiles are kept" : "found";
  data::write_features(path, made);
  return tiles.without_tissue ? "no tissue was found: all tiles are kept" : "";
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
  line.option("--table", table, "CSV with the columns slide_id,case_id,label; without it slides have no labels");
  line.option("--out", study.folder, "folder of the study");
  line.option("--magnifications", study.magnifications, "from low to high, two or three, in steps of 2, 4 or 8");
  line.option("--tile", study.tile, "pixels a side of a tile, at every magnification", 16);
  line.option("--min-tissue", study.min_tissue, "least share of tissue of a tile at the lowest magnification", 0, 1.01);
  line.option("--slide-mpp", study.slide_mpp, "microns a level-0 pixel, for slides that do not know; 0: not given");
  line.option("--encoder", study.encoder, "what makes features of tiles", {"stain", "resnet50", "resnet34"});
  line.option("--weights", study.weights, "safetensors file with the weights of a ResNet, named as torchvision does");
  line.option(device);
  return example::run("zoom_prepare", line, argc, argv, [&] {
    expect_value(study.magnifications.size() == 2 || study.magnifications.size() == 3, "--magnifications", "there are ",
                 study.magnifications.size(), ", expected 2 or 3");
    const auto complain = [](const std::string& what) { std::cerr << "zoom_prepare: " << what << std::endl; };
    study.slides = example::find_slides(place, table, complain);
    std::filesystem::create_directories(study.folder / "features");
    write_study(study);
    std::int64_t done = 0, failed = 0, kept = 0;
    example::on_device(device, [&](auto& backend) {
      example::with_encoder(backend, study, [&](const auto& encoder) {
        train::progress progress("slides", static_cast<std::int64_t>(study.slides.size()), train::progress_to_stderr());
        for (example::study_slide& one : study.slides) {
          try {
            const std::string said = prepare(backend, encoder, study, one);
            kept += said == "was there";
            if (!said.empty() && said != "was there") complain(one.id + ": " + said);
          } catch (const slide::resolution_error& error) {
            one.skipped = message(error.what(), " (here: --slide-mpp)");
          } catch (const std::exception& error) {
            one.skipped = error.what();
          }
          if (!one.skipped.empty()) complain(one.id + " is left out: " + one.skipped), ++failed;
          progress.update(++done);
        }
      });
    });
    write_slides(study);
    std::cout << done - failed << " slides prepared";
    if (kept > 0) std::cout << ", " << kept << " of them earlier";
    if (failed > 0) std::cout << ", " << failed << " left out, named above";
    std::cout << ": " << study.folder.string() << "\n";
    return failed == done ? 1 : 0;
  });
}
