// Every op once on the card, with nothing but nvcc: benchmarks/cuda.sh runs it before it measures.
#include <cstdio>

#include "../../tests/cuda/everything.cuh"

int main() {
  try {
    milkit::cuda gpu;
    milkit::test::launch_everything<float>(gpu);
    milkit::test::launch_everything<double>(gpu);
    gpu.synchronize();
  } catch (const milkit::cuda_error& error) {
    const bool no_card = error.code == cudaErrorNoDevice || error.code == cudaErrorInsufficientDriver;
    std::printf("%s: %s\n", no_card ? "skipped" : "failed", error.what());
    return no_card ? 77 : 1;
  }
  std::printf("passed\n");
  return 0;
}
