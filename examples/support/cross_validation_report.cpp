#include "cross_validation_report.hpp"

#include <cstdio>
#include <iostream>

#include <milkit/report/curves.hpp>
#include <milkit/report/json.hpp>
#include <milkit/train/predictions.hpp>

namespace example {

using namespace milkit;

namespace {

std::string figure(double value, int digits = 3) {
  char text[64];
  std::snprintf(text, sizeof text, "%.*f", digits, value);
  return text;
}
std::string figure(const train::mean_and_deviation& f) { return figure(f.mean) + " +- " + figure(f.deviation); }

// The mean of a figure over the folds, epoch by epoch.
std::vector<double> mean_curve(const train::cross_validation_result& result, const std::string& name) {
  std::vector<double> mean;
  for (std::size_t e = 0;; ++e) {
    std::vector<double> values;  // of the folds that have such an epoch; those without a value are left out of the mean
    for (const auto& fold : result.folds)
      if (const auto& column = fold.history.column(name); e < column.size()) values.push_back(column[e]);
    if (values.empty()) return mean;
    mean.push_back(train::mean_of(values).mean);
  }
}

}  // namespace

void report(const std::filesystem::path& out, const std::string& title, const std::string& subtitle,
            const train::cross_validation_result& result, const std::function<std::string(std::int64_t)>& name_of,
            const std::vector<std::pair<std::string, std::string>>& settings,
            const std::function<void(report::html_page&)>& more) {
  const auto accuracy = result.accuracy(), auc = result.auroc();
  report::json metrics;
  metrics["accuracy"] = {{"mean", accuracy.mean}, {"std", accuracy.deviation}};
  metrics["auc"] = {{"mean", auc.mean}, {"std", auc.deviation}};
  metrics["folds"] = report::json::array();
  for (const auto& fold : result.folds)
    metrics["folds"].push_back({{"repeat", fold.repeat + 1},
                                {"fold", fold.fold + 1},
                                {"accuracy", fold.result.accuracy},
                                {"auc", fold.result.auroc}});
  train::write_predictions(out / "predictions.csv", result, name_of);
  for (const auto& [name, value] : settings) metrics["settings"][name] = value;
  report::write_json(out / "metrics.json", metrics);

  const std::string loss =
      report::curves_svg({.title = "Loss",
                          .y_label = "cross-entropy",
                          .lines = {{.name = "training", .y = mean_curve(result, "loss")},
                                    {.name = "held out", .y = mean_curve(result, "validation_loss")}}});
  const std::string held_out =
      report::curves_svg({.title = "Held-out bags",
                          .y_label = "share",
                          .lines = {{.name = "accuracy", .y = mean_curve(result, "validation_accuracy")},
                                    {.name = "AUC", .y = mean_curve(result, "validation_auroc")}}});
  data::write_all(out / "loss.svg", loss);
  data::write_all(out / "held_out.svg", held_out);

  report::html_page page(title, subtitle);
  const std::string note = message("mean and deviation of ", result.folds.size(), " folds");
  page.key_figures({{"accuracy", figure(accuracy.mean), "+- " + figure(accuracy.deviation) + ", " + note},
                    {"AUC", figure(auc.mean), "+- " + figure(auc.deviation) + ", " + note}});
  page.section("Training")
      .svg(loss, "Mean over the folds. The held-out bags choose nothing: every fold is tested with its last weights.")
      .svg(held_out);
  if (more) more(page);
  page.section("Folds");
  std::vector<std::vector<std::string>> rows;
  for (const auto& fold : result.folds)
    rows.push_back({std::to_string(fold.repeat + 1), std::to_string(fold.fold + 1), std::to_string(fold.test.size()),
                    figure(fold.result.accuracy), figure(fold.result.auroc)});
  page.table({"repeat", "fold", "bags", "accuracy", "AUC"}, rows);
  page.write(out / "report.html");

  std::cout << title << ": accuracy " << figure(accuracy) << ", AUC " << figure(auc) << " (" << result.folds.size()
            << " folds)\n"
            << "report: " << (out / "report.html").string() << "\n";
}

}  // namespace example
