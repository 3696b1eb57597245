#pragma once

#include <cstddef>
#include <vector>

namespace milkit::reference {

/// c[m, n] = op(a) op(b) + beta c by the definition; a is [m, k], or [k, m] to be transposed, b [k, n], or [n, k].
inline std::vector<double> matmul(const std::vector<double>& a, const std::vector<double>& b, std::vector<double> c,
                                  std::size_t m, std::size_t n, std::size_t k, bool transpose_a, bool transpose_b,
                                  double beta) {
  for (std::size_t i = 0; i < m; ++i)
    for (std::size_t j = 0; j < n; ++j) {
      long double sum = 0;
      for (std::size_t l = 0; l < k; ++l)
        sum += static_cast<long double>(transpose_a ? a[l * m + i] : a[i * k + l]) *
               (transpose_b ? b[j * k + l] : b[l * n + j]);
      c[i * n + j] = static_cast<double>(beta == 0 ? sum : sum + static_cast<long double>(beta) * c[i * n + j]);
    }
  return c;
}

}  // namespace milkit::reference
