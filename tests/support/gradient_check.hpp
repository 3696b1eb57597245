#pragma once

#include <cmath>
#include <cstring>
#include <vector>

#include <support/close.hpp>
#include <support/normals.hpp>
#include <support/unoptimised.hpp>

MILKIT_UNOPTIMISED_BEGIN

namespace milkit::test {

/// The gradient of `loss()`, a double, in the elements of `x`, by central differences: x is changed in place and
/// restored. Compare with `relative_error(analytic, central_differences(x, loss)) <= 1e-7`.
template <int Rank, class Loss>
std::vector<double> central_differences(view<double, Rank> x, Loss&& loss, double step = 1e-5) {
  std::vector<double> gradient;
  for (std::int64_t i = 0; i < x.rows(); ++i)
    for (std::int64_t j = 0; j < x.row_size(); ++j) {
      double& element = x.row(i)[j];
      const double before = element, h = step * (std::max)(1.0, std::abs(before));
      element = before + h;
      const double above = loss(), up = element;
      element = before - h;
      const double below = loss(), down = element;
      element = before;
      gradient.push_back((above - below) / (up - down));
    }
  return gradient;
}

/// sum_i a_i b_i in double: the loss whose gradient in `a` is `b`.
template <class A, class B>
double inner(const A& a, const B& b) {
  const std::vector<double> left = elements(a), right = elements(b);
  double sum = left.size() == right.size() ? 0 : std::nan("");
  for (std::size_t i = 0; i < left.size() && i < right.size(); ++i) sum += left[i] * right[i];
  return sum;
}

/// Whether two views, tensors or ranges hold the same bits (as doubles), element by element.
template <class A, class B>
bool same_bits(const A& a, const B& b) {
  const std::vector<double> left = elements(a), right = elements(b);
  return left.size() == right.size() &&
         (left.empty() || std::memcmp(left.data(), right.data(), left.size() * sizeof(double)) == 0);
}

}  // namespace milkit::test

MILKIT_UNOPTIMISED_END
