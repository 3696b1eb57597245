#pragma once

#include <cstdint>

#include <milkit/core/macros.hpp>

namespace milkit {

/// The quantile of the normal distribution's upper tail, p in [2^-32, 1/2], in 31 octaves of 32 segments and the end.
/// Over a segment it is the parabola 2^-28 value + 2^-20 slope y + 2^-26 curve y^2, y in [0, 1); an entry holds value
/// in its lower half, slope and curve in 16 bits each above it: one number, so that one load fetches it.
struct normal_table {
  static constexpr int octaves = 31, parts = 32;
  std::uint64_t segment[octaves * parts + 1];
};

namespace detail {

/// exp x for 0 <= x <= 20, to 1e-13.
MILKIT_HD constexpr double table_exp(double x) {
  const double y = x / 1024;
  double e = 1 + y * (1 + y / 2 * (1 + y / 3 * (1 + y / 4 * (1 + y / 5))));
  for (int i = 0; i < 10; ++i) e *= e;
  return e;
}
/// The quantile's slope in p, -1 / density, where the quantile is z.
MILKIT_HD constexpr double normal_slope(double z) { return -2.5066282746310002 * table_exp(z * z / 2); }

/// One step of Runge and Kutta towards larger p.
MILKIT_HD constexpr double next_quantile(double z, double step) {
  const double a = normal_slope(z), b = normal_slope(z + step / 2 * a), c = normal_slope(z + step / 2 * b);
  return z + step / 6 * (a + 2 * b + 2 * c + normal_slope(z + step * c));
}
/// The nearest integer, in so many bits of two's complement.
MILKIT_HD constexpr std::uint64_t nearest_bits(double x, int bits) {
  const auto integer = static_cast<std::int64_t>(x < 0 ? x - 0.5 : x + 0.5);
  return static_cast<std::uint64_t>(integer) & ((std::uint64_t{1} << bits) - 1);
}

/// From the far tail inwards, because that way the quantile's differential equation forgets errors. At compile time, so
/// that no compiler's flags and no mathematics library have a say in the bits. A template of what its caller is
/// one of: compilers then evaluate it where it is used, not wherever they parse it.
template <class>
MILKIT_HD constexpr normal_table make_normal_table() {
  normal_table table{};
  double z = 6.230260137989043, width = 0x1p-37;  // the quantile at p = 2^-32
  std::uint64_t* at = table.segment;
  for (int octave = 0; octave < normal_table::octaves; ++octave, width *= 2)
    for (int part = 0; part < normal_table::parts; ++part, ++at) {
      const double middle = next_quantile(z, width / 2), end = next_quantile(middle, width / 2);
      const double curve = 2 * (z - 2 * middle + end), slope = end - z - curve;
      constexpr double half = 0x1p-16;  // y is cut to 15 bits: its mean lies half a step above
      *at = nearest_bits((z + half * (slope + half * curve)) * 0x1p28, 32) |
            nearest_bits((slope + 2 * half * curve) * 0x1p20, 16) << 32 | nearest_bits(curve * 0x1p26, 16) << 48;
      z = end;
    }
  return table;  // the last entry, p = 1/2, is 0
}

}  // namespace detail

/// The table in memory that the caller, host or kernel, can read; made when a program first needs it.
template <class Any = void>
MILKIT_HD const normal_table& normal_quantiles() {
  static constexpr normal_table table = detail::make_normal_table<Any>();
  return table;
}

/// The segment and the place in it, in 15 bits, of a tail probability given as the bits of the float 2^32 p.
MILKIT_HD constexpr std::uint32_t normal_index(std::uint32_t bits) { return (bits >> 18) - (127u << 5); }
MILKIT_HD constexpr std::int32_t normal_place(std::uint32_t bits) {
  return static_cast<std::int32_t>(bits >> 3 & 0x7FFFu);
}
/// The quantile there, negative where the word is odd.
MILKIT_HD constexpr std::int32_t normal_at(std::uint64_t segment, std::int32_t place, std::uint32_t word) {
  const auto value = static_cast<std::int32_t>(segment), shape = static_cast<std::int32_t>(segment >> 32);
  const std::int32_t slope = static_cast<std::int16_t>(shape) + (((shape >> 16) * place) >> 21);
  const std::int32_t z = value + ((slope * place) >> 7);
  const auto sign = -static_cast<std::int32_t>(word & 1u);  // 0 or -1
  return (z ^ sign) - sign;
}

/// A standard normal number from 32 random bits, as a multiple of 2^-28: the quantile by table and integer arithmetic,
/// hence the same bits on every machine, compiler and card, for any flags. Symmetric, |Z| < 6.24, from 2^20 steps an
/// octave of the tail; the quantile's error is below 2e-6.
MILKIT_HD inline std::int32_t normal_fixed(const normal_table& table, std::uint32_t word) {
  const auto tail = static_cast<float>(static_cast<std::int32_t>(word >> 1 | 1u));  // 2^32 p, never 0
  const auto bits = __builtin_bit_cast(std::uint32_t, tail);
  return normal_at(table.segment[normal_index(bits)], normal_place(bits), word);
}
inline constexpr double normal_unit = 0x1p-28;

}  // namespace milkit
