// labels: emulated
#include <doctest/doctest.h>

#include <cstdio>

#include <sys/wait.h>
#include <unistd.h>

#include <milkit/core/to_backend.cuh>

#include <support/emulation.hpp>
#include <support/paths.hpp>

// The emulator must find what a card would answer with a hang, a crash or a wrong result: each fault is planted here.
using namespace milkit;
using test::with_order;

namespace {

struct late_thread_kernel {
  static constexpr int threads = 64;
  __device__ void operator()() const {
    if (threadIdx.x == 5) return;
    __syncthreads();
  }
};

struct two_barriers_kernel {
  static constexpr int threads = 64;
  __device__ void operator()() const {
    if (threadIdx.x < 32) __syncthreads();
    else __syncthreads();
  }
};

struct absent_lane_kernel {
  static constexpr int threads = 32;
  int* out;
  __device__ void operator()() const {
    if (threadIdx.x >= 16) return;
    out[threadIdx.x] = __shfl_xor_sync(0xFFFFFFFFu, 1, 16);
  }
};

struct lane_outside_mask_kernel {
  static constexpr int threads = 32;
  int* out;
  __device__ void operator()() const {
    if (threadIdx.x < 16) out[threadIdx.x] = __shfl_sync(0x0000FFFFu, 1, 20);
  }
};

struct misaligned_kernel {
  static constexpr int threads = 32;
  const float* in;
  float* out;
  __attribute__((no_sanitize("alignment"))) __device__ void operator()() const {  // which would end the program
    const float4 v = reinterpret_cast<const float4*>(in)[0];
    out[threadIdx.x] = v.x + v.w;
  }
};

/// The neighbour's value through shared memory, with or without the barrier that it needs.
struct neighbour_kernel {
  static constexpr int threads = 64;
  int* out;
  bool barrier;
  __device__ void operator()() const {
    __shared__ int values[64];
    values[threadIdx.x] = static_cast<int>(threadIdx.x + 100 * blockIdx.x);
    if (barrier) __syncthreads();
    out[blockIdx.x * 64 + threadIdx.x] = values[(threadIdx.x + 1) % 64];
    if (barrier) __syncthreads();
  }
};

/// CUB's storage is used twice, with or without the barrier between.
struct reuse_kernel {
  static constexpr int threads = 64;
  int* out;
  bool barrier;
  __device__ void operator()() const {
    using reduce = cub::BlockReduce<int, threads>;
    __shared__ typename reduce::TempStorage storage;
    const int first = reduce(storage).Reduce(static_cast<int>(threadIdx.x), sum_of_two());
    if (barrier) __syncthreads();
    const int second = reduce(storage).Reduce(1000, sum_of_two());
    if (threadIdx.x == 0) out[0] = first, out[1] = second;
  }
};

struct everything_kernel {
  static constexpr int threads = 96;
  int* out;
  __device__ void operator()() const {
    const unsigned t = threadIdx.x, lane = t % 32;
    const int sum = warp_sum(static_cast<int>(lane));
    const int up = __shfl_up_sync(0xFFFFFFFFu, static_cast<int>(t), 1),
              down = __shfl_down_sync(0xFFFFFFFFu, static_cast<int>(t), 2);
    const unsigned odd = __ballot_sync(0xFFFFFFFFu, t % 2 == 1);
    const int total = block_sum<threads>(static_cast<int>(t));
    const bool good = sum == 496 && up == static_cast<int>(lane ? t - 1 : t) &&
                      down == static_cast<int>(lane < 30 ? t + 2 : t) && odd == 0xAAAAAAAAu && total == 96 * 95 / 2 &&
                      __any_sync(0xFFFFFFFFu, lane == 3) && !__all_sync(0xFFFFFFFFu, lane == 3);
    if (good) atomicAdd(out, 1);
    __syncwarp();
  }
};

/// Reads one element too far, of an array on the card or of shared memory.
struct too_far_kernel {
  static constexpr int threads = 32;
  int* array;
  int shared_index;
  __device__ void operator()() const {
    __shared__ int values[32];
    values[threadIdx.x] = 1;
    __syncthreads();
    if (threadIdx.x == 0) array[0] = values[shared_index] + array[1];
  }
};

/// True if a child process that calls `body` does not end well.
bool kills([[maybe_unused]] auto body) {
#if defined(EMULATION_ASAN)
  const pid_t child = fork();
  if (child == 0) {
    static_cast<void>(std::freopen("/dev/null", "w", stderr));
    body();
    _exit(0);
  }
  int status = 0;
  waitpid(child, &status, 0);
  return status != 0;
#else
  throw test::skipped("the address sanitizer sees this fault");
#endif
}

std::vector<int> ran(milkit::cuda& gpu, auto kernel, std::int64_t blocks, std::int64_t size) {
  device_tensor<int, 1> out({size});
  kernel.out = out.data();
  launch(gpu, {blocks}, kernel);
  return test::host_values(gpu, out);
}

}  // namespace

TEST_CASE("emulator: a thread that returns before the barrier of the others is a fault") {
  milkit::cuda gpu;
  for (const std::uint64_t seed : {0u, 1u, 7u})
    with_order(seed, [&] {
      CHECK_THROWS_WITH_AS(launch(gpu, {1}, late_thread_kernel{}), doctest::Contains("1 of 64 threads have returned"),
                           emulation::fault);
    });
  launch(gpu, {1}, neighbour_kernel{device_tensor<int, 1>({64}).data(), true});  // the emulator goes on
}

TEST_CASE("emulator: threads that wait at two barriers are a fault") {
  milkit::cuda gpu;
  CHECK_THROWS_WITH_AS(launch(gpu, {1}, two_barriers_kernel{}), doctest::Contains("divergent __syncthreads"),
                       emulation::fault);
}

TEST_CASE("emulator: a shuffle with lanes that have returned, or that its mask lacks, is a fault") {
  milkit::cuda gpu;
  device_tensor<int, 1> out({32});
  CHECK_THROWS_WITH_AS(launch(gpu, {1}, absent_lane_kernel{out.data()}),
                       doctest::Contains("lanes of its warp that never come"), emulation::fault);
  CHECK_THROWS_WITH_AS(launch(gpu, {1}, lane_outside_mask_kernel{out.data()}),
                       doctest::Contains("lane 20, which is absent"), emulation::fault);
}

TEST_CASE("emulator: a misaligned vector load is a fault") {
  milkit::cuda gpu;
  device_tensor<float, 1> in({8}), out({32});
  launch(gpu, {1}, misaligned_kernel{in.data(), out.data()});
  CHECK_THROWS_WITH_AS(launch(gpu, {1}, misaligned_kernel{in.data() + 1, out.data()}),
                       doctest::Contains("a misaligned access"), emulation::fault);
}

TEST_CASE(
    "emulator: the address sanitizer sees accesses outside arrays and shared memory, and device memory touched by the "
    "host") {
  milkit::cuda gpu;
  device_tensor<int, 1> one({1}), two({2});
  CHECK_FALSE(kills([&] { launch(gpu, {1}, too_far_kernel{two.data(), 31}); }));
  CHECK(kills([&] { launch(gpu, {1}, too_far_kernel{one.data(), 31}); }));
  CHECK(kills([&] { launch(gpu, {1}, too_far_kernel{two.data(), 32}); }));
  CHECK(kills([&] { *static_cast<volatile int*>(two.data()) = 1; }));
}

TEST_CASE("emulator: the order of the threads shows a missing barrier, and changes nothing where there is one") {
  milkit::cuda gpu;
  const auto with = [&](std::uint64_t seed, bool barrier) {
    std::vector<int> out;
    with_order(seed, [&] { out = ran(gpu, neighbour_kernel{nullptr, barrier}, 3, 192); });
    return out;
  };
  const auto right = with(0, true);
  for (int i = 0; i < 192; ++i) CHECK(right[static_cast<std::size_t>(i)] == i / 64 * 100 + (i % 64 + 1) % 64);
  for (const std::uint64_t seed : {1u, 2u, 3u}) {
    CHECK(with(seed, true) == right);
    CHECK(with(seed, false) != right);
  }
}

TEST_CASE("emulator: CUB's storage used again without a barrier shows in the result") {
  milkit::cuda gpu;
  const auto with = [&](std::uint64_t seed, bool barrier) {
    std::vector<int> out;
    with_order(seed, [&] { out = ran(gpu, reuse_kernel{nullptr, barrier}, 1, 2); });
    return out;
  };
  for (const std::uint64_t seed : {0u, 1u, 2u, 3u}) CHECK(with(seed, true) == std::vector<int>{2016, 64000});
  CHECK(with(1, false) != std::vector<int>{2016, 64000});
}

TEST_CASE("emulator: warp and block operations give what the manual says, in any order") {
  milkit::cuda gpu;
  for (const std::uint64_t seed : {0u, 1u, 2u})
    with_order(seed, [&] { CHECK(ran(gpu, everything_kernel{}, 5, 1) == std::vector<int>{5 * 96}); });
}

TEST_CASE("emulator: a grid or a block that no card takes is refused by the launch") {
  milkit::cuda gpu;
  cudaLaunchConfig_t config{};
  config.gridDim = dim3(1, 65536);
  config.blockDim = dim3(32);
  CHECK(cudaLaunchKernelEx(&config, detail::run_kernel<late_thread_kernel>, late_thread_kernel{}) ==
        cudaErrorInvalidConfiguration);
  CHECK_THROWS_AS(launch(gpu, {1, 65536}, late_thread_kernel{}), value_error);
  static_cast<void>(cudaGetLastError());
}

TEST_CASE("emulator: copies outside what was allocated, or in the wrong direction, are refused") {
  device_tensor<float, 1> device({8});
  std::vector<float> host(16);
  CHECK(cudaMemcpyAsync(device.data(), host.data(), 32, cudaMemcpyHostToDevice) == cudaSuccess);
  CHECK(cudaMemcpyAsync(device.data(), host.data(), 36, cudaMemcpyHostToDevice) == cudaErrorInvalidValue);
  CHECK(cudaMemcpyAsync(device.data(), host.data(), 32, cudaMemcpyDeviceToHost) == cudaErrorInvalidValue);
  CHECK(cudaMemcpyAsync(host.data(), host.data(), 32, cudaMemcpyHostToDevice) == cudaErrorInvalidValue);
  static_cast<void>(cudaGetLastError());
}
