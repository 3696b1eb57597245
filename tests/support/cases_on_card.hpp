#pragma once

/// Included before any `..._cases.hpp`: the cases of this program run on `milkit::cuda` (see support/on_backend.hpp).
#define MILKIT_TESTS_ON_CARD 1

#include <doctest/doctest.h>

#include <milkit/milkit_cuda.cuh>

#include <support/emulation.hpp>

namespace milkit::test {

using backend_type = milkit::cuda;
inline milkit::cuda make_backend(int = 0) { return milkit::cuda(); }
/// The threads of a block in any order.
template <class Body>
void in_every_way(Body body) {
  milkit::cuda backend;
  for (const std::uint64_t seed : {0u, 1u, 5u}) {
    CAPTURE(seed);
    with_order(seed, [&] { body(backend); });
  }
}
/// cuBLASLt takes another kernel for another number of rows, or stride, as it likes.
inline constexpr bool same_bits_for_any_rows = false;
/// It sums 128 terms in float32, and such sums in double.
inline constexpr bool sums_in_double = false;

}  // namespace milkit::test
