#pragma once

#include <cmath>
#include <vector>

#include <milkit/core/parallel_for.hpp>
#include <milkit/nn/parameters.hpp>
#include <milkit/ops/rows/reduce.hpp>
#include <milkit/ops/training/optimizer_step.hpp>

namespace milkit::train {

/// Flat parameters beside each other that learn at one rate, times the optimizer's.
struct trainable_stretch {
  row_range rows;
  double rate = 1;
  friend bool operator==(const trainable_stretch&, const trainable_stretch&) = default;
};

/// The stretches of a network's flat parameters that an optimizer may change: all, in one, but for networks with statistics
/// (see `role`), frozen parameters (rate 0) or several rates, where they are what lies between these.
inline std::vector<trainable_stretch> trainable_stretches(const std::vector<parameter_entry>& entries,
                                                          std::int64_t size) {
  std::vector<trainable_stretch> stretches;
  std::int64_t first = 0;
  double rate = entries.empty() ? 0 : 1;
  const auto end_at = [&](std::int64_t end) {
    if (rate > 0 && end > first) stretches.push_back({{first, end - first}, rate});
    first = end;
  };
  for (const parameter_entry& entry : entries) {
    const double next = is_statistic(entry.what) ? 0 : entry.rate;
    if (next == rate) continue;
    end_at(entry.offset);
    rate = next;
  }
  end_at(size);
  return stretches;
}

/// The Euclidean norm of these stretches of a gradient; waits for the backend.
template <backend Backend, class T, class Space>
double norm_of(Backend& backend, vector_view<const T, Space> gradient,
               const std::vector<trainable_stretch>& stretches) {
  const auto scope = backend.workspace.scope();
  const auto norms = backend.workspace.template allocate<double>(static_cast<std::int64_t>(stretches.size()));
  for (std::size_t i = 0; i < stretches.size(); ++i)
    ops::l2_norm(backend, gradient.rows(stretches[i].rows.first, stretches[i].rows.count),
                 norms.rows(static_cast<std::int64_t>(i), 1));
  const auto host = to_host(backend, vector_view<const double, Space>(norms));
  if (stretches.size() == 1) return host(0);
  double squares = 0;
  for (std::int64_t i = 0; i < host.extent(0); ++i) squares += host(i) * host(i);
  return std::sqrt(squares);
}

/// Moves each layer's statistics by the mean of what the step's backward passes added to their stretch of the gradient.
template <backend Backend, class T, class Space>
void move_statistics(Backend& backend, const std::vector<parameter_entry>& entries, vector_view<T, Space> weights,
                     vector_view<const std::type_identity_t<T>, Space> gradient) {
  std::int64_t first = -1;
  for (const parameter_entry& entry : entries) {
    if (entry.what == role::statistic && first < 0) first = entry.offset;
    if (entry.what != role::statistic_count) continue;
    const std::int64_t count = entry.offset + 1 - first;
    ops::statistics_step(backend, weights.rows(first, count), gradient.rows(first, count));
    first = -1;
  }
}

}  // namespace milkit::train
