#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include <milkit/core/macros.hpp>
#include <milkit/data/csv.hpp>
#include <milkit/train/cross_validation.hpp>

namespace milkit::train {

namespace detail {

/// The rows of one evaluation behind `first` fields: bag, label, prediction, and a probability for each class.
template <class NameOf>
void add_predictions(data::csv_writer& csv, const std::vector<std::string>& first, const evaluation& result,
                     std::size_t classes, NameOf&& name_of) {
  for (std::size_t i = 0; i < result.labels.size(); ++i) {
    std::vector<std::string> row = first;
    row.push_back(name_of(static_cast<std::int64_t>(i)));
    row.push_back(data::number_text(result.labels[i]));
    row.push_back(data::number_text(result.predictions[i]));
    for (std::size_t c = 0; c < classes; ++c) row.push_back(data::number_text(result.probabilities[i * classes + c]));
    csv.row(row);
  }
}

/// The classes of an evaluation, which must hold as many predictions and rows of probabilities as labels.
MILKIT_INLINE std::size_t classes_of(const evaluation& result);

MILKIT_INLINE std::vector<std::string> prediction_header(std::vector<std::string> first, std::size_t classes);

}  // namespace detail

/// Writes what a network said of labelled bags as CSV, atomically: bag,label,prediction,probability_0,probability_1 and
/// so on; `name_of(i)` names the i-th bag of the evaluation. Errors: io_error; value_error or shape_error for an
/// evaluation that is empty or does not fit itself.
template <class NameOf>
void write_predictions(const std::filesystem::path& path, const evaluation& result, NameOf&& name_of) {
  const std::size_t classes = detail::classes_of(result);
  data::csv_writer csv(path, detail::prediction_header({}, classes));
  detail::add_predictions(csv, {}, result, classes, name_of);
  csv.commit();
}

/// The same of every fold's test bags, behind the columns repeat and fold (both from 1); `name_of(i)` names the i-th
/// bag of the whole data set.
template <class NameOf>
void write_predictions(const std::filesystem::path& path, const cross_validation_result& all, NameOf&& name_of) {
  constexpr const char* op = "milkit::train::write_predictions";
  expect_value(!all.folds.empty(), op, "there are no folds");
  const std::size_t classes = detail::classes_of(all.folds[0].result);
  data::csv_writer csv(path, detail::prediction_header({"repeat", "fold"}, classes));
  for (const fold_result& fold : all.folds) {
    expect_extent(op, "classes of a fold", static_cast<std::int64_t>(detail::classes_of(fold.result)),
                  static_cast<std::int64_t>(classes));
    expect_extent(op, "test bags of a fold", detail::length(fold.test), detail::length(fold.result.labels));
    detail::add_predictions(csv, {data::number_text(fold.repeat + 1), data::number_text(fold.fold + 1)}, fold.result,
                            classes, [&](std::int64_t i) { return name_of(fold.test[static_cast<std::size_t>(i)]); });
  }
  csv.commit();
}

}  // namespace milkit::train

#if !defined(MILKIT_COMPILED)
#include <milkit/train/predictions.ipp>
#endif
