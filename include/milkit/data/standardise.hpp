#pragma once

#include <cmath>
#include <span>

#include <milkit/data/bags.hpp>

namespace milkit::data {

/// A copy of the bags in which every feature has mean 0 and deviation 1 over the instances of `fit_on` (indices of
/// bags: the training part, so that nothing of the test part is seen). A feature that is constant there is only
/// shifted. Errors: value_error for an empty `fit_on` or an index that is no bag.
inline bag_table standardised(const bag_table& bags, std::span<const std::int64_t> fit_on) {
  expect_value(!fit_on.empty(), "milkit::data::standardised", "there are no bags to take mean and deviation from");
  const std::int64_t features = bags.features();
  bag_table result{bags.instances.clone(), bags.offsets, bags.labels, bags.names, bags.instance_names};
  for (std::int64_t j = 0; j < features; ++j) {
    double count = 0, mean = 0, square = 0;
    for (const std::int64_t b : fit_on) {
      expect_value(b >= 0 && b < bags.bags(), "milkit::data::standardised", "index ", b, " is outside the ",
                   bags.bags(), " bags");
      const auto instances = bags.bag(b);
      for (std::int64_t i = 0; i < instances.rows(); ++i) {
        const double x = static_cast<double>(instances(i, j)), delta = x - mean;
        mean += delta / ++count;
        square += delta * (x - mean);
      }
    }
    const double deviation = std::sqrt(square / count), scale = deviation > 0 ? 1 / deviation : 1.0;
    for (std::int64_t i = 0; i < result.instances.rows(); ++i)
      result.instances.view()(i, j) =
          static_cast<float>((static_cast<double>(bags.instances.view()(i, j)) - mean) * scale);
  }
  return result;
}

}  // namespace milkit::data
