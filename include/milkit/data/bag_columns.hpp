#pragma once

#include <cstdint>
#include <vector>

#include <milkit/core/macros.hpp>
#include <milkit/data/bags.hpp>
#include <milkit/data/csv.hpp>

namespace milkit::data {

/// The most classes that a file of bags may have: one label far off (an identifier in the wrong column) would otherwise
/// ask for counts of every class up to it.
inline constexpr std::int64_t most_classes = 1000;

namespace detail {

/// The class that a field tells; io_error with file, line, column and value where it tells none.
MILKIT_INLINE std::int64_t label_of(const csv_table& table, std::int64_t row, std::int64_t column);

/// Which fields of a line hold what; -1: none does.
struct bag_columns {
  std::int64_t bag, instance, label;
  std::vector<std::int64_t> features;
};

/// Groups the lines of a table into bags, in the order in which bags first appear; a bag's lines need not be
/// neighbours.
MILKIT_INLINE bag_table group_bags(const csv_table& table, const bag_columns& columns);

}  // namespace detail

}  // namespace milkit::data

#if !defined(MILKIT_COMPILED)
#include <milkit/data/bag_columns.ipp>
#endif
