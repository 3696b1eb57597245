#pragma once
// What the cross-validated examples write: metrics.json, predictions.csv, curves and report.html.

#include <filesystem>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include <milkit/report/html.hpp>
#include <milkit/train/cross_validation.hpp>

namespace example {

// What else the report says.
struct report_options {
  // Beside the figures of the last weights, those of the best epoch on the test fold, for comparison with published
  // figures that were made so: of each fold the epoch with the best accuracy on the very bags that it is tested on, by
  // the history's "validation_accuracy". It is not an estimate for new bags.
  bool best_epoch_on_test = false;
  std::function<void(milkit::report::html_page&)> more = {};  // adds to the page
};

// Writes the files and prints the figures. `name_of` names a bag, `settings` go into metrics.json.
void report(const std::filesystem::path& out, const std::string& title, const std::string& subtitle,
            const milkit::train::cross_validation_result& result,
            const std::function<std::string(std::int64_t)>& name_of,
            const std::vector<std::pair<std::string, std::string>>& settings, const report_options& options = {});

}  // namespace example
