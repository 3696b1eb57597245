#pragma once

#include <cmath>
#include <cstddef>
#include <vector>

namespace milkit::reference {

using numbers = std::vector<double>;

/// n instances of d features, row by row.
struct instances {
  std::size_t n = 0, d = 0;
  numbers values;
  double operator()(std::size_t i, std::size_t j) const { return values[i * d + j]; }
};

/// A function and its derivative.
struct branch_function {
  double (*value)(double);
  double (*slope)(double);
};
inline constexpr branch_function tanh_branch{[](double x) { return std::tanh(x); },
                                             [](double x) { return 1 - std::tanh(x) * std::tanh(x); }};
inline constexpr branch_function relu_branch{[](double x) { return x > 0 ? x : 0.0; },
                                             [](double x) { return x > 0 ? 1.0 : 0.0; }};
inline constexpr branch_function gelu_branch{[](double x) { return x * std::erfc(-x / std::sqrt(2.0)) / 2; },
                                             [](double x) {
                                               return std::erfc(-x / std::sqrt(2.0)) / 2 +
                                                      x * std::exp(-x * x / 2) / std::sqrt(2 * std::acos(-1.0));
                                             }};

/// The parameters of one attention (docs/papers/zoommil.md 2.2), or their gradient. Without u there is one branch.
/// Masks [n, L] of both branches are 0 or 1 / (1 - p); empty: no dropout.
struct attention_head {
  std::size_t width = 0;
  numbers v, u, v_bias, u_bias, w;
  double w_bias = 0;
  numbers v_mask, u_mask;
};

struct pooled {
  numbers logits, attention, embedding;
};

/// t, s and their pre-activations at entry (i, l).
struct gate_entry {
  double p, q, t, s, v_mask, u_mask;
};
inline gate_entry gate_at(const instances& x, const attention_head& head, branch_function f, std::size_t i,
                          std::size_t l) {
  gate_entry g{head.v_bias.empty() ? 0 : head.v_bias[l], head.u_bias.empty() ? 0 : head.u_bias[l], 0, 1, 1, 1};
  for (std::size_t j = 0; j < x.d; ++j) {
    g.p += head.v[l * x.d + j] * x(i, j);
    if (!head.u.empty()) g.q += head.u[l * x.d + j] * x(i, j);
  }
  if (!head.v_mask.empty()) g.v_mask = head.v_mask[i * head.width + l];
  if (!head.u_mask.empty()) g.u_mask = head.u_mask[i * head.width + l];
  g.t = g.v_mask * f.value(g.p);
  if (!head.u.empty()) g.s = g.u_mask / (1 + std::exp(-g.q));
  return g;
}

inline numbers softmax_of(const numbers& z) {
  double peak = z[0];
  for (const double each : z) peak = each > peak ? each : peak;
  long double mass = 0;
  for (const double each : z) mass += std::exp(static_cast<long double>(each) - peak);
  numbers a;
  for (const double each : z) a.push_back(static_cast<double>(std::exp(static_cast<long double>(each) - peak) / mass));
  return a;
}

inline numbers weighted_sum(const instances& x, const numbers& a) {
  numbers g(x.d, 0.0);
  for (std::size_t j = 0; j < x.d; ++j) {
    long double sum = 0;
    for (std::size_t i = 0; i < x.n; ++i) sum += static_cast<long double>(a[i]) * x(i, j);
    g[j] = static_cast<double>(sum);
  }
  return g;
}

/// One bag through one attention.
inline pooled attention_pool(const instances& x, const attention_head& head, branch_function f) {
  pooled out;
  for (std::size_t i = 0; i < x.n; ++i) {
    double z = head.w_bias;
    for (std::size_t l = 0; l < head.width; ++l) {
      const gate_entry g = gate_at(x, head, f, i, l);
      z += head.w[l] * g.t * g.s;
    }
    out.logits.push_back(z);
  }
  out.attention = softmax_of(out.logits);
  out.embedding = weighted_sum(x, out.attention);
  return out;
}

/// The way back: dembedding [d] (empty: nothing depends on the embedding) and dattention [n] (empty: nor on the
/// attention). Adds to dx and to the gradient of the head, which has the head's sizes.
inline void attention_pool_backward(const instances& x, const attention_head& head, branch_function f,
                                    const pooled& out, const numbers& dembedding, const numbers& dattention,
                                    numbers& dx, attention_head& gradient) {
  numbers da(x.n, 0.0);
  long double mean = 0;
  for (std::size_t i = 0; i < x.n; ++i) {
    if (!dattention.empty()) da[i] += dattention[i];
    for (std::size_t j = 0; j < dembedding.size(); ++j) da[i] += dembedding[j] * x(i, j);
    mean += static_cast<long double>(out.attention[i]) * da[i];
  }
  for (std::size_t i = 0; i < x.n; ++i) {
    const double dz = static_cast<double>(out.attention[i] * (da[i] - mean));
    gradient.w_bias += dz;
    for (std::size_t j = 0; j < dembedding.size(); ++j) dx[i * x.d + j] += out.attention[i] * dembedding[j];
    for (std::size_t l = 0; l < head.width; ++l) {
      const gate_entry g = gate_at(x, head, f, i, l);
      const double sigmoid = 1 / (1 + std::exp(-g.q));
      const double dp = dz * head.w[l] * g.s * g.v_mask * f.slope(g.p);
      const double dq = dz * head.w[l] * g.t * g.u_mask * sigmoid * (1 - sigmoid);
      gradient.w[l] += dz * g.t * g.s;
      if (!head.v_bias.empty()) gradient.v_bias[l] += dp;
      if (!head.u_bias.empty()) gradient.u_bias[l] += dq;
      for (std::size_t j = 0; j < x.d; ++j) {
        gradient.v[l * x.d + j] += dp * x(i, j);
        dx[i * x.d + j] += dp * head.v[l * x.d + j];
        if (head.u.empty()) continue;
        gradient.u[l * x.d + j] += dq * x(i, j);
        dx[i * x.d + j] += dq * head.u[l * x.d + j];
      }
    }
  }
}

inline pooled mean_pool(const instances& x) {
  const numbers share(x.n, 1 / static_cast<double>(x.n));
  return {{}, share, weighted_sum(x, share)};
}

/// The row of each column's maximum; of equal ones the lower.
inline std::vector<std::size_t> maxima(const instances& x) {
  std::vector<std::size_t> rows(x.d, 0);
  for (std::size_t j = 0; j < x.d; ++j)
    for (std::size_t i = 1; i < x.n; ++i)
      if (x(i, j) > x(rows[j], j)) rows[j] = i;
  return rows;
}
inline pooled max_pool(const instances& x) {
  pooled out{{}, numbers(x.n, 0.0), {}};
  const auto rows = maxima(x);
  for (std::size_t j = 0; j < x.d; ++j) {
    out.embedding.push_back(x(rows[j], j));
    out.attention[rows[j]] += 1 / static_cast<double>(x.d);
  }
  return out;
}

}  // namespace milkit::reference
