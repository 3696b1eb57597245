#pragma once

#include <cstddef>
#include <map>
#include <string>

#include <milkit/core/cuda.cuh>

#include <support/paths.hpp>

/// In place of tests/support/emulation.hpp where the kernels run on a real card.
namespace milkit::test {

inline constexpr bool emulated = false;

/// The card orders its threads as it likes.
template <class Body>
void with_order(std::uint64_t, Body&& body) {
  body();
}

}  // namespace milkit::test

/// The emulated card counts and pretends; no real one does, and a case that asks for it is skipped.
namespace emulation {

struct card {
  int count = 1;
  cudaError_t driver = cudaSuccess, sticky = cudaSuccess;
  std::size_t memory = 0, used = 0, allocations = 0, launches = 0, copies = 0, synchronisations = 0;
  std::map<std::string, std::size_t> kernels;
};
inline card& the_card() { throw milkit::test::skipped("only the emulator can tell"); }

struct cudnn_state {
  std::size_t products = 0, workspace = 0;
};
inline cudnn_state& cudnn() { throw milkit::test::skipped("only the emulator can tell"); }

}  // namespace emulation
