#include <milkit/milkit.hpp>

#include <cstdio>

int main() {
  const milkit::philox_block block = milkit::philox({{0, 0, 0, 0}}, 0, 0);
  std::puts(milkit::message("milkit ", MILKIT_VERSION_MAJOR, ".", MILKIT_VERSION_MINOR, ": ", block.word[0]).c_str());
  return block.word[0] == 0x6627e8d5u ? 0 : 1;
}
