#pragma once

#include <bit>
#include <concepts>
#include <cstdint>
#include <cstring>
#include <limits>
#include <string_view>
#include <type_traits>
#include <utility>

namespace milkit::data {

static_assert(std::endian::native == std::endian::little,
              "milkit::data: files are little-endian, and so must the machine be");

/// Element types of stored tensors, by the names of the safetensors format.
enum class dtype : std::uint8_t { boolean, u8, i8, u16, i16, f16, bf16, u32, i32, f32, u64, i64, f64 };

struct dtype_traits {
  std::string_view name;
  std::int64_t bytes;
  bool floating;
  bool negative;   ///< holds numbers below zero
  int exact_bits;  ///< every integer up to 2^exact_bits in size is held exactly; of integers, the bits of the largest
  int exponent_bits;  ///< of floating types
};

constexpr dtype_traits traits_of(dtype type) {
  switch (type) {
    case dtype::boolean:
      return {"BOOL", 1, false, false, 1, 0};
    case dtype::u8:
      return {"U8", 1, false, false, 8, 0};
    case dtype::i8:
      return {"I8", 1, false, true, 7, 0};
    case dtype::u16:
      return {"U16", 2, false, false, 16, 0};
    case dtype::i16:
      return {"I16", 2, false, true, 15, 0};
    case dtype::f16:
      return {"F16", 2, true, true, 11, 5};
    case dtype::bf16:
      return {"BF16", 2, true, true, 8, 8};
    case dtype::u32:
      return {"U32", 4, false, false, 32, 0};
    case dtype::i32:
      return {"I32", 4, false, true, 31, 0};
    case dtype::f32:
      return {"F32", 4, true, true, 24, 8};
    case dtype::u64:
      return {"U64", 8, false, false, 64, 0};
    case dtype::i64:
      return {"I64", 8, false, true, 63, 0};
    case dtype::f64:
      return {"F64", 8, true, true, 53, 11};
  }
  return {};
}

inline constexpr dtype all_dtypes[] = {dtype::boolean, dtype::u8,   dtype::i8,  dtype::u16, dtype::i16,
                                       dtype::f16,     dtype::bf16, dtype::u32, dtype::i32, dtype::f32,
                                       dtype::u64,     dtype::i64,  dtype::f64};

/// An element type of ours that a file can hold. Truth values are `std::uint8_t`, 0 or 1.
template <class T>
concept storable = std::is_arithmetic_v<T> && sizeof(T) <= 8 && !std::same_as<T, bool> && !std::same_as<T, char> &&
                   !std::same_as<T, wchar_t>;

template <storable T>
constexpr dtype dtype_of() {
  for (const dtype type : all_dtypes) {
    const dtype_traits traits = traits_of(type);
    if (type != dtype::boolean && type != dtype::bf16 && traits.bytes == sizeof(T) &&
        traits.floating == std::is_floating_point_v<T> && traits.negative == std::is_signed_v<T>)
      return type;
  }
  return dtype::u8;
}

/// True where every value of `from` is also a value of `to`.
constexpr bool converts_exactly(dtype from, dtype to) {
  const dtype_traits a = traits_of(from), b = traits_of(to);
  return from == to || (a.floating <= b.floating && a.negative <= b.negative && a.exact_bits <= b.exact_bits &&
                        a.exponent_bits <= b.exponent_bits);
}

/// IEEE half precision as a float, exactly.
inline float half_to_float(std::uint16_t half) {
  const std::uint32_t sign = (half & 0x8000u) << 16, exponent = half >> 10 & 0x1Fu, mantissa = half & 0x3FFu;
  if (exponent == 31) return std::bit_cast<float>(sign | 0x7F800000u | mantissa << 13);
  if (exponent != 0) return std::bit_cast<float>(sign | (exponent + 112) << 23 | mantissa << 13);
  const float size = static_cast<float>(mantissa) * 0x1p-24f;
  return sign ? -size : size;
}
inline float bfloat16_to_float(std::uint16_t bits) { return std::bit_cast<float>(std::uint32_t{bits} << 16); }

namespace detail {

template <class T, class Stored, class Widen>
bool convert(const char* from, std::int64_t count, T* to, Widen widen) {
  for (std::int64_t i = 0; i < count; ++i) {
    Stored stored;
    std::memcpy(&stored, from + i * static_cast<std::int64_t>(sizeof(Stored)), sizeof(Stored));
    const auto value = widen(stored);
    if constexpr (std::is_integral_v<T>) {
      if constexpr (std::is_integral_v<decltype(value)>) {
        if (!std::in_range<T>(value)) return false;
      } else {
        return false;
      }
    }
    to[i] = static_cast<T>(value);
  }
  return true;
}

/// Turns `count` stored elements into `T`, rounding to nearest where it must. False where that makes no sense: an
/// integer that `T` cannot hold, or a floating number for an integer.
template <storable T>
bool convert(dtype type, const char* from, std::int64_t count, T* to) {
  const auto same = [](auto value) { return value; };
  switch (type) {
    case dtype::boolean:
      return convert<T, std::uint8_t>(from, count, to, [](std::uint8_t v) { return std::uint8_t{v != 0}; });
    case dtype::u8:
      return convert<T, std::uint8_t>(from, count, to, same);
    case dtype::i8:
      return convert<T, std::int8_t>(from, count, to, same);
    case dtype::u16:
      return convert<T, std::uint16_t>(from, count, to, same);
    case dtype::i16:
      return convert<T, std::int16_t>(from, count, to, same);
    case dtype::f16:
      return convert<T, std::uint16_t>(from, count, to, half_to_float);
    case dtype::bf16:
      return convert<T, std::uint16_t>(from, count, to, bfloat16_to_float);
    case dtype::u32:
      return convert<T, std::uint32_t>(from, count, to, same);
    case dtype::i32:
      return convert<T, std::int32_t>(from, count, to, same);
    case dtype::f32:
      return convert<T, float>(from, count, to, same);
    case dtype::u64:
      return convert<T, std::uint64_t>(from, count, to, same);
    case dtype::i64:
      return convert<T, std::int64_t>(from, count, to, same);
    case dtype::f64:
      return convert<T, double>(from, count, to, same);
  }
  return false;
}

}  // namespace detail

}  // namespace milkit::data
