#pragma once

#include <algorithm>
#include <cstdint>
#include <string>
#include <vector>

#include <milkit/core/tensor.hpp>

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

  std::int64_t bag_size(std::int64_t bag) const {
    const auto i = static_cast<std::size_t>(bag);
    return offsets[i + 1] - offsets[i];
  }
  /// The instances [size, features] of one bag, without a copy.
  matrix_view<const float> bag(std::int64_t bag) const {
    return instances.view().rows(offsets[static_cast<std::size_t>(bag)], bag_size(bag));
  }
};

}  // namespace milkit::data
