#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <vector>

/// Expectations from draws without replacement by plain loops, as docs/papers/zoom_in.md 2.5 writes them down: with a
/// division by every probability, and Murthy's weights from every order of a set.
namespace milkit::reference {

struct draws_estimate {
  std::vector<double> output;                  ///< [D]
  std::vector<std::vector<double>> dfeatures;  ///< [K][D]
  std::vector<double> dlogits;                 ///< [K]
};

/// From a gradient of the probabilities to that of the logits.
inline std::vector<double> logits_gradient(const std::vector<double>& p, const std::vector<double>& dp) {
  long double mean = 0;
  for (std::size_t i = 0; i < p.size(); ++i) mean += static_cast<long double>(p[i]) * dp[i];
  std::vector<double> dz(p.size());
  for (std::size_t i = 0; i < p.size(); ++i) dz[i] = static_cast<double>(p[i] * (dp[i] - mean));
  return dz;
}

/// Phi = sum_i p_i f_i and its gradients: of <u, Phi>.
inline draws_estimate exact_expectation(const std::vector<double>& p, const std::vector<std::vector<double>>& f,
                                        const std::vector<double>& u) {
  draws_estimate made{std::vector<double>(u.size()), f, {}};
  std::vector<double> a(p.size());
  for (std::size_t i = 0; i < p.size(); ++i)
    for (std::size_t j = 0; j < u.size(); ++j) {
      made.output[j] += p[i] * f[i][j];
      made.dfeatures[i][j] = p[i] * u[j];
      a[i] += u[j] * f[i][j];
    }
  made.dlogits = logits_gradient(p, a);
  return made;
}

enum class attention_form { raj, score, ats, zoom_in };

/// The ordered estimator at draws I_1 .. I_n with weights w, with its attention gradient in the named form.
inline draws_estimate ordered_expectation(const std::vector<double>& p, const std::vector<std::vector<double>>& f,
                                          const std::vector<double>& u, const std::vector<std::size_t>& draws,
                                          const std::vector<double>& w, attention_form form) {
  const std::size_t n = draws.size(), width = u.size();
  const auto dot = [&](const std::vector<double>& v) {
    double sum = 0;
    for (std::size_t j = 0; j < width; ++j) sum += u[j] * v[j];
    return sum;
  };
  draws_estimate made{std::vector<double>(width), std::vector(p.size(), std::vector<double>(width)), {}};
  std::vector<double> dp(p.size());
  for (std::size_t k = 0; k < n; ++k) {
    const std::size_t own = draws[k];
    double remaining = 0, later = 0;  // S_k, from what is not drawn yet; sum_{m>k} w_m
    for (std::size_t i = 0; i < p.size(); ++i)
      if (std::find(draws.begin(), draws.begin() + static_cast<std::ptrdiff_t>(k), i) ==
          draws.begin() + static_cast<std::ptrdiff_t>(k))
        remaining += p[i];
    for (std::size_t m = k + 1; m < n; ++m) later += w[m];
    std::vector<double> g(width);
    for (std::size_t j = 0; j < width; ++j) {
      for (std::size_t m = 0; m < k; ++m) g[j] += p[draws[m]] * f[draws[m]][j];
      g[j] += remaining * f[own][j];
      made.output[j] += w[k] * g[j];
    }
    for (std::size_t j = 0; j < width; ++j)
      made.dfeatures[own][j] =
          u[j] * (w[k] * remaining + p[own] * later - (form == attention_form::zoom_in ? w[k] * p[own] : 0.0));
    double before = 0;  // sum_{j<k} <u, f_j>
    for (std::size_t m = 0; m < k; ++m) before += dot(f[draws[m]]);
    const double a = dot(f[own]), count = static_cast<double>(k);
    switch (form) {
      case attention_form::raj:
        dp[own] += a * (w[k] * remaining / p[own] + later);
        break;
      case attention_form::score:
        dp[own] += w[k] * dot(g) / p[own];
        for (std::size_t m = 0; m < k; ++m) dp[draws[m]] += w[k] * (dot(g) / remaining + dot(f[draws[m]]) - a);
        break;
      case attention_form::ats:
        dp[own] += w[k] * (dot(g) * remaining / p[own] + before - count * a);
        break;
      case attention_form::zoom_in:
        dp[own] += w[k] * (dot(g) * (remaining - p[own]) / p[own] + before + a - count * a);
        break;
    }
  }
  made.dlogits = logits_gradient(p, dp);
  return made;
}

/// Masses of the drawn ones as parts of the whole, the rest behind them.
inline std::vector<long double> parts(const std::vector<double>& p, const std::vector<std::size_t>& set) {
  long double rest = 0, all = 0;
  std::vector<long double> mass;
  for (std::size_t i = 0; i < p.size(); ++i)
    if (std::find(set.begin(), set.end(), i) == set.end()) rest += p[i];
  for (const std::size_t i : set) mass.push_back(p[i]);
  mass.push_back(rest);
  for (const long double each : mass) all += each;
  for (long double& each : mass) each /= all;
  return mass;
}

/// Murthy's weights P(set, i first) / P(set), by all orders of the set: n! of them.
inline std::vector<double> murthy_by_orders(const std::vector<double>& p, const std::vector<std::size_t>& set) {
  const std::size_t n = set.size();
  const auto mass = parts(p, set);
  std::vector<std::size_t> order(n);
  for (std::size_t k = 0; k < n; ++k) order[k] = k;
  std::vector<long double> first(n);
  long double whole = 0;
  do {
    long double probability = 1;
    for (std::size_t k = 0; k < n; ++k) {
      long double left = mass[n];
      for (std::size_t m = k; m < n; ++m) left += mass[order[m]];
      probability *= mass[order[k]] / left;
    }
    first[order[0]] += probability;
    whole += probability;
  } while (std::next_permutation(order.begin(), order.end()));
  std::vector<double> weights;
  for (const long double each : first) weights.push_back(static_cast<double>(each / whole));
  return weights;
}

/// The same by the probability to complete the set from each of its subsets: 2^n of them.
inline std::vector<double> murthy_by_subsets(const std::vector<double>& p, const std::vector<std::size_t>& set) {
  const std::size_t n = set.size(), all = (std::size_t{1} << n) - 1;
  const auto mass = parts(p, set);
  std::vector<long double> complete(all + 1);
  complete[all] = 1;
  for (std::size_t drawn = all; drawn-- > 0;) {
    long double left = mass[n];
    for (std::size_t k = 0; k < n; ++k) left += drawn >> k & 1 ? 0.0L : mass[k];
    for (std::size_t k = 0; k < n; ++k)
      if (!(drawn >> k & 1)) complete[drawn] += mass[k] / left * complete[drawn | std::size_t{1} << k];
  }
  std::vector<double> weights;
  for (std::size_t k = 0; k < n; ++k)
    weights.push_back(static_cast<double>(mass[k] * complete[std::size_t{1} << k] / complete[0]));
  return weights;
}

/// The same by the integrals over the time at which the first of the others rings, with many nodes in long double.
inline std::vector<double> murthy_by_integrals(const std::vector<double>& p, const std::vector<std::size_t>& set) {
  const std::size_t n = set.size();
  const auto mass = parts(p, set);
  const long double rest = mass[n], step = 0.02L;
  const long double last = std::log((static_cast<long double>(n) + 200) / rest) + 2;
  std::vector<long double> logs(n), without(n);
  std::vector<std::vector<long double>> terms;
  std::vector<long double> values;
  long double peak = -1e4000L;
  for (long double x = -90; x < last; x += step) {
    const long double t = std::exp(x);
    long double sum = std::log(rest) + x - rest * t;
    for (std::size_t k = 0; k < n; ++k) sum += logs[k] = std::log(-std::expm1(-mass[k] * t));
    values.push_back(sum);
    terms.push_back(logs);
    for (std::size_t k = 0; k < n; ++k) peak = std::max(peak, sum - logs[k]);
  }
  long double whole = 0;
  for (std::size_t node = 0; node < values.size(); ++node) {
    whole += std::exp(values[node] - peak);
    for (std::size_t k = 0; k < n; ++k) without[k] += std::exp(values[node] - terms[node][k] - peak);
  }
  std::vector<double> weights;
  for (std::size_t k = 0; k < n; ++k) weights.push_back(static_cast<double>(mass[k] * without[k] / whole));
  return weights;
}

}  // namespace milkit::reference
