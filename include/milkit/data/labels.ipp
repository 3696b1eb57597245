#pragma once

#include <milkit/data/labels.hpp>

namespace milkit::data {

MILKIT_INLINE class_labels read_labels(const csv_table& table, std::int64_t column,
                                       const std::vector<std::string>& known) {
  std::set<std::string> names(known.begin(), known.end());
  std::int64_t first_text = -1, first_number = -1;
  for (std::int64_t row = 0; row < table.size(); ++row) {
    const std::string& text = table.text(row, column);
    double ignored = 0;
    if (text.empty()) continue;
    if (detail::parse_number(text, ignored)) {
      if (first_number < 0) first_number = row;
      continue;
    }
    if (first_text < 0) first_text = row;
    names.insert(text);
    if (static_cast<std::int64_t>(names.size()) > most_classes)
      table.fail(row, column, message("is a class more than ", most_classes, ", which is the most"));
  }
  if (first_text >= 0 && first_number >= 0)
    table.fail(first_text, column,
               message("is not a number, as line ", table.lines[static_cast<std::size_t>(first_number)],
                       " has; labels ", "are all numbers or all names"));
  if (first_text >= 0 && names.size() < 2)
    table.fail(first_text, column, "is not a number, nor one of two or more names of classes: all labels are the same");
  class_labels read;
  if (first_text >= 0) read.names.assign(names.begin(), names.end());
  for (std::int64_t row = 0; row < table.size(); ++row) {
    const std::string& text = table.text(row, column);
    if (text.empty()) read.of_rows.push_back(-1);
    else if (first_text >= 0)
      read.of_rows.push_back(std::lower_bound(read.names.begin(), read.names.end(), text) - read.names.begin());
    else read.of_rows.push_back(detail::label_of(table, row, column));
  }
  return read;
}

}  // namespace milkit::data
