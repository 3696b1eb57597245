#pragma once

#include <cmath>
#include <vector>

#include <reference/images.hpp>

namespace milkit::reference {

struct batch_norm {
  images y, dx;
  std::vector<double> mean, variance, unbiased, dweight, dbias;
};

/// Of images x with the gradient dy of y; by the batch's statistics, or by `running` (mean, variance) where it has any.
inline batch_norm batch_norm2d(const images& x, const images& dy, const std::vector<double>& weight,
                               const std::vector<double>& bias, double eps,
                               const std::vector<std::vector<double>>& running = {}) {
  batch_norm r{images(x.n, x.c, x.h, x.w), images(x.n, x.c, x.h, x.w), {}, {}, {}, {}, {}};
  const double count = x.n * x.h * x.w;
  for (int c = 0; c < x.c; ++c) {
    const auto channel = static_cast<std::size_t>(c);
    const auto sum = [&](auto term) {
      double total = 0;
      for (int n = 0; n < x.n; ++n)
        for (int i = 0; i < x.h; ++i)
          for (int j = 0; j < x.w; ++j) total += term(n, i, j);
      return total;
    };
    const double batch_mean = sum([&](int n, int i, int j) { return x.at(n, c, i, j); }) / count;
    const double squares = sum([&](int n, int i, int j) { return std::pow(x.at(n, c, i, j) - batch_mean, 2); });
    const bool fixed = !running.empty();
    const double mean = fixed ? running[0][channel] : batch_mean,
                 variance = fixed ? running[1][channel] : squares / count;
    const double scale = 1 / std::sqrt(variance + eps);
    const auto h = [&](int n, int i, int j) { return (x.at(n, c, i, j) - mean) * scale; };
    const double dbias = sum([&](int n, int i, int j) { return dy.at(n, c, i, j); });
    const double dweight = sum([&](int n, int i, int j) { return dy.at(n, c, i, j) * h(n, i, j); });
    for (int n = 0; n < x.n; ++n)
      for (int i = 0; i < x.h; ++i)
        for (int j = 0; j < x.w; ++j) {
          r.y.at(n, c, i, j) = h(n, i, j) * weight[channel] + bias[channel];
          const double through = fixed ? 0 : dbias / count + h(n, i, j) * dweight / count;
          r.dx.at(n, c, i, j) = weight[channel] * scale * (dy.at(n, c, i, j) - through);
        }
    r.mean.push_back(batch_mean);
    r.variance.push_back(squares / count);
    r.unbiased.push_back(squares / (count - 1));
    r.dweight.push_back(dweight);
    r.dbias.push_back(dbias);
  }
  return r;
}

}  // namespace milkit::reference
