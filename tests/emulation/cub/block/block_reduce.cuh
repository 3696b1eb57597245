#pragma once
/// Stands in for CUB: every thread writes its value to the temporary storage, all meet, and the first thread combines them in
/// order. As in CUB the result is the first thread's alone, and the storage must not be used again without a barrier between.

#include <cuda_runtime.h>

namespace cub {

template <class T, int BlockDimX>
class BlockReduce {
 public:
  struct TempStorage {
    T values[static_cast<unsigned>(BlockDimX)];
  };
  explicit BlockReduce(TempStorage& storage) : storage_(storage) {}

  template <class Combine>
  T Reduce(T value, Combine combine, const emulation::place& where = emulation::place::current()) {
    const unsigned number = emulation::block_runner::here("cub::BlockReduce").current().number;
    if (blockDim.x * blockDim.y * blockDim.z != static_cast<unsigned>(BlockDimX))
      throw emulation::fault("cub::BlockReduce for " + std::to_string(BlockDimX) +
                             " threads in a block of another size");
    storage_.values[number] = value;
    __syncthreads(where);
    T all = storage_.values[0];
    if (number == 0)
      for (int i = 1; i < BlockDimX; ++i) all = combine(all, storage_.values[i]);
    return all;
  }
  T Sum(T value, const emulation::place& where = emulation::place::current()) {
    return Reduce(
        value, [](const T& a, const T& b) { return a + b; }, where);
  }

 private:
  TempStorage& storage_;
};

}  // namespace cub
