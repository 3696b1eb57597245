#include "cross_validation_report.hpp"

#include <iostream>

#include <milkit/report/curves.hpp>
#include <milkit/report/json.hpp>
#include <milkit/train/predictions.hpp>

#include "mean_curve.hpp"
#include "text.hpp"

namespace example {

using namespace milkit;

namespace {

std::string figure(double value) { return text("%.3f", value); }
std::string figure(const train::mean_and_deviation& f) { return figure(f.mean) + " +- " + figure(f.deviation); }

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
                          .lines = {{.name = "training", .y = mean_curve(result.folds, "loss")},
                                    {.name = "held out", .y = mean_curve(result.folds, "validation_loss")}}});
  const std::string held_out =
      report::curves_svg({.title = "Held-out bags",
                          .y_label = "share",
                          .lines = {{.name = "accuracy", .y = mean_curve(result.folds, "validation_accuracy")},
                                    {.name = "AUC", .y = mean_curve(result.folds, "validation_auroc")}}});
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
