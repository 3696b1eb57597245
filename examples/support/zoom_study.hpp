#pragma once
// The folder that zoom_prepare, zoom_train and zoom_predict share:
//
//     study.json        how slides were cut and encoded         slides.csv   which slides, and what became of them
//     features/         <slide>.h5, one a slide                 splits.csv   fold, part and slide of the training
//     models/           weights of each network and fold        metrics.json, predictions.csv, curves.svg
//     slides/           pictures of each slide                  predicted.csv, report.html

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include <milkit/slide/tile_pyramid.hpp>

namespace example {

struct study_slide {
  std::string id, patient;
  std::int64_t label = -1;  // unknown
  std::filesystem::path path;
  std::string skipped = {};  // why there are no features of it
};

struct study {
  std::filesystem::path folder = "out/zoom_mil";
  std::vector<double> magnifications = {5, 10, 20};
  std::int64_t tile = 256;
  std::string encoder = "stain";
  std::filesystem::path weights = {};
  double slide_mpp = 0;  // of slides that do not know; 0: not given
  double min_tissue = 0.1;
  std::vector<study_slide> slides = {};

  std::vector<std::string> level_names() const;
  std::filesystem::path features(const std::string& id) const { return folder / "features" / (id + ".h5"); }
  std::filesystem::path model(const std::string& network, std::int64_t fold) const {
    return folder / "models" / (network + "_fold" + std::to_string(fold + 1) + ".safetensors");
  }
  std::filesystem::path checkpoint(const std::string& network, std::int64_t fold) const {
    return folder / "models" / (network + "_fold" + std::to_string(fold + 1) + ".checkpoint");
  }
  milkit::slide::whole_slide open(const std::filesystem::path& path) const;
  milkit::slide::tile_pyramid cut(const milkit::slide::whole_slide& slide) const;
};

// study.json and slides.csv. Errors: io_error, and value_error where the folder holds a study of other settings (both
// named).
void write_study(const study& made);
void write_slides(const study& made);
study read_study(const std::filesystem::path& folder);

// Slides of a file or of a folder, with patients and labels of a table (slide_id,case_id,label; CSV) where one is given:
// then those of the table. What is in one and not in the other is told to `report`.
std::vector<study_slide> find_slides(const std::filesystem::path& place, const std::filesystem::path& table,
                                     const std::function<void(const std::string&)>& report);

// "a, b and 7 more"
std::string listed(const std::vector<std::string>& names);

}  // namespace example
