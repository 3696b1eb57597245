#pragma once

#include <milkit/core/backend.hpp>
#include <milkit/core/random.hpp>

namespace milkit::ops {

namespace detail {
template <class Backend>
struct dropout_mask_impl {
  static_assert(dependent_false<Backend>,
                "milkit::ops::dropout_mask: no implementation for this backend here; include "
                "<milkit/ops/rows/dropout_cpu.hpp> for "
                "cpu or <milkit/ops/rows/dropout_cuda.cuh> for cuda");
};
template <class Backend>
struct apply_mask_impl {
  static_assert(dependent_false<Backend>,
                "milkit::ops::apply_mask: no implementation for this backend here; include "
                "<milkit/ops/rows/dropout_cpu.hpp> for cpu "
                "or <milkit/ops/rows/dropout_cuda.cuh> for cuda");
};

/// Element j of a row is kept where word j % 4 of Philox block j / 4 of that row is at or above p 2^32.
inline std::uint32_t dropout_threshold(double p) { return static_cast<std::uint32_t>(p * 0x1p32); }
}  // namespace detail

/// The mask of a dropout with rate p in [0, 1): mask[i, j] is 1 (kept) with probability 1 - p. Keyed by the row: row i
/// of the mask belongs to instance `first_row + i` of the stream, so a bag in chunks gets the mask of the whole bag,
/// and CPU and GPU make the same one. Errors: value_error for p outside [0, 1).
template <backend Backend, class Mask>
requires resident_on<Mask, Backend>
void dropout_mask(Backend& backend, random_stream stream, std::int64_t first_row, double p, Mask mask) {
  expect_value(p >= 0 && p < 1, "milkit::ops::dropout_mask", "the rate is ", p, ", expected 0 <= rate < 1");
  execute<detail::dropout_mask_impl>(backend, stream, first_row, detail::dropout_threshold(p),
                                     matrix_view<std::uint8_t, typename Backend::space>(mask));
}

/// y = x mask / (1 - p) elementwise, y may be x: dropout forward, and its backward with dy for x.
template <backend Backend, class X, class Mask, class Y>
requires resident_on<X, Backend> && resident_on<Mask, Backend> && resident_on<Y, Backend>
void apply_mask(Backend& backend, X x, Mask mask, double p, Y y) {
  using T = typename Y::value_type;
  using Space = typename Backend::space;
  expect_shape("milkit::ops::apply_mask", "y", y, x.shape());
  expect_shape("milkit::ops::apply_mask", "mask", mask.as_matrix(), x.as_matrix().shape());
  execute<detail::apply_mask_impl>(backend, matrix_view<const T, Space>(x.as_matrix()),
                                   matrix_view<const std::uint8_t, Space>(mask.as_matrix()),
                                   static_cast<T>(1 / (1 - p)), y.as_matrix());
}

}  // namespace milkit::ops
