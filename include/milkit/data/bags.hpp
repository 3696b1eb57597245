#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include <milkit/core/macros.hpp>
#include <milkit/core/tensor.hpp>
#include <milkit/data/csv.hpp>
#include <milkit/data/row_ids.hpp>

namespace milkit::data {

/// Labelled bags as one ragged batch: bag `b` owns rows `offsets[b]` to `offsets[b + 1] - 1` of `instances`.
struct bag_table {
  tensor<float, 2> instances;               ///< [instances, features]
  std::vector<std::int64_t> offsets = {0};  ///< [bags + 1]
  std::vector<std::int64_t> labels;         ///< [bags], each 0 or more
  std::vector<std::string> names;           ///< [bags]
  std::vector<std::string> instance_names;  ///< [instances]; empty where the file names none
  std::vector<std::string> ignored;         ///< columns of the file that are neither features nor any of the above

  std::int64_t bags() const { return static_cast<std::int64_t>(labels.size()); }
  std::int64_t features() const { return instances.extent(1); }
  std::int64_t classes() const { return labels.empty() ? 0 : *std::max_element(labels.begin(), labels.end()) + 1; }

  MILKIT_INLINE std::int64_t bag_size(std::int64_t bag) const;
  /// The instances [size, features] of one bag, without a copy.
  matrix_view<const float> bag(std::int64_t bag) const {
    return instances.view().rows(offsets[static_cast<std::size_t>(bag)], bag_size(bag));
  }
};

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
#include <milkit/data/bags.ipp>
#endif
