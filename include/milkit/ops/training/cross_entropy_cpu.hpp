#pragma once

#include <cmath>

#include <milkit/core/compiled.hpp>
#include <milkit/core/cpu.hpp>
#include <milkit/ops/training/cross_entropy.hpp>

namespace milkit::ops::detail {

template <>
struct cross_entropy_impl<cpu> {
  template <class T>
  static void run(cpu&, matrix_view<const T> logits, vector_view<const std::int64_t> labels,
                  vector_view<const double> class_weight, double scale, vector_view<double> losses,
                  matrix_view<T> dlogits) {
    for (std::int64_t b = 0; b < logits.rows(); ++b) {
      const T* z = logits.row(b);
      const std::int64_t label = labels(b);
      const double weight = class_weight.absent() ? 1.0 : class_weight(label);
      double peak = static_cast<double>(z[0]);
      for (std::int64_t c = 1; c < logits.cols(); ++c)
        peak = static_cast<double>(z[c]) > peak ? static_cast<double>(z[c]) : peak;
      double mass = 0;
      for (std::int64_t c = 0; c < logits.cols(); ++c) mass += std::exp(static_cast<double>(z[c]) - peak);
      if (!losses.absent()) losses(b) = weight * (peak + std::log(mass) - static_cast<double>(z[label]));
      if (dlogits.absent()) continue;
      for (std::int64_t c = 0; c < logits.cols(); ++c)
        dlogits(b, c) = static_cast<T>(scale * weight *
                                       (std::exp(static_cast<double>(z[c]) - peak) / mass - (c == label ? 1.0 : 0.0)));
    }
  }
};

template <>
struct binary_cross_entropy_impl<cpu> {
  template <class T>
  static void run(cpu&, vector_view<const T> logits, vector_view<const std::int64_t> labels, double positive_weight,
                  double scale, vector_view<double> losses, vector_view<T> dlogits) {
    for (std::int64_t b = 0; b < logits.extent(0); ++b) {
      const double logit = static_cast<double>(logits(b)), z = labels(b) ? -logit : logit;  // loss = log(1 + exp z)
      const double weight = labels(b) ? positive_weight : 1.0;
      const double e = std::exp(-std::abs(z));
      if (!losses.absent()) losses(b) = weight * ((z > 0 ? z : (std::isnan(z) ? z : 0.0)) + std::log1p(e));
      const double slope = (z < 0 ? e : 1.0) / (1.0 + e);
      if (!dlogits.absent()) dlogits(b) = static_cast<T>(scale * weight * (labels(b) ? -slope : slope));
    }
  }
};

MILKIT_COMPILED_OP(cross_entropy_impl, matrix_view<const T>, vector_view<const std::int64_t>, vector_view<const double>,
                   double, vector_view<double>, matrix_view<T>);
MILKIT_COMPILED_OP(binary_cross_entropy_impl, vector_view<const T>, vector_view<const std::int64_t>, double, double,
                   vector_view<double>, vector_view<T>);

}  // namespace milkit::ops::detail
