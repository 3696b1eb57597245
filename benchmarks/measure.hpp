#pragma once

#include <unistd.h>
#include <algorithm>
#include <chrono>
#include <ctime>
#include <fstream>
#include <string>
#include <type_traits>

#include <benchmark/benchmark.h>

#include <milkit/core/parallel_for.hpp>
#include <milkit/ops/products/matmul_cblas.hpp>
#include <milkit/ops/products/matmul_onednn.hpp>

#include <support/close.hpp>

#include "uniform.hpp"

/// What the benchmarks share: the speed that the machine could reach, counters, memory, and the matrix products to
/// choose from.
namespace milkit::bench {

namespace detail {

/// Turns of a loop of twelve independent float multiply-adds between registers: more than two units with a latency of
/// four need. In assembly, because compilers store the accumulators in every turn, or find out what some of them will
/// be.
#if defined(__AVX512F__) || (defined(__AVX2__) && defined(__FMA__))
#if defined(__AVX512F__)
#define MILKIT_REGISTER "zmm"
inline constexpr int lanes = 16;
#else
#define MILKIT_REGISTER "ymm"
inline constexpr int lanes = 8;
#endif
#define MILKIT_COPY(i) "vmovaps %%" MILKIT_REGISTER "12, %%" MILKIT_REGISTER #i "\n"
#define MILKIT_MULTIPLY_ADD(i) \
  "vfmadd231ps %%" MILKIT_REGISTER "12, %%" MILKIT_REGISTER "13, %%" MILKIT_REGISTER #i "\n"
#define MILKIT_TWELVE(each) \
  each(0) each(1) each(2) each(3) each(4) each(5) each(6) each(7) each(8) each(9) each(10) each(11)
inline void multiply_add(std::int64_t turns) {
  const float factor = 1e-3f;
  __asm__ volatile("vbroadcastss %1, %%" MILKIT_REGISTER "12\n" MILKIT_COPY(13) MILKIT_TWELVE(
                       MILKIT_COPY) ".p2align 5\n1:\n" MILKIT_TWELVE(MILKIT_MULTIPLY_ADD) "dec %0\n jnz 1b\n"
                   : "+r"(turns)
                   : "m"(factor)
                   : "cc", "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10",
                     "xmm11", "xmm12", "xmm13");
}
#undef MILKIT_REGISTER
#undef MILKIT_COPY
#undef MILKIT_MULTIPLY_ADD
#undef MILKIT_TWELVE
#else
inline constexpr int lanes = 4;
inline void multiply_add(std::int64_t turns) {
  float x[12][lanes] = {};
  const float factor = 1e-3f;
  for (std::int64_t i = 0; i < turns; ++i)
    for (auto& one : x)
      for (float& each : one) each += factor * factor;
  benchmark::DoNotOptimize(x);
}
#endif

}  // namespace detail

/// FLOPs by the second of the clock, and by the second that a processor worked for this program alone. Other programs
/// on the machine disturb the latter less.
struct speed {
  double clock = 0, processor = 0;
};

/// Float FLOP/s of a loop of multiply-adds that touches registers alone, on so many threads at once: the best of ten
/// runs of some milliseconds, because other work on the machine can only slow it down.
inline speed fma_peak(int threads) {
  constexpr std::int64_t turns = 2'000'000;
  cpu backend{.threads = threads};
  speed best;
  for (int run = 0; run < 10; ++run) {
    const auto start = std::chrono::steady_clock::now();
    const std::clock_t processor_start = std::clock();
    parallel_for(backend, threads, 1, [](row_range) { detail::multiply_add(turns); });
    const double processor = static_cast<double>(std::clock() - processor_start) / CLOCKS_PER_SEC;
    const std::chrono::duration<double> clock = std::chrono::steady_clock::now() - start;
    const double flops = 2.0 * 12 * detail::lanes * turns * threads;
    best.clock = (std::max)(best.clock, flops / clock.count());
    best.processor = (std::max)(best.processor, flops / processor);
  }
  return best;
}

/// The matrix products that every benchmark of a product runs with.
struct named_gemm {
  const char* name;
  gemm_library library;
};
inline constexpr named_gemm products[] = {{"eigen", {}}, {"onednn", onednn_gemm}, {"openblas", cblas_gemm}};

/// Runs the benchmark's loop over `body`, which does so much work each time, and counts: "of peak" is the share of the
/// FMA peak that is measured just before, "of peak, cpu" the same by processor time.
template <class Body>
void measure(benchmark::State& state, int threads, double flops, double bytes, Body&& body) {
  const speed peak = fma_peak(threads);
  body();
  std::clock_t processor = std::clock();
  for (auto _ : state) body();
  processor = std::clock() - processor;
  using benchmark::Counter;
  state.counters["FLOP/s"] = Counter(flops, Counter::kIsIterationInvariantRate);
  state.counters["bytes/s"] = Counter(bytes, Counter::kIsIterationInvariantRate);
  state.counters["of peak"] = Counter(flops / peak.clock, Counter::kIsIterationInvariantRate);
  state.counters["of peak, cpu"] = flops * static_cast<double>(state.iterations()) * CLOCKS_PER_SEC /
                                   static_cast<double>(processor) / peak.processor;
  state.counters["peak FLOP/s"] = peak.clock;
  state.counters["peak FLOP/s, cpu"] = peak.processor;
}

/// Resident bytes now, or the most there were since `restart_peak()`; 0 where the system has no /proc.
inline double resident_bytes(bool peak = false) {
  std::ifstream file("/proc/self/status");
  const std::string wanted = peak ? "VmHWM:" : "VmRSS:";
  for (std::string word; file >> word;)
    if (double kibibytes = 0; word == wanted && file >> kibibytes) return kibibytes * 1024;
  return 0;
}
inline void restart_peak() { std::ofstream("/proc/self/clear_refs") << "5"; }

}  // namespace milkit::bench
