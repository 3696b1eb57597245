#pragma once

#include <cub/block/block_reduce.cuh>

#include <milkit/core/cuda.cuh>

/// Hidden, because a kernel that two shared libraries both define would be one of them for both.
#define MILKIT_KERNEL __attribute__((visibility("hidden"))) __global__

namespace milkit {

/// What one thread of a kernel sees of the grid, in 64 bits.
struct grid_position {
  __device__ static std::int64_t thread() { return std::int64_t{blockIdx.x} * blockDim.x + threadIdx.x; }
  __device__ static std::int64_t threads() { return std::int64_t{gridDim.x} * blockDim.x; }
};

/// How many blocks, of which the x extent may be any number that a kernel with a grid-stride loop is happy with.
struct grid {
  std::int64_t x = 1, y = 1;
};

namespace detail {
template <class Kernel>
MILKIT_KERNEL void __launch_bounds__(Kernel::threads) run_kernel(const __grid_constant__ Kernel kernel) {
  kernel();
}
}  // namespace detail

/// Runs a kernel on the backend's stream. A kernel is a struct: its members are the arguments, `threads` is the size of its
/// blocks, a multiple of 32, and `__device__ void operator()() const` is what each thread does. An empty grid runs nothing.
/// Errors: cuda_error that names the kernel; value_error for more than 65535 blocks along y.
template <class Kernel>
void launch(cuda& backend, const grid& blocks, const Kernel& kernel, const call_place& where = call_place::current()) {
  static_assert(Kernel::threads % 32 == 0 && Kernel::threads <= 1024,
                "milkit::launch: whole warps, at most 1024 threads");
  static_assert(sizeof(Kernel) <= 4096, "milkit::launch: the arguments of a kernel take at most 4 KiB");
  if (blocks.x <= 0 || blocks.y <= 0) return;
  expect_value(blocks.x <= 0x7FFFFFFF && blocks.y <= 65535, where.function, "the grid is ", blocks.x, " by ", blocks.y,
               " blocks, expected at most 2147483647 by 65535");
  backend.activate();
  cudaLaunchConfig_t config{};
  config.gridDim = dim3(static_cast<unsigned>(blocks.x), static_cast<unsigned>(blocks.y));
  config.blockDim = dim3(Kernel::threads);
  config.stream = backend.stream();
  expect_cuda(cudaLaunchKernelEx(&config, detail::run_kernel<Kernel>, kernel), "launch of a kernel", where);
}

/// Enough blocks for `n` items, `per_block` each, and no more than keep the card busy: for kernels with a grid-stride loop.
inline std::int64_t blocks_for(const cuda& backend, std::int64_t n, std::int64_t per_block) {
  return (std::min)(chunk_count(n, per_block), std::int64_t{backend.processors()} * 16);
}

namespace detail {
/// f(i, j) for every element of a table, consecutive threads on consecutive columns.
template <class Element>
struct elementwise_kernel {
  static constexpr int threads = 256;
  Element element;
  std::int64_t rows, cols;

  __device__ void operator()() const {
    const std::int64_t count = rows * cols;
    for (std::int64_t e = grid_position::thread(); e < count; e += grid_position::threads()) {
      if (rows == 1) {
        element(std::int64_t{0}, e);
      } else if (count <= 0xFFFFFFFF) {  // a division of 64 bits takes several times as long
        const auto row = static_cast<std::uint32_t>(e) / static_cast<std::uint32_t>(cols);
        element(std::int64_t{row},
                std::int64_t{static_cast<std::uint32_t>(e) - row * static_cast<std::uint32_t>(cols)});
      } else {
        element(e / cols, e % cols);
      }
    }
  }
};
}  // namespace detail

/// `element(i, j)` for every i < rows and j < cols; a struct with a `__device__` call operator.
template <class Element>
void for_each_element(cuda& backend, std::int64_t rows, std::int64_t cols, const Element& element,
                      const call_place& where = call_place::current()) {
  using kernel = detail::elementwise_kernel<Element>;
  launch(backend, {blocks_for(backend, rows * cols, kernel::threads)}, kernel{element, rows, cols}, where);
}

/// The sum of term(i) for i = first, first + step, ... below `last`, of a thread: in the terms' type for 128 of them, in double
/// between these blocks. Double arithmetic, slow on most cards, is one in 128 operations.
template <class Term>
__device__ double blocked_sum(std::int64_t first, std::int64_t last, std::int64_t step, const Term& term) {
  double total = 0;
  while (first < last) {
    decltype(term(first)) sum = 0;
    for (int k = 0; k < 128 && first < last; ++k, first += step) sum += term(first);
    total += static_cast<double>(sum);
  }
  return total;
}

struct sum_of_two {
  template <class T>
  __device__ T operator()(const T& a, const T& b) const {
    return a + b;
  }
};
/// The larger one; a NaN only where both are.
struct larger_number {
  template <class T>
  __device__ T operator()(const T& a, const T& b) const {
    return a > b || b != b ? a : b;
  }
};

/// `combine` over the warp, for every lane: all 32 must call it. Of sums every lane gets the same bits.
template <class T, class Combine>
__device__ T warp_combine(T value, Combine combine) {
  for (int bits = 16; bits > 0; bits /= 2) value = combine(value, __shfl_xor_sync(0xFFFFFFFFu, value, bits));
  return value;
}
template <class T>
__device__ T warp_sum(T value) {
  return warp_combine(value, sum_of_two());
}

/// `combine` over all threads of the block, which must all call it; every thread gets the result.
template <int Threads, class T, class Combine>
__device__ T block_combine(T value, Combine combine) {
  using reduce = cub::BlockReduce<T, Threads>;
  __shared__ typename reduce::TempStorage storage;
  __shared__ T result;
  const T first = reduce(storage).Reduce(value, combine);
  if (threadIdx.x == 0) result = first;
  __syncthreads();
  const T all = result;
  __syncthreads();  // the next call writes over it
  return all;
}

template <int Threads, class T>
__device__ T block_sum(T value) {
  return block_combine<Threads>(value, sum_of_two());
}

/// The sum of the integers of all threads before this one; `total` of all. To be called by all threads of the block.
template <int Threads, class T>
__device__ T sum_before(T value, T& total) {
  __shared__ T of_warp[static_cast<unsigned>(Threads / 32)];
  const unsigned lane = threadIdx.x % 32, warp = threadIdx.x / 32;
  T sum = value;
  for (unsigned step = 1; step < 32; step *= 2) {
    const T other = __shfl_up_sync(0xFFFFFFFFu, sum, step);
    sum += lane >= step ? other : T(0);
  }
  if (lane == 31) of_warp[warp] = sum;
  __syncthreads();
  T before = 0;
  total = 0;
  for (unsigned w = 0; w < Threads / 32; ++w) {
    before += w < warp ? of_warp[w] : T(0);
    total += of_warp[w];
  }
  __syncthreads();  // the next call writes over it
  return before + sum - value;
}

}  // namespace milkit
