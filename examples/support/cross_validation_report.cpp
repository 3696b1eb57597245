#include "cross_validation_report.hpp"

#include <algorithm>
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

// Of each fold, the figures of the first epoch with the best accuracy on its test bags.
train::cross_validation_result best_epochs(const train::cross_validation_result& result) {
  train::cross_validation_result best;
  for (const auto& fold : result.folds) {
    const auto& accuracy = fold.history.column("validation_accuracy");
    const auto epoch = std::max_element(accuracy.begin(), accuracy.end()) - accuracy.begin();
    auto& chosen = best.folds.emplace_back();
    chosen.result.accuracy = accuracy[static_cast<std::size_t>(epoch)];
    chosen.result.auroc = fold.history.column("validation_auroc")[static_cast<std::size_t>(epoch)];
  }
  return best;
}

}  // namespace

void report(const std::filesystem::path& out, const std::string& title, const std::string& subtitle,
            const train::cross_validation_result& result, const std::function<std::string(std::int64_t)>& name_of,
            const std::vector<std::pair<std::string, std::string>>& settings, const report_options& options) {
  const auto accuracy = result.accuracy(), auc = result.auroc();
  report::json metrics;
  metrics["accuracy"] = {{"mean", accuracy.mean}, {"std", accuracy.deviation}};
  metrics["auc"] = {{"mean", auc.mean}, {"std", auc.deviation}};
  const std::string published = "best epoch on the test fold, as published";
  train::mean_and_deviation best_accuracy, best_auc;
  if (options.best_epoch_on_test) {
    const train::cross_validation_result best = best_epochs(result);
    best_accuracy = best.accuracy(), best_auc = best.auroc();
    metrics[published] = {{"accuracy", {{"mean", best_accuracy.mean}, {"std", best_accuracy.deviation}}},
                          {"auc", {{"mean", best_auc.mean}, {"std", best_auc.deviation}}}};
  }
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
  if (options.best_epoch_on_test)
    page.section("Beside published figures")
        .table({"weights", "accuracy", "AUC"}, {{"of the last epoch", figure(accuracy), figure(auc)},
                                                {published, figure(best_accuracy), figure(best_auc)}})
        .paragraph(
            "The second line takes of each fold the epoch with the best accuracy on the very bags that it is then "
            "tested "
            "on, as the published figures were made. It says how our network compares with them, and not how it does "
            "on "
            "new bags.");
  page.section("Training")
      .svg(loss, "Mean over the folds. The held-out bags choose nothing: every fold is tested with its last weights.")
      .svg(held_out);
  if (options.more) options.more(page);
  page.section("Folds");
  std::vector<std::vector<std::string>> rows;
  for (const auto& fold : result.folds)
    rows.push_back({std::to_string(fold.repeat + 1), std::to_string(fold.fold + 1), std::to_string(fold.test.size()),
                    figure(fold.result.accuracy), figure(fold.result.auroc)});
  page.table({"repeat", "fold", "bags", "accuracy", "AUC"}, rows);
  page.write(out / "report.html");

  std::cout << title << ": accuracy " << figure(accuracy) << ", AUC " << figure(auc) << " (" << result.folds.size()
            << " folds)\n";
  if (options.best_epoch_on_test)
    std::cout << "  " << published << ": accuracy " << figure(best_accuracy) << ", AUC " << figure(best_auc) << "\n";
  std::cout << "report: " << (out / "report.html").string() << "\n";
}

}  // namespace example
