#pragma once

#include <cmath>
#include <vector>

namespace milkit::reference {

/// A loss on the softmax of one segment's logits.
struct regulariser {
  double value = 0;
  std::vector<double> gradient;  ///< in the logits
};

inline std::vector<double> probabilities(const std::vector<double>& logits) {
  double peak = -HUGE_VAL, mass = 0;
  for (const double z : logits) peak = z > peak ? z : peak;
  std::vector<double> p;
  for (const double z : logits) p.push_back(std::exp(z - peak));
  for (const double each : p) mass += each;
  for (double& each : p) each /= mass;
  return p;
}
/// From the derivatives in the probabilities to those in the logits.
inline std::vector<double> through_softmax(const std::vector<double>& p, const std::vector<double>& dp) {
  double dot = 0;
  for (std::size_t i = 0; i < p.size(); ++i) dot += p[i] * dp[i];
  std::vector<double> dz;
  for (std::size_t i = 0; i < p.size(); ++i) dz.push_back(p[i] * (dp[i] - dot));
  return dz;
}

/// lambda sum p log p, with gradient lambda p (log p + H).
inline regulariser entropy(const std::vector<double>& logits, double lambda) {
  regulariser r;
  const std::vector<double> p = probabilities(logits);
  double h = 0;
  for (const double each : p) h -= each > 0 ? each * std::log(each) : 0;
  r.value = -lambda * h;
  for (const double each : p) r.gradient.push_back(each > 0 ? lambda * each * (std::log(each) + h) : 0);
  return r;
}
/// lambda / K sum p log(p + 1e-6).
inline regulariser official_entropy(const std::vector<double>& logits, double lambda) {
  regulariser r;
  const std::vector<double> p = probabilities(logits);
  std::vector<double> dp;
  const double share = lambda / static_cast<double>(p.size());
  for (const double each : p) {
    r.value += share * each * std::log(each + 1e-6);
    dp.push_back(share * (std::log(each + 1e-6) + each / (each + 1e-6)));
  }
  r.gradient = through_softmax(p, dp);
  return r;
}
/// sum (m - p)^2.
inline regulariser pixel_supervision(const std::vector<double>& logits, const std::vector<double>& mask) {
  regulariser r;
  const std::vector<double> p = probabilities(logits);
  std::vector<double> dp;
  for (std::size_t i = 0; i < p.size(); ++i) {
    r.value += (mask[i] - p[i]) * (mask[i] - p[i]);
    dp.push_back(2 * (p[i] - mask[i]));
  }
  r.gradient = through_softmax(p, dp);
  return r;
}

}  // namespace milkit::reference
