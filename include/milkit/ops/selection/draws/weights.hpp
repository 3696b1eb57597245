#pragma once

#include <cmath>
#include <cstdint>

#include <milkit/core/macros.hpp>

/// From n draws without replacement to a weighted sum whose mean is the expectation: what CPU and card share.
namespace milkit::ops {

/// How an expectation Phi = sum_i p_i f_i, and its gradient, are estimated from distinct draws I_1 .. I_n
/// (docs/papers/zoom_in.md 2.5). All but the last two give F = sum_k c_k f_{I_k} with E F = Phi, and sum_k c_k = 1.
enum class draw_estimator {
  /// The mean of `ordered` over all orders in which the same set may be drawn: c_i = p_i P(set | i first) / P(set)
  /// (Murthy 1957; Kool et al. 2020, "Estimating gradients for discrete random variables by sampling without
  /// replacement"). Unbiased with its gradients; by Rao and Blackwell no component of F or of a gradient has more
  /// variance than with `ordered`, and with all positions drawn it is exact.
  unordered,
  /// F = sum_k w_k (sum_{j<k} p_j f_j + S_k f_k), S_k = 1 - sum_{j<k} p_j (Raj 1956; docs/papers/zoom_in.md 2.5).
  /// Unbiased with its gradients.
  ordered,
  score,             ///< forward as `ordered`, the attention's gradient by the score function: unbiased
  official_ats,      ///< forward as `ordered`, the attention's gradient of the official ATS code: biased for n >= 2
  official_zoom_in,  ///< forward as `ordered`, both gradients of the official Zoom-In code (inclusive sums): biased
  renormalised,      ///< c_k = p_k / sum_j p_j, and its exact gradient at these draws: for fixed selections, biased
  mean               ///< c_k = 1 / n, no gradient to the attention: biased unless p is uniform
};

struct draw_rule {
  draw_estimator estimator = draw_estimator::unordered;
  /// Of `ordered` and `score`: w_k all on the last draw, which is exact when everything is drawn; else w_k = 1 / n.
  bool last = false;
};

namespace detail {

/// Who works on a row together: one thread here, the lanes of a warp on the card. `sum` is that of all lanes' values.
struct one_lane {
  static constexpr std::int64_t lane = 0, lanes = 1;
  MILKIT_HD static double sum(double value) { return value; }
};

/// A row of probabilities and what was drawn from it.
template <class T>
struct drawn_row {
  const T* p;
  std::int64_t size;
  const std::int32_t* items;
  std::int64_t count;

  MILKIT_HD double at(std::int64_t k) const { return static_cast<double>(p[items[k]]); }

  /// The mass of all that was not drawn, to the absolute precision of the sum.
  template <class Lanes>
  MILKIT_HD double rest(const Lanes& team) const {
    double all = 0, drawn = 0;
    for (std::int64_t i = team.lane; i < size; i += team.lanes) all += static_cast<double>(p[i]);
    for (std::int64_t k = team.lane; k < count; k += team.lanes) drawn += at(k);
    const double left = team.sum(all) - team.sum(drawn);
    return count == size && left == left ? 0.0 : left < 0 ? 0.0 : left;
  }
};

/// w_k of `ordered`.
MILKIT_HD inline double order_weight(const draw_rule& rule, std::int64_t k, std::int64_t n) {
  return rule.last ? (k + 1 == n ? 1.0 : 0.0) : 1.0 / static_cast<double>(n);
}

/// c_k of `ordered`, and what multiplies the upstream gradient in that of f_k.
template <class T>
MILKIT_HD void ordered_weights(const draw_rule& rule, const drawn_row<T>& row, double rest, T* weights, T* backward) {
  double remaining = rest, later = 0;
  for (std::int64_t k = row.count; k-- > 0;) {
    const double p = row.at(k), w = order_weight(rule, k, row.count);
    remaining += p;
    const double c = w * remaining + p * later;
    weights[k] = static_cast<T>(c);
    if (backward) backward[k] = static_cast<T>(rule.estimator == draw_estimator::official_zoom_in ? c - w * p : c);
    later += w;
  }
}

/// Those of an estimator that needs no sum over sets.
template <class T>
MILKIT_HD void simple_weights(const draw_rule& rule, const drawn_row<T>& row, double rest, T* weights, T* backward) {
  const bool plain = rule.estimator == draw_estimator::mean;
  if (!plain && rule.estimator != draw_estimator::renormalised)
    return ordered_weights(rule, row, rest, weights, backward);
  double drawn = 0;
  for (std::int64_t k = 0; k < row.count; ++k) drawn += plain ? 1.0 : row.at(k);
  for (std::int64_t k = 0; k < row.count; ++k) weights[k] = static_cast<T>((plain ? 1.0 : row.at(k)) / drawn);
}

/// What Murthy's weights are ratios of. With exponential clocks of the rates p_i, all drawn ones ring before the first
/// of the others with probability int r exp(-r t) prod_i (1 - exp(-p_i t)) dt, r the mass that was not drawn; given
/// that i rings first, its factor falls away, whatever scale the rates then have. In x = log t the integrand is
/// analytic in a strip of width pi and has one peak, so that the trapezoidal rule is exact to rounding: O(n) nodes of n
/// exponentials at worst, some forty usually.
template <class T>
class set_probability {
 public:
  MILKIT_HD set_probability(const drawn_row<T>& row, double rest) : row_(row), rest_(rest) {
    double total = rest;
    least_ = 2;
    for (std::int64_t k = 0; k < row.count; ++k) {
      total += row.at(k);
      if (row.at(k) > 0 && row.at(k) < least_) least_ = row.at(k);
    }
    scale_ = 1 / total;
    const auto n = static_cast<double>(row.count);
    step_ = 0.53 / sqrt(n + 1) < 0.2 ? 0.53 / sqrt(n + 1) : 0.2;
    // without its least factor the integrand falls slowest towards small t; that is what the window must hold
    const double r = rest * scale_, start = log(1 / r);
    double low = start, high = log((n + 1) / r);
    for (int i = 0; i < 8; ++i) {
      const double middle = (low + high) / 2;
      (slope(middle) > 0 ? low : high) = middle;
    }
    peak_ = value(low);
    last_ = log((n + 1 + 10 * sqrt(n + 1) + 50) / r);
    high = low;
    low -= 45;
    for (int i = 0; i < 7; ++i) {
      const double middle = (low + high) / 2;
      (value(middle) < peak_ - 40 ? low : high) = middle;
    }
    first_ = low;
  }

  MILKIT_HD std::int64_t nodes() const { return static_cast<std::int64_t>((last_ - first_) / step_) + 2; }
  MILKIT_HD double time(std::int64_t node) const { return exp(first_ + static_cast<double>(node) * step_); }
  /// 1 - exp(-p_k t).
  MILKIT_HD double rung(std::int64_t k, double t) const { return -expm1(-row_.at(k) * scale_ * t); }
  /// The integrand in log t with all factors, but for a common scale. Keeps the factors at rungs[k stride].
  MILKIT_HD double weight(double t, double* rungs, std::int64_t stride) const {
    return exp(log_integrand(t, rungs, stride) - peak_);
  }

 private:
  MILKIT_HD double log_integrand(double t, double* rungs, std::int64_t stride) const {
    double sum = log(rest_ * scale_ * t) - rest_ * scale_ * t, product = 1;
    for (std::int64_t k = 0; k < row_.count; ++k) {
      if (!(row_.at(k) > 0)) continue;
      const double own = rung(k, t);
      if (rungs) rungs[k * stride] = own;
      product *= own > 1e-100 ? own : 1.0;
      if (own <= 1e-100) sum += log(own);
      if (product < 1e-200) {  // a logarithm for many factors
        sum += log(product);
        product = 1;
      }
    }
    return sum + log(product);
  }
  MILKIT_HD double value(double x) const {
    const double t = exp(x);
    return log_integrand(t, nullptr, 0) - log(-expm1(-least_ * scale_ * t));
  }
  /// The slope of log(1 - exp(-rate)) in log t.
  MILKIT_HD static double share(double rate) { return rate > 1e-8 ? rate / expm1(rate) : rate > 0 ? 1.0 : 0.0; }
  MILKIT_HD double slope(double x) const {
    const double t = exp(x);
    double sum = 1 - rest_ * scale_ * t;
    for (std::int64_t k = 0; k < row_.count; ++k) sum += share(row_.at(k) * scale_ * t);
    return sum - share(least_ * scale_ * t);
  }

  drawn_row<T> row_;
  double rest_, scale_, least_, step_, peak_, first_, last_;
};

/// Murthy's weights of at most `most_subset_draws` draws: the probability to complete the set from each of its subsets,
/// the largest first. Every lane computes the whole. False where it would underflow, and nothing is written then.
constexpr std::int64_t most_subset_draws = 6;
template <class T, class Lanes>
MILKIT_HD bool subset_weights(const drawn_row<T>& row, double rest, const Lanes& team, T* weights) {
  constexpr int most = 1 << most_subset_draws;
  double complete[static_cast<unsigned>(most)];
  const int n = static_cast<int>(row.count), all = (1 << n) - 1;
  complete[all] = 1;
  double whole = 0;
  for (int drawn = all; drawn-- > 0;) {
    double left = rest, sum = 0;
    for (int k = 0; k < n; ++k) {
      if (drawn >> k & 1) continue;
      left += row.at(k);
      sum += row.at(k) * complete[drawn | 1 << k];
    }
    complete[drawn] = sum / left;
    whole = sum;
  }
  if (!(whole > 1e-150)) return false;
  for (int k = 0; k < n && team.lane == 0; ++k) weights[k] = static_cast<T>(row.at(k) * complete[1 << k] / whole);
  return true;
}

/// The same of any number. `memory` has room for n numbers a lane. A draw of probability 0 has no factor and the weight
/// 0.
template <class T, class Lanes>
MILKIT_HD void integral_weights(const drawn_row<T>& row, double rest, const Lanes& team, T* weights, double* memory) {
  const std::int64_t n = row.count;
  const set_probability<T> set(row, rest);
  double *own = memory + team.lane, *rungs = own + n * team.lanes;  // the k-th of a lane is own[k lanes]
  for (std::int64_t k = 0; k < n; ++k) own[k * team.lanes] = 0;
  double whole = 0;
  for (std::int64_t node = team.lane; node < set.nodes(); node += team.lanes) {
    const double value = set.weight(set.time(node), rungs, team.lanes);
    if (!(value > 0)) continue;
    whole += value;
    for (std::int64_t k = 0; k < n; ++k)
      if (row.at(k) > 0) own[k * team.lanes] += value / rungs[k * team.lanes];
  }
  whole = team.sum(whole);
  for (std::int64_t k = 0; k < n; ++k) {
    const double without = team.sum(own[k * team.lanes]);
    if (team.lane == 0) weights[k] = static_cast<T>(row.at(k) * without / whole);
  }
}

template <class T, class Lanes>
MILKIT_HD void unordered_weights(const drawn_row<T>& row, double rest, const Lanes& team, T* weights, double* memory) {
  const std::int64_t n = row.count;
  if (n == 1 || !(rest > 0)) {  // a row that holds NaN has NaN for its rest
    for (std::int64_t k = team.lane; k < n; k += team.lanes)
      weights[k] = static_cast<T>(rest != rest ? rest : n == 1 ? 1.0 : row.at(k));
    return;
  }
  if (n <= most_subset_draws && subset_weights(row, rest, team, weights)) return;
  integral_weights(row, rest, team, weights, memory);
}

/// dL / d log p in the forms that mix the draws before and after each other: of `score`, `official_ats` and
/// `official_zoom_in`.
template <class T>
MILKIT_HD void ordered_log_gradient(const draw_rule& rule, const drawn_row<T>& row, double rest, const T* a, T* d) {
  const std::int64_t n = row.count;
  double before = 0, sum = 0;  // sum_{j<k} p_j a_j and sum_{j<k} a_j
  for (std::int64_t k = 0; k < n; ++k) {
    before += row.at(k) * static_cast<double>(a[k]);
    sum += static_cast<double>(a[k]);
  }
  double remaining = rest, later = 0, excess = 0;
  for (std::int64_t k = n; k-- > 0;) {
    const double p = row.at(k), own = static_cast<double>(a[k]), w = order_weight(rule, k, n);
    remaining += p;
    before -= p * own;
    sum -= own;
    const double g = before + remaining * own, draws = static_cast<double>(k);
    if (rule.estimator == draw_estimator::score) {
      d[k] = static_cast<T>(w * g + p * (excess + own * later));
      excess += remaining < 1e-12 ? 0.0 : w * (g / remaining - own);
      later += w;
    } else if (rule.estimator == draw_estimator::official_ats) {
      d[k] = static_cast<T>(w * (g * remaining + p * (sum - draws * own)));
    } else {
      d[k] = static_cast<T>(w * (g * (remaining - p) + p * (sum + own - draws * own)));
    }
  }
}

/// (1 - p) / (K - 1), where the row sums to `sum`, which is 1 but for rounding.
template <class T>
MILKIT_HD T complement_of(double sum, double p, std::int64_t size, T) {
  const double rest = (sum - p) / sum;
  return static_cast<T>((rest < 0 ? 0.0 : rest) / static_cast<double>(size - 1));
}
/// From dL / d log q to dL / d log p, q = (1 - p) / (K - 1).
template <class T>
MILKIT_HD T complement_slope(T d, T p, T q, std::int64_t size) {
  const double rest = static_cast<double>(q) * static_cast<double>(size - 1);
  return rest == 0 ? T(0) : static_cast<T>(-static_cast<double>(d) * static_cast<double>(p) / rest);
}

/// d_k = dL / d log p_{I_k} from a_k = <upstream, f_{I_k}>, where L depends on p by these draws alone: the gradient of
/// the logits of p is then sum_k d_k (e_{I_k} - p). d may be a.
template <class T, class Lanes>
MILKIT_HD void draw_log_gradient(const draw_rule& rule, const drawn_row<T>& row, const Lanes& team, const T* weights,
                                 const T* a, T* d) {
  const std::int64_t n = row.count;
  using enum draw_estimator;
  if (rule.estimator == score || rule.estimator == official_ats || rule.estimator == official_zoom_in) {
    const double rest = row.rest(team);
    if (team.lane == 0) ordered_log_gradient(rule, row, rest, a, d);
    return;
  }
  const bool none = rule.estimator == mean;
  double shift = 0;
  for (std::int64_t k = team.lane; k < n && rule.estimator == renormalised; k += team.lanes)
    shift += static_cast<double>(weights[k]) * static_cast<double>(a[k]);
  shift = team.sum(shift);
  for (std::int64_t k = team.lane; k < n; k += team.lanes)
    d[k] = none ? T(0) : static_cast<T>(static_cast<double>(weights[k]) * (static_cast<double>(a[k]) - shift));
}

}  // namespace detail
}  // namespace milkit::ops
