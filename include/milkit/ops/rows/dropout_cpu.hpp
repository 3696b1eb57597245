#pragma once

#include <algorithm>

#include <milkit/core/compiled.hpp>
#include <milkit/core/normal_lanes.hpp>
#include <milkit/core/parallel_for.hpp>
#include <milkit/ops/rows/dropout.hpp>

namespace milkit::ops::detail {

template <>
struct dropout_mask_impl<cpu> {
  static constexpr std::int64_t block = 256;  ///< elements whose random words are made at a time

  static void run(cpu& backend, const random_stream& stream, std::int64_t first_row, std::uint32_t threshold,
                  matrix_view<std::uint8_t> mask) {
    parallel_for(backend, mask.rows(), 16, [&](row_range rows) {
      for (std::int64_t i = rows.first; i < rows.first + rows.count; ++i) {
        std::uint8_t* row = mask.row(i);
        for (std::int64_t j = 0; j < mask.cols(); j += block) {
          const std::int64_t count = (std::min)(block, mask.cols() - j);
          std::uint32_t words[block];
          philox_draws(stream, first_row + i, j / 4, (count + 3) / 4, words);
          for (std::int64_t w = 0; w < count; ++w) row[j + w] = words[w] >= threshold ? 1 : 0;
        }
      }
    });
  }
};

template <>
struct apply_mask_impl<cpu> {
  static constexpr std::int64_t block = 256;

  template <class T>
  static void run(cpu& backend, matrix_view<const T> x, matrix_view<const std::uint8_t> mask, T scale,
                  matrix_view<T> y) {
    parallel_for(backend, x.rows(), 16, [&](row_range rows) {
      for (std::int64_t i = rows.first; i < rows.first + rows.count; ++i)
        for (std::int64_t first = 0; first < x.cols(); first += block) {
          const std::int64_t count = (std::min)(block, x.cols() - first);
          const T* from = x.row(i) + first;
          const std::uint8_t* kept = mask.row(i) + first;
          T values[block];  // y may be x, which compilers do not take for vectors
          for (std::int64_t j = 0; j < count; ++j) {
            const T scaled = from[j] * scale;
            values[j] = kept[j] ? scaled : T(0);
          }
          std::copy_n(values, count, y.row(i) + first);
        }
    });
  }
};

MILKIT_COMPILED_OP_ONCE(dropout_mask_impl, random_stream, std::int64_t, std::uint32_t, matrix_view<std::uint8_t>);
MILKIT_COMPILED_OP(apply_mask_impl, matrix_view<const T>, matrix_view<const std::uint8_t>, T, matrix_view<T>);

}  // namespace milkit::ops::detail
