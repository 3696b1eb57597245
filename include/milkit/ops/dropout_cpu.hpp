#pragma once

#include <milkit/core/parallel_for.hpp>
#include <milkit/ops/dropout.hpp>

namespace milkit::ops::detail {

template <>
struct dropout_mask_impl<cpu> {
  static void run(cpu& backend, const random_stream& stream, std::int64_t first_row, std::uint32_t threshold,
                  matrix_view<std::uint8_t> mask) {
    parallel_for(backend, mask.rows(), 16, [&](row_range rows) {
      for (std::int64_t i = rows.first; i < rows.first + rows.count; ++i) {
        const auto instance = static_cast<std::uint64_t>(first_row + i);
        for (std::int64_t j = 0; j < mask.cols(); j += 4) {
          const philox_block block = stream.bits(instance, static_cast<std::uint64_t>(j / 4));
          for (std::int64_t w = 0; w < 4 && j + w < mask.cols(); ++w) mask(i, j + w) = block.word[w] >= threshold;
        }
      }
    });
  }
};

template <>
struct apply_mask_impl<cpu> {
  template <class T>
  static void run(cpu& backend, matrix_view<const T> x, matrix_view<const std::uint8_t> mask, T scale,
                  matrix_view<T> y) {
    parallel_for(backend, x.rows(), 64, [&](row_range rows) {
      for (std::int64_t i = rows.first; i < rows.first + rows.count; ++i)
        for (std::int64_t j = 0; j < x.cols(); ++j) y(i, j) = mask(i, j) ? x(i, j) * scale : T(0);
    });
  }
};

}  // namespace milkit::ops::detail
