#pragma once

#include <cmath>
#include <cstdint>

#include <milkit/core/random.hpp>

namespace milkit {

/// -log u for a normal number u in (0, 1), to a few units in the last place. Each operation is rounded once, and a
/// product that is added to is a fused multiply-add written as such: so that no compiler has a choice, and CPU and card
/// get the same bits. By log m = 2 atanh s, s = (m - 1) / (m + 1), for m in [0.7, 1.42).
MILKIT_HD inline double exponential_of(double u) {
  const auto bits = __builtin_bit_cast(std::uint64_t, u);
  auto exponent = static_cast<double>(static_cast<std::int64_t>(bits >> 52) - 1023);
  double m = __builtin_bit_cast(double, (bits & 0xFFFFFFFFFFFFFu) | 0x3FF0000000000000u);
  const bool upper = m > 1.42;
  m = upper ? m * 0.5 : m;
  exponent = upper ? exponent + 1 : exponent;
  const double s = (m - 1) / (m + 1), z = s * s, twice = 2 * s;
  double tail = 1.0 / 23;
  for (int odd = 21; odd >= 3; odd -= 2) tail = std::fma(tail, z, 1.0 / odd);
  const double log_m = std::fma(twice * z, tail, twice);
  return std::fma(-exponent, 0.69314718055994530942, -log_m);
}

/// Uniform in (0, 1), a multiple of 2^-53: 52 random bits and a half.
MILKIT_HD constexpr double open_uniform(std::uint32_t high, std::uint32_t low) {
  return (static_cast<double>((std::uint64_t{high} << 32 | low) >> 12) + 0.5) * 0x1p-52;
}

}  // namespace milkit
