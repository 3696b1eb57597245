#pragma once
// What zoom_predict writes: predicted.csv, the pictures of each slide, and report.html.

#include <map>
#include <string>
#include <vector>

#include <milkit/core/image.hpp>
#include <milkit/report/html.hpp>
#include <milkit/slide/slide.hpp>

#include "zoom_networks.hpp"
#include "zoom_study.hpp"

namespace example {

// What zoom_train left in a study.
struct trained_study {
  std::int64_t folds = 1;
  std::vector<std::string> methods;
  network_settings network;
  std::map<std::string, std::int64_t> fold_of;  // in which a slide is tested; -1: the study's, but in no part of it
  std::int64_t test_fold(const std::string& slide) const {
    const auto found = fold_of.find(slide);
    return found == fold_of.end() ? -1 : found->second;
  }
};
// Errors: io_error where something is missing; value_error where the models are not those of the figures, or slides have
// other labels, patients or files than the training saw.
trained_study read_trained(const study& of);

// What the network saw at one magnification.
struct seen_level {
  std::string name;
  std::vector<milkit::slide::level0_rectangle> tiles;
  std::vector<std::int64_t> selected;
  std::vector<double> attention, zoom;  // the distributions that pool, and that choose where to zoom
  std::vector<milkit::rgb_image> insets;
};

struct slide_report {
  study_slide slide;
  std::int64_t fold = 0;  // of the network; -1: the mean over all folds
  std::vector<double> probabilities = {};
  std::int64_t tiles_seen = 0;
  std::vector<std::int64_t> tiles = {};  // that there are at each magnification
  double seconds = 0;
};

class prediction_report {
 public:
  // Writes to `folder`.
  prediction_report(const study& of, const trained_study& trained, std::filesystem::path folder);

  // How long one network took for one slide, and whether it saw the lesion.
  void add_run(const std::string& method, std::int64_t tiles, double seconds);
  void add_hit(const std::string& method, bool hit);
  // A slide's prediction; writes its pictures where `show` is set. `truth` may be empty.
  void add(const slide_report& told, const milkit::slide::whole_slide& slide, const std::vector<seen_level>& levels,
           const milkit::rgb_image& truth, bool show);
  void skip(const study_slide& slide, const std::string& why);
  // Errors: value_error where nothing was predicted; what earlier runs wrote is then as it was.
  void write();

 private:
  struct runs {
    double tiles = 0, seconds = 0, count = 0, hits = 0, lesions = 0;
  };
  std::string class_text(std::int64_t label) const;
  const study& study_;
  const trained_study& trained_;
  std::filesystem::path folder_;
  std::vector<std::string> class_names_;
  std::map<std::string, runs> runs_;
  std::vector<slide_report> slides_;
  std::vector<std::pair<std::string, std::string>> skipped_;
  struct shown_slide {
    std::string heading;
    milkit::rgb_image path, heatmaps;
  };
  std::vector<shown_slide> shown_;
};

}  // namespace example
