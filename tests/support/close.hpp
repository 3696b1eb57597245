#pragma once

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include <milkit/core/tensor.hpp>

namespace milkit::test {

struct tolerance {
  double absolute = 0;
  double relative = 0;
};

/// True only when proven close: NaN never is, infinity only to itself.
inline bool close(double got, double want, tolerance t) {
  return got == want || (std::isfinite(want) && std::abs(got - want) <= t.absolute + t.relative * std::abs(want));
}

/// The elements of a view (row by row, whatever its stride), a tensor or any range, as doubles.
template <class T, int Rank>
std::vector<double> elements(const view<T, Rank>& v) {
  std::vector<double> all;
  for (std::int64_t i = 0; i < v.rows(); ++i)
    for (std::int64_t j = 0; j < v.row_size(); ++j) all.push_back(static_cast<double>(v.row(i)[j]));
  return all;
}
template <class T, int Rank>
std::vector<double> elements(const tensor<T, Rank>& t) {
  return elements(t.view());
}
template <class Range>
requires requires(const Range& r) { std::begin(r), std::end(r); }
std::vector<double> elements(const Range& range) {
  std::vector<double> all;
  for (const auto& each : range) all.push_back(static_cast<double>(each));
  return all;
}

/// The error of a tensor as the golden files define it: the largest absolute difference divided by the largest absolute
/// reference (undivided where the reference is all zero). Infinity for NaN, for an infinity that is not met by the same
/// one, and for different sizes, so that `CHECK(relative_error(got, want) <= 1e-10)` passes only when proven.
template <class Got, class Want>
double relative_error(const Got& got, const Want& want) {
  constexpr double infinity = std::numeric_limits<double>::infinity();
  const std::vector<double> a = elements(got), b = elements(want);
  if (a.size() != b.size()) return infinity;
  double difference = 0, scale = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    if (a[i] == b[i] && std::isinf(b[i])) continue;
    if (!std::isfinite(a[i]) || !std::isfinite(b[i])) return infinity;
    difference = (std::max)(difference, std::abs(a[i] - b[i]));
    scale = (std::max)(scale, std::abs(b[i]));
  }
  return scale > 0 ? difference / scale : difference;
}

}  // namespace milkit::test
