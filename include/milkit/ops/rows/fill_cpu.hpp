#pragma once

#include <algorithm>

#include <milkit/core/compiled.hpp>
#include <milkit/core/parallel_for.hpp>
#include <milkit/ops/rows/fill.hpp>

namespace milkit::ops::detail {

/// Calls body(row, first column, columns) for pieces of an [n, d] matrix that cover it, on the backend's threads. Where
/// all views lie without gaps, it is one long row, so that a vector is not taken element by element.
template <class Body>
void each_piece(cpu& backend, shape<2> all, bool contiguous, Body&& body) {
  constexpr std::int64_t piece = std::int64_t{1} << 16;
  if (contiguous) {
    parallel_for(backend, all.size(), piece, [&](row_range part) { body(std::int64_t{0}, part.first, part.count); });
  } else {
    parallel_for(backend, all[0], (std::max)(piece / (std::max)(all[1], std::int64_t{1}), std::int64_t{1}),
                 [&](row_range rows) {
                   for (std::int64_t i = rows.first; i < rows.first + rows.count; ++i) body(i, std::int64_t{0}, all[1]);
                 });
  }
}

template <>
struct fill_impl<cpu> {
  template <class T>
  static void run(cpu& backend, matrix_view<T> x, T value) {
    each_piece(backend, x.shape(), x.contiguous(), [&](std::int64_t i, std::int64_t first, std::int64_t count) {
      std::fill_n(x.row(i) + first, count, value);
    });
  }
};

template <>
struct copy_rows_impl<cpu> {
  template <class T>
  static void run(cpu& backend, matrix_view<const T> x, matrix_view<T> y, bool accumulate) {
    const bool contiguous = x.contiguous() && y.contiguous();
    each_piece(backend, x.shape(), contiguous, [&](std::int64_t i, std::int64_t first, std::int64_t count) {
      const T* from = x.row(i) + first;
      T* into = y.row(i) + first;
      if (accumulate)
        for (std::int64_t j = 0; j < count; ++j) into[j] += from[j];
      else std::copy_n(from, count, into);
    });
  }
};

MILKIT_COMPILED_OP(fill_impl, matrix_view<T>, T);
MILKIT_COMPILED_OP(copy_rows_impl, matrix_view<const T>, matrix_view<T>, bool);

}  // namespace milkit::ops::detail
