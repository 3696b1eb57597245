#pragma once

#include <Eigen/Core>

#include <milkit/core/compiled.hpp>
#include <milkit/core/parallel_for.hpp>
#include <milkit/ops/rows/activation.hpp>

namespace milkit::ops::detail {

template <class T>
auto array_of(T* data, std::int64_t count) {
  using array = Eigen::Array<std::remove_const_t<T>, Eigen::Dynamic, 1>;
  return Eigen::Map<std::conditional_t<std::is_const_v<T>, const array, array>>(data, count);
}

/// y[i] = f(x[i]) for one row, through Eigen's vectorised functions where it has them.
template <class Function, class T>
void activate_row(Function f, const T* x, T* y, std::int64_t count) {
  if constexpr (std::is_same_v<Function, tanh_function>) {
    array_of(y, count) = array_of(x, count).tanh();
  } else if constexpr (std::is_same_v<Function, sigmoid_function>) {
    // tanh keeps the result in [0, 1] and exact at both ends; float alone, because Eigen's double tanh is not
    // vectorised.
    if constexpr (std::is_same_v<T, float>) array_of(y, count) = (array_of(x, count) * T(0.5)).tanh() * T(0.5) + T(0.5);
    else
      for (std::int64_t i = 0; i < count; ++i) y[i] = f.value(x[i]);
  } else {
#if defined(_OPENMP) && !defined(__clang__)  // clang warns where it finds no vectors: gelu's erfc
#pragma omp simd  // x and y may be one array, which the compiler cannot tell from two that overlap
#endif
    for (std::int64_t i = 0; i < count; ++i) y[i] = f.value(x[i]);
  }
}

/// Rows of a chunk so that it holds about 16 thousand elements: some ten microseconds of work.
inline std::int64_t elementwise_rows(std::int64_t row_size) {
  return (std::max)(std::int64_t{1}, 16384 / (std::max)(row_size, std::int64_t{1}));
}

template <>
struct activate_impl<cpu> {
  template <class Function, class T>
  static void run(cpu& backend, Function f, matrix_view<const T> x, matrix_view<T> y) {
    parallel_for(backend, x.rows(), elementwise_rows(x.cols()), [&](row_range rows) {
      for (std::int64_t i = rows.first; i < rows.first + rows.count; ++i) activate_row(f, x.row(i), y.row(i), x.cols());
    });
  }
};

template <>
struct activate_backward_impl<cpu> {
  template <class Function, class T>
  static void run(cpu& backend, Function f, matrix_view<const T> x_or_y, matrix_view<const T> dy, matrix_view<T> dx) {
    parallel_for(backend, dx.rows(), elementwise_rows(dx.cols()), [&](row_range rows) {
      for (std::int64_t i = rows.first; i < rows.first + rows.count; ++i) {
        const T *value = x_or_y.row(i), *upstream = dy.row(i);
        T* result = dx.row(i);
#if defined(_OPENMP) && !defined(__clang__)
#pragma omp simd  // dy and dx may be one array
#endif
        for (std::int64_t j = 0; j < dx.cols(); ++j) result[j] = upstream[j] * f.slope(value[j], value[j]);
      }
    });
  }
};

MILKIT_COMPILED_OP(activate_impl, relu_function, matrix_view<const T>, matrix_view<T>);
MILKIT_COMPILED_OP(activate_backward_impl, relu_function, matrix_view<const T>, matrix_view<const T>, matrix_view<T>);
MILKIT_COMPILED_OP(activate_impl, tanh_function, matrix_view<const T>, matrix_view<T>);
MILKIT_COMPILED_OP(activate_backward_impl, tanh_function, matrix_view<const T>, matrix_view<const T>, matrix_view<T>);
MILKIT_COMPILED_OP(activate_impl, sigmoid_function, matrix_view<const T>, matrix_view<T>);
MILKIT_COMPILED_OP(activate_backward_impl, sigmoid_function, matrix_view<const T>, matrix_view<const T>,
                   matrix_view<T>);
MILKIT_COMPILED_OP(activate_impl, gelu_function, matrix_view<const T>, matrix_view<T>);
MILKIT_COMPILED_OP(activate_backward_impl, gelu_function, matrix_view<const T>, matrix_view<const T>, matrix_view<T>);

}  // namespace milkit::ops::detail
