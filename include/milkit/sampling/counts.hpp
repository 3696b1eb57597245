#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

#include <milkit/core/view.hpp>

namespace milkit::sampling {

/// Adds n draws to counts [K] in proportion to p [K] without chance: floor(n p_i / sum p), and the draws that are left
/// go to the largest remainders, the lower index first among equals. No item gets more than its `capacity` [K] (absent:
/// no limit): those that would are filled, and the others share what is left by the same rule, again and again
/// (docs/papers/zoom_in.md 2.4, 5). Where all are full, the rest of the draws is dropped. Returns how many were given
/// out. Items that have all the mass count alone; where what has room has no mass, it shares alike. Errors: value_error
/// for n < 0 and for probabilities that are negative or NaN.
template <class T>
std::int64_t share_draws(vector_view<const T> p, std::int64_t n, vector_view<const std::int64_t> capacity,
                         vector_view<std::int64_t> counts) {
  constexpr auto op = "milkit::sampling::share_draws";
  const std::int64_t items = p.extent(0);
  expect_extent(op, "extent of counts", counts.extent(0), items);
  if (!capacity.absent()) expect_extent(op, "extent of capacity", capacity.extent(0), items);
  expect_value(n >= 0, op, "n is ", n, ", expected 0 or more");
  for (std::int64_t i = 0; i < items; ++i)
    expect_value(p(i) >= 0, op, "probability ", i, " is ", p(i), ", expected 0 or more");
  struct part {
    std::int64_t item, whole;
    double remainder;
  };
  std::vector<part> parts;
  std::int64_t left = n;
  while (left > 0) {
    parts.clear();
    double mass = 0;
    for (std::int64_t i = 0; i < items; ++i)
      if (capacity.absent() || counts(i) < capacity(i)) {
        parts.push_back({i, 0, 0});
        mass += static_cast<double>(p(i));
      }
    if (parts.empty()) break;
    std::int64_t rest = left;
    for (part& each : parts) {
      const double share = static_cast<double>(left) * (mass > 0 ? static_cast<double>(p(each.item)) / mass
                                                                 : 1 / static_cast<double>(parts.size()));
      each.whole = static_cast<std::int64_t>(std::floor(share));
      each.remainder = share - static_cast<double>(each.whole);
      rest -= each.whole;
    }
    std::stable_sort(parts.begin(), parts.end(),
                     [](const part& a, const part& b) { return a.remainder > b.remainder; });
    for (auto each = parts.begin(); rest > 0; each = each + 1 == parts.end() ? parts.begin() : each + 1, --rest)
      ++each->whole;
    bool full = false;
    if (!capacity.absent())
      for (const part& each : parts)
        if (counts(each.item) + each.whole > capacity(each.item)) {
          left -= capacity(each.item) - counts(each.item);
          counts(each.item) = capacity(each.item);
          full = true;
        }
    if (full) continue;
    for (const part& each : parts) counts(each.item) += each.whole;
    left = 0;
  }
  return n - left;
}

/// Counts [K] of n draws by largest remainder: `share_draws` from nothing. Cost: O(K log K).
template <class T>
std::int64_t largest_remainder(vector_view<const T> p, std::int64_t n, vector_view<const std::int64_t> capacity,
                               vector_view<std::int64_t> counts) {
  for (std::int64_t i = 0; i < counts.extent(0); ++i) counts(i) = 0;
  return share_draws(p, n, capacity, counts);
}

/// Takes what is above its capacity from each item and gives it to the others by `share_draws`. Returns how many draws
/// are left. After random draws: the law is then no more that of p, which is why a sampler should not be asked for more
/// than there is.
template <class T>
std::int64_t clamp_draws(vector_view<const T> p, std::int64_t capacity, vector_view<std::int64_t> counts) {
  std::int64_t all = 0, above = 0;
  for (std::int64_t i = 0; i < counts.extent(0); ++i) {
    all += counts(i);
    above += (std::max)(counts(i) - capacity, std::int64_t{0});
    counts(i) = (std::min)(counts(i), capacity);
  }
  if (above == 0) return all;
  const std::vector<std::int64_t> room(static_cast<std::size_t>(counts.extent(0)), capacity);
  return all - above + share_draws(p, above, vector_view<const std::int64_t>(room.data(), counts.shape()), counts);
}

/// The weights of tiles in the official code's inference: (p - min p) / max p, those below their 30 % quantile (linear
/// between order statistics) set to 0, over their sum (docs/papers/zoom_in.md 5). Equal probabilities stay as they are.
/// Shapes: p, weights [K].
template <class T>
void official_inference_weights(vector_view<const T> p, vector_view<T> weights) {
  const std::int64_t items = p.extent(0);
  std::vector<double> values(p.data(), p.data() + items);
  std::vector<double> sorted = values;
  std::sort(sorted.begin(), sorted.end());
  const double low = sorted.front(), high = sorted.back();
  for (double& each : values) each = (each - low) / high;
  for (double& each : sorted) each = (each - low) / high;
  const double at = 0.3 * static_cast<double>(items - 1);
  const auto below = static_cast<std::size_t>(at);
  const std::size_t above = (std::min)(below + 1, sorted.size() - 1);
  const double quantile = sorted[below] + (at - static_cast<double>(below)) * (sorted[above] - sorted[below]);
  double sum = 0;
  for (double& each : values) sum += each = each < quantile ? 0 : each;
  for (std::int64_t i = 0; i < items; ++i)
    weights(i) = sum > 0 ? static_cast<T>(values[static_cast<std::size_t>(i)] / sum) : p(i);
}

}  // namespace milkit::sampling
