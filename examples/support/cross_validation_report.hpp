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

// Writes the files and prints the figures. `name_of` names a bag, `settings` go into metrics.json, `more` adds to the
// page.
void report(const std::filesystem::path& out, const std::string& title, const std::string& subtitle,
            const milkit::train::cross_validation_result& result,
            const std::function<std::string(std::int64_t)>& name_of,
            const std::vector<std::pair<std::string, std::string>>& settings,
            const std::function<void(milkit::report::html_page&)>& more = {});

}  // namespace example
