#pragma once

#include <filesystem>

#include <milkit/core/macros.hpp>
#include <milkit/data/bag_columns.hpp>
#include <milkit/data/c45.hpp>

namespace milkit::data {

namespace detail {

/// Lower case, of ASCII.
MILKIT_INLINE std::string lower(std::string text);

/// Whether a column tells what an instance is called or where it belongs: it has no name (the index of a data frame), or
/// one of these words in its name.
MILKIT_INLINE bool names_no_feature(const std::string& column);

/// The columns of bags by their names; what else is no feature goes into `ignored`.
MILKIT_INLINE bag_columns find_bag_columns(const csv_table& table, std::vector<std::string>& ignored);

}  // namespace detail

/// Reads bags from a table. Where the first line is a header (it has `bag` and `label`, or text where the label and the
/// first feature would be), these two columns are found by their names; columns that name or number instances (nameless,
/// or with words as instance, fold, id) go to `ignored`, and the rest are features in the file's order. Without a header
/// lines are `bag,label,f1,...,fD`. Lines of a bag that disagree on the label, an empty bag name, a ragged line, text for
/// a number, NaN or infinity: io_error with file, line and column.
MILKIT_INLINE bag_table read_bag_csv(const std::filesystem::path& path);

/// Reads bags from a file whose format it recognises: C4.5 (`read_c45`) where the name ends in `.data`, or where the
/// first line ends in a full stop and its second field is no number; else CSV (`read_bag_csv`).
MILKIT_INLINE bag_table read_bags(const std::filesystem::path& path);

}  // namespace milkit::data

#if !defined(MILKIT_COMPILED)
#include <milkit/data/bag_csv.ipp>
#endif
