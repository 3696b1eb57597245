#pragma once

#include <milkit/ops/column_sums_cuda.cuh>
#include <milkit/ops/linear.hpp>
#include <milkit/ops/matmul_cuda.cuh>

namespace milkit::ops::detail {

template <class T>
struct add_rows_element {
  device_matrix<T> x;
  device_vector<const T> bias;
  __device__ void operator()(std::int64_t i, std::int64_t j) const { x(i, j) += bias(j); }
};

template <class T>
struct matrix_terms {
  device_matrix<const T> x;
  __device__ T operator()(std::int64_t i, std::int64_t j) const { return x(i, j); }
};

template <>
struct add_rows_impl<cuda> {
  template <class T>
  static void run(cuda& backend, device_matrix<T> x, device_vector<const T> bias) {
    for_each_element(backend, x.rows(), x.cols(), add_rows_element<T>{x, bias});
  }
};

template <>
struct column_sums_impl<cuda> {
  template <class T>
  static device_matrix<double> scratch(cuda& backend, device_matrix<const T> x, device_vector<T>) {
    return column_sums_scratch(backend, x.rows(), x.cols());
  }
  template <class T>
  static void run(cuda& backend, device_matrix<double> partial, device_matrix<const T> x, device_vector<T> sums) {
    column_sums(backend, partial, x.rows(), matrix_terms<T>{x});
    add_partial(backend, partial, sums);
  }
};

}  // namespace milkit::ops::detail
