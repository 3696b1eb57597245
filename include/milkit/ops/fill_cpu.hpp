#pragma once

#include <algorithm>

#include <milkit/core/parallel_for.hpp>
#include <milkit/ops/fill.hpp>

namespace milkit::ops::detail {

template <>
struct fill_impl<cpu> {
  template <class T>
  static void run(cpu&, matrix_view<T> x, T value) {
    for (std::int64_t i = 0; i < x.rows(); ++i) std::fill_n(x.row(i), x.cols(), value);
  }
};

template <>
struct copy_rows_impl<cpu> {
  template <class T>
  static void run(cpu&, matrix_view<const T> x, matrix_view<T> y, bool accumulate) {
    for (std::int64_t i = 0; i < x.rows(); ++i) {
      const T* from = x.row(i);
      T* into = y.row(i);
      if (accumulate)
        for (std::int64_t j = 0; j < x.cols(); ++j) into[j] += from[j];
      else std::copy_n(from, x.cols(), into);
    }
  }
};

}  // namespace milkit::ops::detail
