#pragma once
/// What kernels call: warp operations, atomics, vector types.

#include <cstring>

#include "block.hpp"

namespace emulation {

inline constexpr unsigned no_lane = 32;

/// Every lane gives `value` and gets the one of the lane that `source(own lane)` names; its own where that is `no_lane`.
template <class T, class Source>
T shuffle(unsigned mask, T value, const place& where, Source source) {
  auto& runner = block_runner::here("a warp shuffle");
  const unsigned lane = runner.current().lane;
  struct slot {
    T value;
    unsigned from;
  } own{value, source(lane)};
  if (own.from != no_lane && !(mask >> own.from & 1u))
    throw fault(runner.describe(runner.current()) + ": the shuffle at " + text_of(where) + " reads lane " +
                std::to_string(own.from) + ", which is absent from its mask");
  runner.meet(mask, where, own, [](slot** lanes) {
    T before[32] = {};
    for (int i = 0; i < 32; ++i)
      if (lanes[i]) before[i] = lanes[i]->value;
    for (int i = 0; i < 32; ++i)
      if (lanes[i] && lanes[i]->from != no_lane) lanes[i]->value = before[lanes[i]->from];
  });
  return own.value;
}

/// Every lane gets `combine` of all lanes' values.
template <class T, class Combine>
T combine(unsigned mask, T value, const place& where, Combine combine) {
  block_runner::here("a warp operation").meet(mask, where, value, [&](T** lanes) {
    const T all = combine(static_cast<T* const*>(lanes));
    for (int i = 0; i < 32; ++i)
      if (lanes[i]) *lanes[i] = all;
  });
  return value;
}

/// Throws where a vector is read or written at an address that its size does not divide: a crash on a card.
template <std::size_t Alignment>
void expect_aligned(std::uintptr_t data) {
  asm volatile("" : "+r"(data));  // the compiler believes the type's alignment, and would drop the test
  if (data % Alignment == 0) return;
  const std::string text = "a misaligned access: a vector of " + std::to_string(Alignment) + " bytes at an address " +
                           std::to_string(data % Alignment) + " bytes behind a multiple";
  throw fault(block_runner::running()
                  ? block_runner::running()->describe(block_runner::running()->current()) + ": " + text
                  : text);
}

template <class Derived, std::size_t Bytes>
struct checked {
  checked() = default;
  checked(const checked& other) { expect_aligned<Bytes>(reinterpret_cast<std::uintptr_t>(&other)); }
  checked& operator=(const checked& other) {
    expect_aligned<Bytes>(reinterpret_cast<std::uintptr_t>(this));
    expect_aligned<Bytes>(reinterpret_cast<std::uintptr_t>(&other));
    return *this;
  }
};

}  // namespace emulation

template <class T>
T __shfl_sync(unsigned mask, T value, int source, int width = 32,
              const emulation::place& where = emulation::place::current()) {
  const unsigned w = static_cast<unsigned>(width), s = static_cast<unsigned>(source);
  return emulation::shuffle(mask, value, where, [=](unsigned lane) { return lane / w * w + s % w; });
}
template <class T>
T __shfl_xor_sync(unsigned mask, T value, int bits, int width = 32,
                  const emulation::place& where = emulation::place::current()) {
  const unsigned w = static_cast<unsigned>(width), b = static_cast<unsigned>(bits);
  return emulation::shuffle(mask, value, where,
                            [=](unsigned lane) { return (lane ^ b) / w <= lane / w ? lane ^ b : emulation::no_lane; });
}
template <class T>
T __shfl_down_sync(unsigned mask, T value, unsigned delta, int width = 32,
                   const emulation::place& where = emulation::place::current()) {
  const unsigned w = static_cast<unsigned>(width);
  return emulation::shuffle(mask, value, where,
                            [=](unsigned lane) { return lane % w + delta < w ? lane + delta : emulation::no_lane; });
}
template <class T>
T __shfl_up_sync(unsigned mask, T value, unsigned delta, int width = 32,
                 const emulation::place& where = emulation::place::current()) {
  const unsigned w = static_cast<unsigned>(width);
  return emulation::shuffle(mask, value, where,
                            [=](unsigned lane) { return lane % w >= delta ? lane - delta : emulation::no_lane; });
}
inline unsigned __ballot_sync(unsigned mask, int vote, const emulation::place& where = emulation::place::current()) {
  return emulation::combine(mask, vote ? 1u : 0u, where, [](unsigned* const* lanes) {
    unsigned all = 0;
    for (unsigned i = 0; i < 32; ++i)
      if (lanes[i] && *lanes[i]) all |= 1u << i;
    return all;
  });
}
inline int __any_sync(unsigned mask, int vote, const emulation::place& where = emulation::place::current()) {
  return __ballot_sync(mask, vote, where) != 0;
}
inline int __all_sync(unsigned mask, int vote, const emulation::place& where = emulation::place::current()) {
  return __ballot_sync(mask, vote, where) == mask;
}
inline unsigned __reduce_add_sync(unsigned mask, unsigned value,
                                  const emulation::place& where = emulation::place::current()) {
  return emulation::combine(mask, value, where, [](unsigned* const* lanes) {
    unsigned sum = 0;
    for (int i = 0; i < 32; ++i) sum += lanes[i] ? *lanes[i] : 0;
    return sum;
  });
}
inline void __syncwarp(unsigned mask = 0xFFFFFFFFu, const emulation::place& where = emulation::place::current()) {
  __ballot_sync(mask, 0, where);
}

template <class T>
T atomicAdd(T* at, T value) {
  return std::exchange(*at, *at + value);
}
template <class T>
T atomicMax(T* at, T value) {
  return std::exchange(*at, (std::max)(*at, value));
}
template <class T>
T atomicMin(T* at, T value) {
  return std::exchange(*at, (std::min)(*at, value));
}
template <class T>
T atomicExch(T* at, T value) {
  return std::exchange(*at, value);
}
template <class T>
T atomicCAS(T* at, T compare, T value) {
  return std::exchange(*at, *at == compare ? value : *at);
}

struct alignas(8) float2 : private emulation::checked<float2, 8> {
  float x, y;
};
struct alignas(16) float4 : private emulation::checked<float4, 16> {
  float x, y, z, w;
};
struct alignas(16) double2 : private emulation::checked<double2, 16> {
  double x, y;
};
struct alignas(16) int4 : private emulation::checked<int4, 16> {
  int x, y, z, w;
};
inline float4 make_float4(float x, float y, float z, float w) {
  float4 v;
  v.x = x, v.y = y, v.z = z, v.w = w;
  return v;
}
inline double2 make_double2(double x, double y) {
  double2 v;
  v.x = x, v.y = y;
  return v;
}

template <class T>
T __ldg(const T* at) {
  emulation::expect_aligned<alignof(T)>(reinterpret_cast<std::uintptr_t>(at));
  return *at;
}
