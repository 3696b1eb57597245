#pragma once

#include <cmath>
#include <cstdint>

#include <milkit/core/macros.hpp>

namespace milkit {

/// The 128 random bits that Philox makes of one counter and key.
struct philox_block {
  std::uint32_t word[4];
};

/// Philox4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011): a bijection of the counter,
/// keyed. Integer arithmetic only: the same bits on every machine and on the GPU.
MILKIT_HD constexpr philox_block philox(philox_block counter, std::uint32_t key0, std::uint32_t key1) {
  for (int round = 0; round < 10; ++round) {
    const std::uint64_t product0 = std::uint64_t{0xD2511F53u} * counter.word[0];
    const std::uint64_t product1 = std::uint64_t{0xCD9E8D57u} * counter.word[2];
    counter = {
        {static_cast<std::uint32_t>(product1 >> 32) ^ counter.word[1] ^ key0, static_cast<std::uint32_t>(product1),
         static_cast<std::uint32_t>(product0 >> 32) ^ counter.word[3] ^ key1, static_cast<std::uint32_t>(product0)}};
    key0 += 0x9E3779B9u;
    key1 += 0xBB67AE85u;
  }
  return counter;
}

/// Two uniforms' worth of bits as numbers. The float is k 2^-24 and the double k 2^-53, both in [0, 1) and exact.
template <class T>
MILKIT_HD constexpr T uniform_of(std::uint32_t high, std::uint32_t low);
template <>
MILKIT_HD constexpr float uniform_of<float>(std::uint32_t high, std::uint32_t) {
  return static_cast<float>(high >> 8) * 0x1p-24f;
}
template <>
MILKIT_HD constexpr double uniform_of<double>(std::uint32_t high, std::uint32_t low) {
  return static_cast<double>((std::uint64_t{high} << 32 | low) >> 11) * 0x1p-53;
}

/// Random numbers that are a function of where they are used, and of nothing else: the seed, the step of the training,
/// the block of the network (any number that tells the blocks apart), the instance (row), and the draw within that
/// instance. Hence the same numbers at any thread count, in any order, in chunks or at once, and on CPU and GPU alike;
/// nothing is stored, a backward pass asks again. Copies are free. Seed, step and block are mixed into the 64-bit
/// Philox key by Philox itself; instance and draw are its counter, 64 bits each.
class random_stream {
 public:
  constexpr random_stream() = default;
  constexpr random_stream(std::uint64_t seed, std::uint64_t step, std::uint64_t block)
      : seed_(seed), step_(step), block_(block) {
    const philox_block a = philox({{low(step), high(step), low(block), high(block)}}, low(seed), high(seed));
    key0_ = a.word[0] ^ a.word[2];
    key1_ = a.word[1] ^ a.word[3];
  }

  /// The stream of the `child`-th part of this block.
  constexpr random_stream child(std::uint64_t child) const {
    const philox_block a = philox({{low(block_), high(block_), low(child), high(child)}}, 0x6D696C6Bu, 0x69740000u);
    return {seed_, step_, std::uint64_t{a.word[0]} << 32 | a.word[1]};
  }

  MILKIT_HD constexpr philox_block bits(std::uint64_t instance, std::uint64_t draw) const {
    return philox({{static_cast<std::uint32_t>(draw), static_cast<std::uint32_t>(draw >> 32),
                    static_cast<std::uint32_t>(instance), static_cast<std::uint32_t>(instance >> 32)}},
                  key0_, key1_);
  }

  /// The two halves of the Philox key, for code that makes many blocks at once (core/normal_lanes.hpp).
  MILKIT_HD constexpr std::uint32_t key0() const { return key0_; }
  MILKIT_HD constexpr std::uint32_t key1() const { return key1_; }

  /// Uniform in [0, 1): 24 bits for float, 53 for double. Bit-equal on CPU and GPU.
  template <class T>
  MILKIT_HD constexpr T uniform(std::uint64_t instance, std::uint64_t draw) const {
    const philox_block b = bits(instance, draw);
    return uniform_of<T>(b.word[0], b.word[1]);
  }

  /// Standard normal, by Box and Muller from the two halves of one block; never infinite. CPU and GPU agree to the
  /// rounding of log, sqrt and cos.
  template <class T>
  MILKIT_HD T normal(std::uint64_t instance, std::uint64_t draw) const {
    using std::cos;
    using std::log;
    using std::sqrt;
    const philox_block b = bits(instance, draw);
    const T u = T(1) - uniform_of<T>(b.word[0], b.word[1]);  // in (0, 1]
    const T v = uniform_of<T>(b.word[2], b.word[3]);
    return sqrt(T(-2) * log(u)) * cos(T(6.283185307179586476925286766559) * v);
  }

  /// Standard Gumbel, -log(-log u) with u in (0, 1); never infinite.
  template <class T>
  MILKIT_HD T gumbel(std::uint64_t instance, std::uint64_t draw) const {
    using std::log;
    const philox_block b = bits(instance, draw);
    const T half = sizeof(T) == 4 ? T(0x1p-25) : T(0x1p-54);
    return -log(-log(uniform_of<T>(b.word[0], b.word[1]) + half));
  }

  /// Uniform in 0 .. bound - 1 for bound >= 1, exactly: multiply and shift (Lemire 2019), and where the remainder would
  /// bias the result (less than bound in 2^64 times) the next block of the same instance and draw is taken.
  MILKIT_HD constexpr std::uint64_t below(std::uint64_t bound, std::uint64_t instance, std::uint64_t draw) const {
    const std::uint64_t threshold = (std::uint64_t{0} - bound) % bound;
    for (std::uint64_t attempt = 0;; ++attempt) {
      const philox_block b = bits(instance, draw + (attempt << 40));
      const std::uint64_t x = std::uint64_t{b.word[0]} << 32 | b.word[1];
      if (x * bound >= threshold) return high_product(x, bound);
    }
  }

 private:
  static constexpr std::uint32_t low(std::uint64_t x) { return static_cast<std::uint32_t>(x); }
  static constexpr std::uint32_t high(std::uint64_t x) { return static_cast<std::uint32_t>(x >> 32); }
  MILKIT_HD static constexpr std::uint64_t high_product(std::uint64_t a, std::uint64_t b) {
    const std::uint64_t al = a & 0xFFFFFFFFu, ah = a >> 32, bl = b & 0xFFFFFFFFu, bh = b >> 32;
    const std::uint64_t middle = ah * bl + (al * bl >> 32);
    return ah * bh + (middle >> 32) + ((al * bh + (middle & 0xFFFFFFFFu)) >> 32);
  }

  std::uint64_t seed_ = 0, step_ = 0, block_ = 0;
  std::uint32_t key0_ = 0, key1_ = 0;
};

}  // namespace milkit
