#pragma once

#include <vector>

#include <milkit/core/cuda.cuh>

/// What the emulator can do and a card cannot. For a program that runs on a real card, tests/card/support/emulation.hpp comes
/// first on the include path.
namespace milkit::test {

inline constexpr bool emulated = true;

/// Runs `body` with the threads of a block in the order that `seed` says: 0 ascending, 1 descending, others shuffled.
template <class Body>
void with_order(std::uint64_t seed, Body&& body) {
  struct restore {
    std::uint64_t before = emulation::order_seed();
    ~restore() { emulation::order_seed() = before; }
  } const guard;
  emulation::order_seed() = seed;
  body();
}

/// The elements of an array on the card.
template <class T, int Rank>
std::vector<T> host_values(milkit::cuda& gpu, const device_tensor<T, Rank>& values) {
  std::vector<T> host(static_cast<std::size_t>(values.size()));
  copy(gpu, values.view(), view<T, Rank>(host.data(), values.shape()));
  return host;
}

}  // namespace milkit::test
