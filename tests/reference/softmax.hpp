#pragma once

#include <cmath>
#include <limits>
#include <vector>

namespace milkit::reference {

struct softmax_values {
  std::vector<double> y;
  double log_sum_exp = -std::numeric_limits<double>::infinity();
};

/// Softmax of finite numbers, or of numbers and -infinity, in long double. Zeros where nothing has mass.
inline softmax_values softmax(const std::vector<double>& x) {
  softmax_values result{std::vector<double>(x.size(), 0.0)};
  double peak = -std::numeric_limits<double>::infinity();
  for (const double each : x) peak = each > peak ? each : peak;
  if (std::isinf(peak)) return result;
  long double mass = 0;
  for (const double each : x) mass += std::exp(static_cast<long double>(each) - peak);
  for (std::size_t i = 0; i < x.size(); ++i)
    result.y[i] = static_cast<double>(std::exp(static_cast<long double>(x[i]) - peak) / mass);
  result.log_sum_exp = static_cast<double>(peak + std::log(mass));
  return result;
}

/// sum_k dy_k dy_k/dx_i + dl dl/dx_i with the Jacobian dy_k/dx_i = y_k (delta_ki - y_i) written out.
inline std::vector<double> softmax_gradient(const std::vector<double>& y, const std::vector<double>& dy, double dl) {
  std::vector<double> dx(y.size(), 0.0);
  for (std::size_t i = 0; i < y.size(); ++i) {
    long double sum = static_cast<long double>(dl) * y[i];
    for (std::size_t k = 0; k < y.size(); ++k)
      sum += static_cast<long double>(dy[k]) * y[k] * ((k == i ? 1.0L : 0.0L) - y[i]);
    dx[i] = static_cast<double>(sum);
  }
  return dx;
}

}  // namespace milkit::reference
