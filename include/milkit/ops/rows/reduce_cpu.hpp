#pragma once

#include <bit>
#include <cmath>
#include <limits>

#include <milkit/core/compiled.hpp>
#include <milkit/core/parallel_for.hpp>
#include <milkit/ops/rows/reduce.hpp>

namespace milkit::ops::detail {

inline constexpr std::int64_t reduce_chunk = std::int64_t{1} << 14;  // elements a partial sum

/// The sum of `partial(range)` over fixed chunks, added in ascending order.
template <class Sum, class Partial>
Sum chunked_sum(cpu& backend, std::int64_t n, vector_view<Sum> partials, Partial&& partial) {
  parallel_for(backend, n, reduce_chunk,
               [&](row_range chunk) { partials(chunk.first / reduce_chunk) = partial(chunk); });
  Sum total = 0;
  for (std::int64_t i = 0; i < partials.extent(0); ++i) total += partials(i);
  return total;
}

/// The sum of squares, in sixteen running sums: one alone would wait for each addition to end.
template <class T>
double squares(const T* x, std::int64_t n) {
  constexpr int lanes = 16;
  double sums[lanes] = {};
  std::int64_t i = 0;
  for (; i + lanes <= n; i += lanes)
    for (int j = 0; j < lanes; ++j) sums[j] += static_cast<double>(x[i + j]) * static_cast<double>(x[i + j]);
  for (int j = 0; i + j < n; ++j) sums[j] += static_cast<double>(x[i + j]) * static_cast<double>(x[i + j]);
  double total = 0;
  for (const double sum : sums) total += sum;
  return total;
}

template <>
struct l2_norm_impl<cpu> {
  template <class T>
  static vector_view<double> scratch(cpu& backend, vector_view<const T> x, vector_view<double>) {
    return backend.workspace.allocate<double>(chunk_count(x.extent(0), reduce_chunk));
  }
  template <class T>
  static void run(cpu& backend, vector_view<double> partials, vector_view<const T> x, vector_view<double> norm) {
    norm(0) = std::sqrt(chunked_sum(backend, x.extent(0), partials,
                                    [&](row_range chunk) { return squares(x.data() + chunk.first, chunk.count); }));
  }
};

template <>
struct count_nonfinite_impl<cpu> {
  template <class T>
  static vector_view<std::int64_t> scratch(cpu& backend, vector_view<const T> x, vector_view<std::int64_t>) {
    return backend.workspace.allocate<std::int64_t>(chunk_count(x.extent(0), reduce_chunk));
  }
  template <class T>
  static void run(cpu& backend, vector_view<std::int64_t> partials, vector_view<const T> x,
                  vector_view<std::int64_t> count) {
    using bits = std::conditional_t<sizeof(T) == 4, std::uint32_t, std::uint64_t>;
    static_assert(std::numeric_limits<T>::is_iec559 && sizeof(T) == sizeof(bits),
                  "milkit::ops::count_nonfinite: elements must be float or double");
    constexpr bits exponent = std::bit_cast<bits>(std::numeric_limits<T>::infinity());
    count(0) = chunked_sum(backend, x.extent(0), partials, [&](row_range chunk) {
      std::int64_t found = 0;
      for (const T *p = x.data() + chunk.first, *end = p + chunk.count; p != end; ++p)
        found += (std::bit_cast<bits>(*p) & exponent) == exponent;
      return found;
    });
  }
};

MILKIT_COMPILED_OP(l2_norm_impl, vector_view<const T>, vector_view<double>);
MILKIT_COMPILED_OP(count_nonfinite_impl, vector_view<const T>, vector_view<std::int64_t>);

}  // namespace milkit::ops::detail
