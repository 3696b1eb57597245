#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace milkit::reference {

using numbers = std::vector<double>;
using indices = std::vector<std::int64_t>;

/// The k largest, NaN above all, the lower index first among equals; sorted by index.
inline indices top_k(const numbers& values, std::size_t k) {
  indices order;
  for (std::size_t i = 0; i < values.size(); ++i) order.push_back(static_cast<std::int64_t>(i));
  const auto at = [&](std::int64_t i) { return values[static_cast<std::size_t>(i)]; };
  std::stable_sort(order.begin(), order.end(), [&](std::int64_t i, std::int64_t j) {
    return std::isnan(at(i)) ? !std::isnan(at(j)) : at(i) > at(j);
  });
  order.resize(k < order.size() ? k : order.size());
  std::sort(order.begin(), order.end());
  return order;
}

/// A K x N matrix, row by row.
struct matrix {
  std::size_t rows = 0, cols = 0;
  numbers values = {};
  double& operator()(std::size_t i, std::size_t j) { return values[i * cols + j]; }
  double operator()(std::size_t i, std::size_t j) const { return values[i * cols + j]; }
};
inline matrix zeros(std::size_t rows, std::size_t cols) { return {rows, cols, numbers(rows * cols, 0.0)}; }

/// Perturbed top-K from given noise, one row a draw (docs/papers/zoommil.md 2.4, 2.5): what each draw selects, how
/// often, and the three estimates of the gradient.
struct perturbed_topk {
  std::size_t n, k, samples;
  double sigma;
  matrix noise;
  std::vector<indices> selected;

  perturbed_topk(const numbers& scores, const matrix& z, double sigma_, std::size_t k_)
      : n(scores.size()), k(k_ < n ? k_ : n), samples(z.rows), sigma(sigma_), noise(z) {
    for (std::size_t s = 0; s < samples; ++s) {
      numbers perturbed(n);
      for (std::size_t i = 0; i < n; ++i) perturbed[i] = scores[i] + sigma * z(s, i);
      selected.push_back(top_k(perturbed, k));
    }
  }
  std::size_t at(std::size_t s, std::size_t row) const { return static_cast<std::size_t>(selected[s][row]); }

  matrix counts() const {
    matrix c = zeros(k, n);
    for (std::size_t s = 0; s < samples; ++s)
      for (std::size_t row = 0; row < k; ++row) c(row, at(s, row)) += 1;
    return c;
  }
  matrix indicator() const {
    matrix t = counts();
    for (double& each : t.values) each /= static_cast<double>(samples);
    return t;
  }
  numbers draw_sums(const matrix& upstream) const {
    numbers c(samples, 0.0);
    for (std::size_t s = 0; s < samples; ++s)
      for (std::size_t row = 0; row < k; ++row) c[s] += upstream(row, at(s, row));
    return c;
  }
  numbers full(const matrix& upstream, bool baseline) const {
    const numbers c = draw_sums(upstream);
    numbers gradient(n, 0.0);
    for (std::size_t s = 0; s < samples && k < n; ++s) {
      double others = 0;
      for (std::size_t r = 0; r < samples; ++r)
        if (baseline && r != s) others += c[r] / static_cast<double>(samples - 1);
      for (std::size_t i = 0; i < n; ++i)
        gradient[i] += (c[s] - others) * noise(s, i) / (static_cast<double>(samples) * sigma);
    }
    return gradient;
  }
  numbers diagonal(const matrix& upstream) const {
    numbers gradient(n, 0.0);
    for (std::size_t s = 0; s < samples && k < n; ++s)
      for (std::size_t row = 0; row < k; ++row)
        gradient[at(s, row)] +=
            upstream(row, at(s, row)) * noise(s, at(s, row)) / (static_cast<double>(samples) * sigma);
    return gradient;
  }
};

/// The exact law: T[k, n] = P(the k-th smallest of the K selected is n), every subset A of K instances in turn, with
/// P(A) = integral over the level t of the smallest member j: density of j at t, the other members above, the rest
/// below.
inline matrix expected_topk(const numbers& scores, double sigma, std::size_t k) {
  const std::size_t n = scores.size();
  matrix t = zeros(k, n);
  const double low = *std::min_element(scores.begin(), scores.end()) - 9 * sigma;
  const double high = *std::max_element(scores.begin(), scores.end()) + 9 * sigma;
  constexpr int points = 1000;  // trapezoids: all derivatives vanish at both ends
  const double step = (high - low) / points;
  for (std::size_t subset = 0; subset < std::size_t{1} << n; ++subset) {
    std::vector<std::size_t> members;
    for (std::size_t i = 0; i < n; ++i)
      if (subset >> i & 1) members.push_back(i);
    if (members.size() != k) continue;
    double probability = 0;
    for (int p = 0; p <= points; ++p) {
      const double level = low + step * p;
      double above = 1, hazard = 0;
      for (std::size_t i = 0; i < n; ++i) {
        const double x = (level - scores[i]) / sigma;
        const bool in = subset >> i & 1;
        const double mass = std::erfc((in ? x : -x) / std::sqrt(2.0)) / 2;
        above *= mass;
        if (in && mass > 0) hazard += std::exp(-x * x / 2) / std::sqrt(2 * std::acos(-1.0)) / sigma / mass;
      }
      probability += above * hazard * step;
    }
    for (std::size_t row = 0; row < k; ++row) t(row, members[row]) += probability;
  }
  return t;
}

}  // namespace milkit::reference
