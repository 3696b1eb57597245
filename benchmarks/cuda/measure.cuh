#pragma once

#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <milkit/milkit_cuda.cuh>

#include <support/close.hpp>

#include "../uniform.hpp"

/// What the benchmarks on a card share: arrays, times by the card's own clock, and a cache that holds nothing of the
/// work.
namespace milkit::bench {

/// How large the work is: as it is measured, and as the tests run it on an emulated card.
struct sizes {
  std::int64_t instances = 10'000, features = 1024, width = 512, classes = 40, bags = 16;
  std::int64_t weights = 3'000'000, patches = 200, side = 8192;
  std::int64_t copied = std::int64_t{1} << 28;     ///< floats
  std::int64_t flushed = std::int64_t{256} << 20;  ///< bytes; more than the second-level cache of any card holds
};
inline constexpr sizes tiny{.instances = 67,
                            .features = 12,
                            .width = 20,
                            .classes = 5,
                            .bags = 3,
                            .weights = 1000,
                            .patches = 2,
                            .side = 24,
                            .copied = 1000,
                            .flushed = 4096};

/// One piece of work to measure.
struct work {
  std::function<void()> queue;         ///< queues it once
  std::function<double()> error;       ///< runs it once; how far its results are from plain loops
  double bound = 1e-5;                 ///< of that
  double flops = 0;                    ///< of its matrix products and convolutions, each counted once
  double bytes = 0;                    ///< each input read once and each output written once
  bool flush = true;                   ///< each step begins with a cold cache
  std::function<void()> restore = {};  ///< before each step and beside its time: what it overwrites is put back
  double memory = 0;                   ///< bytes that it keeps beside arguments and workspace
};

struct named_work {
  std::string name;
  milkit::precision rounding;
  std::function<work(milkit::cuda&, const sizes&)> make;
};

/// An array on the card.
template <class T, int Rank>
struct card_array {
  device_tensor<T, Rank> values;

  explicit card_array(const shape<Rank>& s) : values(s) {}
  explicit card_array(const tensor<T, Rank>& host) : values(host.template to<device_space>()) {}

  auto view() { return values.view(); }
  auto read() const { return std::as_const(values).view(); }
  std::vector<double> numbers() const { return test::elements(values.template to<host_space>()); }
  void put(const tensor<T, Rank>& host) { copy_bytes(host.view(), view()); }
  void clear() { put(tensor<T, Rank>(values.shape())); }
};
/// Shared, because the functions of a `work` are copied about.
template <class T, int Rank>
using array = std::shared_ptr<card_array<T, Rank>>;

template <class T = float, int Rank>
array<T, Rank> zeros(const shape<Rank>& s) {
  return std::make_shared<card_array<T, Rank>>(s);
}
template <class T = float, int Rank>
array<T, Rank> uniform(const shape<Rank>& s, std::uint64_t seed) {
  return std::make_shared<card_array<T, Rank>>(uniform_tensor<T>(s, seed));
}
template <class T>
array<T, 1> values_of(const std::vector<T>& host) {
  tensor<T, 1> copy(shape<1>{static_cast<std::int64_t>(host.size())});
  std::copy(host.begin(), host.end(), copy.data());
  return std::make_shared<card_array<T, 1>>(copy);
}

/// A moment of the card's clock.
class moment {
 public:
  moment() { expect_cuda(cudaEventCreate(&event_), "cudaEventCreate"); }
  moment(const moment&) = delete;
  moment& operator=(const moment&) = delete;
  ~moment() { static_cast<void>(cudaEventDestroy(event_)); }

  void record(const milkit::cuda& gpu) { expect_cuda(cudaEventRecord(event_, gpu.stream()), "cudaEventRecord"); }
  double seconds_since(const moment& before) const {
    float milliseconds = 0;
    expect_cuda(cudaEventElapsedTime(&milliseconds, before.event_, event_), "cudaEventElapsedTime");
    return static_cast<double>(milliseconds) * 1e-3;
  }

 private:
  cudaEvent_t event_ = nullptr;
};

/// Seconds of each of so many steps, all queued at once. With a flush a step is timed by itself, and the host has
/// queued it before the card comes to it. Without, a time is from the end of one step to the end of the next: where the
/// host is slower than the card, the card's waiting counts.
inline std::vector<double> times_of(milkit::cuda& gpu, const work& what, std::int64_t steps,
                                    device_vector<std::byte> flushed) {
  const auto count = static_cast<std::size_t>(steps);
  std::vector<moment> starts(what.flush ? count : 1), ends(count);
  const auto step = [&](std::size_t i) {
    if (what.restore) what.restore();
    if (what.flush) {
      expect_cuda(cudaMemsetAsync(flushed.data(), static_cast<int>(i), static_cast<std::size_t>(flushed.extent(0)),
                                  gpu.stream()),
                  "cudaMemsetAsync");
      starts[i].record(gpu);
    }
    what.queue();
    ends[i].record(gpu);
  };
  for (int i = 0; i < 3; ++i) what.queue();  // memory, plans, clocks
  if (!what.flush) starts[0].record(gpu);
  for (std::size_t i = 0; i < count; ++i) step(i);
  gpu.synchronize();
  std::vector<double> seconds;
  for (std::size_t i = 0; i < count; ++i)
    seconds.push_back(ends[i].seconds_since(what.flush ? starts[i] : i == 0 ? starts[0] : ends[i - 1]));
  return seconds;
}

}  // namespace milkit::bench
