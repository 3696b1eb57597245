#pragma once

#include <cstdint>
#include <cstring>

#include <milkit/core/normal.hpp>
#include <milkit/core/random.hpp>

#if defined(__AVX2__)
#include <immintrin.h>
#endif

namespace milkit {

/// The words of `blocks` Philox blocks of a stream, those of the instances first, first + 1, ... in one draw. `words`
/// holds 4 blocks of them, rounded up to a multiple of 32: the rest may be overwritten.
inline void philox_words(const random_stream& stream, std::int64_t first, std::int64_t draw, std::int64_t blocks,
                         std::uint32_t* words);
/// The same of one instance in the draws first, first + 1, ....
inline void philox_draws(const random_stream& stream, std::int64_t instance, std::int64_t first, std::int64_t blocks,
                         std::uint32_t* words);

/// Z = `normal_fixed` of each word; `count` is a multiple of 64. In three passes, of which only the middle one, the
/// look-up, is not on vectors: gathers are slower than loads one by one on half of the processors.
inline void normals_of(const normal_table& table, const std::uint32_t* words, std::int64_t count, std::int32_t* z) {
  constexpr int lanes = 64;
  for (std::int64_t first = 0; first < count; first += lanes, words += lanes, z += lanes) {
    std::uint32_t index[lanes];
    std::int32_t y[lanes];
    std::uint64_t segment[lanes];
    for (int i = 0; i < lanes; ++i) {
      const auto tail = static_cast<float>(static_cast<std::int32_t>(words[i] >> 1 | 1u));
      const auto bits = __builtin_bit_cast(std::uint32_t, tail);
      index[i] = normal_index(bits);
      y[i] = normal_place(bits);
    }
    for (int i = 0; i < lanes; ++i) std::memcpy(&segment[i], &table.segment[index[i]], sizeof segment[i]);
    for (int i = 0; i < lanes; ++i) z[i] = normal_at(segment[i], y[i], words[i]);
  }
}

#if defined(__AVX2__)

namespace detail {

/// Eight blocks: four to a register, a word in each 64-bit half-lane, so that a product needs no shuffling. The last
/// four are those of draw + next_draw and instance + next_instance.
inline void eight_philox_blocks(__m256i draw, __m256i instance, std::int64_t next_draw, std::int64_t next_instance,
                                std::uint32_t key0, std::uint32_t key1, std::uint32_t* words) {
  const __m256i factor0 = _mm256_set1_epi64x(0xD2511F53), factor1 = _mm256_set1_epi64x(0xCD9E8D57);
  __m256i c[2][4];
  for (int i = 0; i < 2; ++i) {
    c[i][0] = draw, c[i][1] = _mm256_srli_epi64(draw, 32);
    c[i][2] = instance, c[i][3] = _mm256_srli_epi64(instance, 32);
    draw = _mm256_add_epi64(draw, _mm256_set1_epi64x(next_draw));
    instance = _mm256_add_epi64(instance, _mm256_set1_epi64x(next_instance));
  }
  for (int round = 0; round < 10; ++round, key0 += 0x9E3779B9u, key1 += 0xBB67AE85u)
    for (auto& b : c) {
      const __m256i product0 = _mm256_mul_epu32(b[0], factor0), product1 = _mm256_mul_epu32(b[2], factor1);
      const __m256i high0 = _mm256_srli_epi64(product0, 32), high1 = _mm256_srli_epi64(product1, 32);
      b[0] = _mm256_xor_si256(_mm256_xor_si256(high1, b[1]), _mm256_set1_epi64x(key0));
      b[2] = _mm256_xor_si256(_mm256_xor_si256(high0, b[3]), _mm256_set1_epi64x(key1));
      b[1] = product1, b[3] = product0;  // their upper halves mean nothing
    }
  for (auto& b : c) {
    const __m256i low = _mm256_blend_epi32(b[0], _mm256_slli_epi64(b[1], 32), 0xAA);
    const __m256i high = _mm256_blend_epi32(b[2], _mm256_slli_epi64(b[3], 32), 0xAA);
    const __m256i even = _mm256_unpacklo_epi64(low, high), odd = _mm256_unpackhi_epi64(low, high);
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(words), _mm256_permute2x128_si256(even, odd, 0x20));
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(words + 8), _mm256_permute2x128_si256(even, odd, 0x31));
    words += 16;
  }
}

}  // namespace detail

inline void philox_words(const random_stream& stream, std::int64_t first, std::int64_t draw, std::int64_t blocks,
                         std::uint32_t* words) {
  const __m256i up = _mm256_set_epi64x(3, 2, 1, 0), same = _mm256_set1_epi64x(draw);
  for (std::int64_t i = 0; i < blocks; i += 8)
    detail::eight_philox_blocks(same, _mm256_add_epi64(_mm256_set1_epi64x(first + i), up), 0, 4, stream.key0(),
                                stream.key1(), words + 4 * i);
}
inline void philox_draws(const random_stream& stream, std::int64_t instance, std::int64_t first, std::int64_t blocks,
                         std::uint32_t* words) {
  const __m256i up = _mm256_set_epi64x(3, 2, 1, 0), same = _mm256_set1_epi64x(instance);
  for (std::int64_t i = 0; i < blocks; i += 8)
    detail::eight_philox_blocks(_mm256_add_epi64(_mm256_set1_epi64x(first + i), up), same, 4, 0, stream.key0(),
                                stream.key1(), words + 4 * i);
}

#else

namespace detail {
inline void philox_block_words(const random_stream& stream, std::int64_t instance, std::int64_t draw,
                               std::uint32_t* words) {
  const philox_block b = stream.bits(static_cast<std::uint64_t>(instance), static_cast<std::uint64_t>(draw));
  for (int w = 0; w < 4; ++w) words[w] = b.word[w];
}
}  // namespace detail

inline void philox_words(const random_stream& stream, std::int64_t first, std::int64_t draw, std::int64_t blocks,
                         std::uint32_t* words) {
  for (std::int64_t i = 0; i < blocks; ++i) detail::philox_block_words(stream, first + i, draw, words + 4 * i);
}
inline void philox_draws(const random_stream& stream, std::int64_t instance, std::int64_t first, std::int64_t blocks,
                         std::uint32_t* words) {
  for (std::int64_t i = 0; i < blocks; ++i) detail::philox_block_words(stream, instance, first + i, words + 4 * i);
}

#endif

}  // namespace milkit
