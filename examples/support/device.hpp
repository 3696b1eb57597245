#pragma once
// --device cpu|cuda: the same work on a backend that the user chooses.

#include <string>

#include <milkit/core/cpu.hpp>
#if defined(MILKIT_EXAMPLE_CUDA)  // by CMake, in builds with CUDA
#include <milkit/milkit_cuda.cuh>
#endif

namespace example {

struct device {
  std::string name = "cpu";
  int threads = 0;  // of the CPU; 0: one a core
};

#if defined(MILKIT_EXAMPLE_CUDA)
template <class Body>
void on_cuda(Body&& body) {
  milkit::cuda gpu;
  body(gpu);
}
#else
template <class Body>
void on_cuda(Body&&) {
  throw milkit::value_error(
      "--device cuda: this program was built without CUDA; to build it with CUDA, run: cmake --preset cuda && cmake "
      "--build "
      "build/cuda --target milkit_examples");
}
#endif

// body(backend), on the backend of the device.
template <class Body>
void on_device(const device& where, Body&& body) {
  if (where.name == "cuda") return on_cuda(body);
  milkit::cpu backend{.threads = where.threads};
  body(backend);
}

}  // namespace example
