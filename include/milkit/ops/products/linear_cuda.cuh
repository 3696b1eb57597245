#pragma once

#include <milkit/ops/products/linear.hpp>
#include <milkit/ops/products/linear/column_sums_cuda.cuh>
#include <milkit/ops/products/matmul_cuda.cuh>

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

/// The product adds the bias, where the library can.
template <>
struct linear_impl<cuda> {
  static constexpr matmul_options product{.transpose_b = true};

  static device_vector<std::byte> scratch(cuda& backend, auto&&...) { return matmul_impl<cuda>::scratch(backend); }

  template <class T>
  static void run(cuda& backend, device_vector<std::byte> memory, device_matrix<const T> x,
                  device_matrix<const T> weight, device_vector<const T> bias, device_matrix<T> y) {
    const bool fusible = sizeof(T) == 4 && bias.contiguous();  // for double it has no bias: no need to ask
    const bool added =
        matmul_impl<cuda>::run(backend, memory, x, weight, y, product, fusible ? bias : device_vector<const T>());
    if (!added && !bias.absent()) for_each_element(backend, y.rows(), y.cols(), add_rows_element<T>{y, bias});
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
