#pragma once

#include <cmath>
#include <cstddef>
#include <vector>

namespace milkit::reference {

using numbers = std::vector<double>;

inline void sgd_step(numbers& theta, const numbers& gradient, numbers& v, double rate, double momentum, double decay,
                     double scale) {
  for (std::size_t i = 0; i < theta.size(); ++i) {
    const double g = scale * gradient[i] + decay * theta[i];
    v[i] = momentum * v[i] + g;
    theta[i] -= rate * v[i];
  }
}

struct adam_constants {
  double rate, beta1, beta2, eps, decay;
  bool decoupled;
};

inline void adam_step(numbers& theta, const numbers& gradient, numbers& m, numbers& v, const adam_constants& c, int t,
                      double scale) {
  double power1 = 1, power2 = 1;
  for (int i = 0; i < t; ++i) {
    power1 *= c.beta1;
    power2 *= c.beta2;
  }
  for (std::size_t i = 0; i < theta.size(); ++i) {
    double g = scale * gradient[i];
    if (c.decoupled) theta[i] = theta[i] - c.rate * c.decay * theta[i];
    else g = g + c.decay * theta[i];
    m[i] = c.beta1 * m[i] + (1 - c.beta1) * g;
    v[i] = c.beta2 * v[i] + (1 - c.beta2) * g * g;
    const double m_hat = m[i] / (1 - power1), v_hat = v[i] / (1 - power2);
    theta[i] -= c.rate * m_hat / (std::sqrt(v_hat) + c.eps);
  }
}

}  // namespace milkit::reference
