#pragma once
// The folder that zoom_prepare, zoom_train and zoom_predict share:
//
//     study.json        how slides were cut and encoded         slides.csv   which slides, and what became of them
//     features/         <slide>.h5, one a slide                 splits.csv   fold, part and slide of the training
//     models/           weights of each network and fold        metrics.json, predictions.csv, curves.svg
//     slides/           pictures of each slide                  predicted.csv, report.html, comparison.json
//     new_slides/       the last four of slides that are not the study's

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include <milkit/slide/tile_pyramid.hpp>

namespace example {

struct study_slide {
  std::string id, patient;
  std::int64_t label = -1;  // unknown
  std::filesystem::path path;
  std::string skipped = {};     // why there are no features of it
  std::string class_name = {};  // of the label, where the table has names
  std::string digest = {};      // of the file that the features are of
};

struct study {
  std::filesystem::path folder = "out/zoom_mil";
  std::vector<double> magnifications = {5, 10, 20};
  std::int64_t tile = 256;
  std::string encoder = "stain";
  std::filesystem::path weights = {};
  std::string weights_digest = {};
  double slide_mpp = 0;  // the user's word; 0: not given
  double min_tissue = 0.1;
  std::vector<study_slide> slides = {};
  std::map<std::string, std::string> others = {};  // ids by digests of slides that only earlier runs have

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
  std::vector<std::string> class_names() const;  // of all slides; empty where classes are numbers
};

using reporter = std::function<void(const std::string&)>;

// The digest of a slide: of its file, and of the folder of the same name where the scanner keeps its pixels there.
std::string slide_digest(const std::filesystem::path& path);

// study.json. Errors: io_error, and value_error where the folder holds features of other settings (both named).
void write_study(study& made);
// study.json and slides.csv. Errors: io_error; value_error where the encoder's weights are not those of the features.
study read_study(const std::filesystem::path& folder);

// Puts the slides into slides.csv, in place of those with the same ids; what other runs put there stays, and is told.
void write_slides(study& made, const reporter& report);

// Slides of a file or of a folder, with patients and labels of a table (slide_id,case_id,label and, where it says it,
// path; CSV) where one is given: then those of the table. Ids that a study has given to files stay with them; new ones
// are written down in slides.csv at once. What is in one and not in the other is told to `report`.
void find_slides(study& made, const std::filesystem::path& place, const std::filesystem::path& table,
                 const reporter& report);

// Slides that belong to no study, with ids of their own.
std::vector<study_slide> find_new_slides(const std::vector<std::string>& places, const reporter& report);

// "a, b and 7 more"
std::string listed(const std::vector<std::string>& names);

}  // namespace example
