#pragma once

#include <cstdint>
#include <set>
#include <string>
#include <vector>

#include <milkit/core/macros.hpp>
#include <milkit/data/bag_columns.hpp>
#include <milkit/data/csv.hpp>

namespace milkit::data {

/// A class of each row of a table. Where the table has text, class c is called names[c].
struct class_labels {
  std::vector<std::int64_t> of_rows;  ///< -1: not known
  std::vector<std::string> names;     ///< empty where classes are numbers
};

/// The labels of a column: whole numbers from 0 to `most_classes` - 1, or names, which become classes in their order as
/// text. An empty field is an unknown label. Errors: io_error with file, line, column and value for other numbers, for a
/// text beside numbers or one name alone (`known` names are those of classes that may be absent here), and for more than
/// `most_classes` names.
MILKIT_INLINE class_labels read_labels(const csv_table& table, std::int64_t column,
                                       const std::vector<std::string>& known = {});

}  // namespace milkit::data

#if !defined(MILKIT_COMPILED)
#include <milkit/data/labels.ipp>
#endif
