#pragma once

#include <cmath>
#include <cstddef>
#include <vector>

namespace milkit::reference {

/// Scores of (gated) attention of one instance: z_h = bias_h + sum_j w_hj f(v_hj) m [s(u_hj) m'], from branches laid
/// out as [v_1 | u_1 | v_2 | u_2 | ...], of `width` each; m = scale where the mask is 1, else 0; no mask: m = 1.
struct gate {
  double (*f)(double);
  std::size_t width, branches, heads;
  double scale = 1;

  std::size_t columns() const { return width * branches * heads; }

  std::vector<double> operator()(const std::vector<double>& row, const std::vector<double>& branch_bias,
                                 const std::vector<double>& w, const std::vector<double>& bias,
                                 const std::vector<double>& mask) const {
    std::vector<double> z;
    for (std::size_t h = 0; h < heads; ++h) {
      double sum = bias.empty() ? 0 : bias[h];
      for (std::size_t j = 0; j < width; ++j) {
        double g = 1;
        for (std::size_t b = 0; b < branches; ++b) {
          const std::size_t at = (h * branches + b) * width + j;
          const double x = row[at] + (branch_bias.empty() ? 0 : branch_bias[at]);
          g *= b == 0 ? f(x) : 1 / (1 + std::exp(-x));
          if (!mask.empty()) g *= mask[at] != 0 ? scale : 0;
        }
        sum += w[h * width + j] * g;
      }
      z.push_back(sum);
    }
    return z;
  }
};

}  // namespace milkit::reference
