#pragma once

#include <milkit/core/compiled.hpp>
#include <milkit/ops/rows/softmax_cpu.hpp>
#include <milkit/ops/training/distribution_loss.hpp>

namespace milkit::ops::detail {

template <>
struct distribution_loss_impl<cpu> {
  template <class Function, class T>
  static void run(cpu& backend, const Function& f, vector_view<const std::int64_t> offsets, vector_view<const T> p,
                  vector_view<const T> mask, double scale, vector_view<double> values, vector_view<T> dlogits) {
    detail::expect_offsets("milkit::ops::distribution_loss", offsets, p.extent(0));
    const std::int64_t segments = offsets.extent(0) - 1;
    parallel_for(backend, segments, softmax_rows(segments, p.size()), [&](row_range range) {
      for (std::int64_t b = range.first; b < range.first + range.count; ++b) {
        const std::int64_t first = offsets(b), last = offsets(b + 1);
        const auto target = [&](std::int64_t i) { return mask.absent() ? 0.0 : static_cast<double>(mask(i)); };
        const auto slope = [&](std::int64_t i) { return f.slope(static_cast<double>(p(i)), target(i), last - first); };
        double value = 0, slopes = 0;
        for (std::int64_t i = first; i < last; ++i) {
          value += f.value(static_cast<double>(p(i)), target(i), last - first);
          if (!dlogits.absent()) slopes += slope(i);
        }
        values(b) = value;
        for (std::int64_t i = first; i < last && !dlogits.absent(); ++i)
          dlogits(i) += static_cast<T>(scale * (slope(i) - static_cast<double>(p(i)) * slopes));
      }
    });
  }
};

MILKIT_COMPILED_OP(distribution_loss_impl, negative_entropy, vector_view<const std::int64_t>, vector_view<const T>,
                   vector_view<const T>, double, vector_view<double>, vector_view<T>);
MILKIT_COMPILED_OP(distribution_loss_impl, official_negative_entropy, vector_view<const std::int64_t>,
                   vector_view<const T>, vector_view<const T>, double, vector_view<double>, vector_view<T>);
MILKIT_COMPILED_OP(distribution_loss_impl, squared_difference, vector_view<const std::int64_t>, vector_view<const T>,
                   vector_view<const T>, double, vector_view<double>, vector_view<T>);

}  // namespace milkit::ops::detail
