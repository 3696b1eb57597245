// Includes little, so that it compiles in half a second: whether all headers compile is asked once, by everything.cpp.
#include <milkit/core/error.hpp>
#include <milkit/core/random.hpp>
#include <milkit/version.hpp>

#include <cstdio>

#if !__has_include(<Eigen/Core>)
#error "the target does not reach Eigen"
#endif
#if defined(CONSUMER_EXPECTS_OPENMP) != defined(_OPENMP)
#error "OpenMP reaches the program where there is none, or does not where there is one"
#endif
static_assert(__cplusplus >= 202002L, "the target does not ask for C++20");

int main() {
  const milkit::philox_block block = milkit::philox({{0, 0, 0, 0}}, 0, 0);
  std::puts(milkit::message("milkit ", MILKIT_VERSION_MAJOR, ".", MILKIT_VERSION_MINOR, ": ", block.word[0]).c_str());
  return block.word[0] == 0x6627e8d5u ? 0 : 1;
}
