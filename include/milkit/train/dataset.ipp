#pragma once

#include <milkit/train/dataset.hpp>

namespace milkit::train {

MILKIT_INLINE std::vector<std::int64_t> epoch_order(std::span<const std::int64_t> labels, std::int64_t classes,
                                                    bag_order how, const random_stream& random) {
  const auto size = static_cast<std::int64_t>(labels.size());
  std::vector<std::int64_t> order(static_cast<std::size_t>(size));
  for (std::int64_t i = 0; i < size; ++i) order[static_cast<std::size_t>(i)] = i;
  if (how == bag_order::shuffled) {
    for (std::int64_t i = size - 1; i > 0; --i)
      std::swap(order[static_cast<std::size_t>(i)],
                order[random.below(static_cast<std::uint64_t>(i) + 1, static_cast<std::uint64_t>(i), 0)]);
    return order;
  }
  std::vector<std::vector<std::int64_t>> members(static_cast<std::size_t>(classes));
  for (std::int64_t i = 0; i < size; ++i)
    members[static_cast<std::size_t>(labels[static_cast<std::size_t>(i)])].push_back(i);
  std::erase_if(members, [](const auto& each) { return each.empty(); });
  for (std::int64_t i = 0; i < size; ++i) {
    const auto at = static_cast<std::uint64_t>(i);
    const auto& pool = members[random.below(members.size(), at, 0)];
    order[static_cast<std::size_t>(i)] = pool[random.below(pool.size(), at, 1)];
  }
  return order;
}

}  // namespace milkit::train
