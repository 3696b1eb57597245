#pragma once

#include <cmath>

#include <milkit/core/launch.cuh>
#include <milkit/ops/rows/reduce.hpp>

namespace milkit::ops::detail {

/// The sum of `term(x[i])` in two steps of a fixed order: each block sums a chunk, one block then sums the chunks.
template <class Term, class T, class Sum>
struct partial_sums_kernel {
  static constexpr int threads = 256;
  static constexpr std::int64_t chunk = 2048;
  device_vector<const T> x;
  device_vector<Sum> partial;

  __device__ void operator()() const {
    const std::int64_t first = std::int64_t{blockIdx.x} * chunk,
                       last = first + chunk < x.extent(0) ? first + chunk : x.extent(0);
    Sum sum = 0;
    for (std::int64_t i = first + threadIdx.x; i < last; i += threads) sum += Term::of(x.data()[i]);
    const Sum all = block_sum<threads>(sum);
    if (threadIdx.x == 0) partial(std::int64_t{blockIdx.x}) = all;
  }
};

template <class Term, class Sum>
struct total_kernel {
  static constexpr int threads = 256;
  device_vector<const Sum> partial;
  device_vector<Sum> result;

  __device__ void operator()() const {
    Sum sum = 0;
    for (std::int64_t i = threadIdx.x; i < partial.extent(0); i += threads) sum += partial(i);
    const Sum all = block_sum<threads>(sum);
    if (threadIdx.x == 0) result(0) = Term::finished(all);
  }
};

struct square_term {
  template <class T>
  __device__ static double of(T x) {
    return static_cast<double>(x) * static_cast<double>(x);
  }
  __device__ static double finished(double sum) {
    using std::sqrt;
    return sqrt(sum);
  }
};

struct nonfinite_term {
  template <class T>
  __device__ static std::int64_t of(T x) {
    return x - x == T(0) ? 0 : 1;
  }
  __device__ static std::int64_t finished(std::int64_t sum) { return sum; }
};

template <class Term, class Sum>
struct whole_sum {
  template <class T>
  static device_vector<Sum> scratch(cuda& backend, device_vector<const T> x, device_vector<Sum>) {
    return backend.workspace.template allocate<Sum>(chunk_count(x.extent(0), partial_sums_kernel<Term, T, Sum>::chunk));
  }
  template <class T>
  static void run(cuda& backend, device_vector<Sum> partial, device_vector<const T> x, device_vector<Sum> result) {
    launch(backend, {partial.extent(0)}, partial_sums_kernel<Term, T, Sum>{x, partial});
    launch(backend, {1}, total_kernel<Term, Sum>{partial, result});
  }
};

template <>
struct l2_norm_impl<cuda> : whole_sum<square_term, double> {};
template <>
struct count_nonfinite_impl<cuda> : whole_sum<nonfinite_term, std::int64_t> {};

}  // namespace milkit::ops::detail
