#pragma once

#include <doctest/doctest.h>

#include <algorithm>
#include <vector>

#include <milkit/core/cpu.hpp>

#include <support/gradient_check.hpp>

/// What a `..._cases.hpp` is written against, so that no test is written twice: cases get and compare tensors of the host, and run
/// on `test::backend_type`. That is `cpu` in the program beside such a file (linear_test.cpp beside linear_cases.hpp), and
/// `milkit::cuda` in a program of tests/cuda, which includes <support/cases_on_card.hpp> first and then the same cases.
namespace milkit::test {

#if !defined(MILKIT_TESTS_ON_CARD)
using backend_type = cpu;
/// A new backend.
inline cpu make_backend(int threads = 2) { return cpu{.threads = threads}; }
/// Calls `body(backend)` in every way in which nothing may change a bit: here with any number of threads.
template <class Body>
void in_every_way(Body body) {
  for (const int threads : {1, 2, 3, 8}) {
    CAPTURE(threads);
    cpu backend = make_backend(threads);
    body(backend);
  }
}
/// Whether a product has the same bits for any number of rows, and for rows that lie apart.
inline constexpr bool same_bits_for_any_rows = true;
/// Whether long sums of float32 are in double throughout.
inline constexpr bool sums_in_double = true;
#endif

/// Around the limits of a warp, a block, a grid.
inline constexpr std::int64_t row_counts[] = {1, 31, 32, 33, 255, 257, 1000, 65537};

using backend_space = backend_type::space;
template <class T, int Rank>
using resident = tensor<T, Rank, backend_space>;

/// Values of the host where the backend works.
template <class T, int Rank>
resident<std::remove_const_t<T>, Rank> put(const view<T, Rank>& host) {
  return copied_to<backend_space>(host);
}
template <class T, int Rank>
resident<T, Rank> put(const tensor<T, Rank>& host) {
  return host.template to<backend_space>();
}
/// And back.
template <class T, int Rank>
tensor<T, Rank> fetch(const resident<T, Rank>& values) {
  return values.template to<host_space>();
}
template <class T, int Rank>
view<const T, Rank, backend_space> constant(const resident<T, Rank>& values) {
  return values.view();
}

/// Values where the backend works whose rows lie `gap` elements apart, with -77 between them.
template <class T, int Rank>
class rows_apart {
 public:
  explicit rows_apart(const tensor<T, Rank>& host, std::int64_t gap = 3) : shape_(host.shape()), gap_(gap) {
    tensor<T, 2> table(shape<2>{shape_[0], shape_.row_size() + gap});
    std::fill_n(table.data(), table.size(), T(-77));
    for (std::int64_t i = 0; i < shape_[0]; ++i)
      std::copy_n(host.view().row(i), shape_.row_size(), table.view().row(i));
    memory_ = put(table);
  }
  milkit::view<T, Rank, backend_space> rows() { return {memory_.data(), shape_, memory_.extent(1)}; }
  std::vector<double> values() const { return elements(fetch(memory_).view().columns(0, shape_.row_size())); }
  /// Whether nobody wrote between the rows.
  bool untouched() const {
    const auto between = elements(fetch(memory_).view().columns(shape_.row_size(), gap_));
    return std::all_of(between.begin(), between.end(), [](double each) { return each == -77; });
  }

 private:
  shape<Rank> shape_;
  std::int64_t gap_;
  resident<T, 2> memory_;
};

/// The same bits where these are promised, otherwise but for rounding.
template <class A, class B>
bool same_rows(const A& a, const B& b, double rounding) {
  return same_bits_for_any_rows ? same_bits(a, b) : relative_error(a, b) <= rounding;
}

}  // namespace milkit::test
