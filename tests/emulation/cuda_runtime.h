#pragma once
/// Stands in for the header of the CUDA Toolkit: the part of it that milkit uses, with which a host compiler builds .cuh files
/// and runs their kernels (see block.hpp and device.hpp). A folder that holds this file comes first on the include path.

#include <cxxabi.h>

#include <chrono>
#include <cmath>
#include <tuple>
#include <type_traits>
#include <typeinfo>
#include <utility>

#include "device.hpp"
#include "device_functions.hpp"

namespace cuda {}  // CCCL has one, so that `cuda` after `using namespace milkit` is ambiguous there: write milkit::cuda

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline
#define __grid_constant__
#define __launch_bounds__(...)
#define __shared__ static  // blocks run one after the other; what a block finds there is what the last one left

using cudaStream_t = emulation::stream*;
using cudaEvent_t = struct emulated_event*;
using cudaGraph_t = emulation::work_list*;
using cudaGraphExec_t = emulation::work_list*;

struct cudaLaunchConfig_t {
  dim3 gridDim, blockDim;
  std::size_t dynamicSmemBytes = 0;
  cudaStream_t stream = nullptr;
  void* attrs = nullptr;
  unsigned numAttrs = 0;
};
enum cudaDeviceAttr { cudaDevAttrMultiProcessorCount = 16, cudaDevAttrComputeCapabilityMajor = 75, cudaDevAttrComputeCapabilityMinor = 76 };
enum cudaStreamCaptureMode { cudaStreamCaptureModeGlobal, cudaStreamCaptureModeThreadLocal, cudaStreamCaptureModeRelaxed };
inline constexpr unsigned cudaStreamNonBlocking = 1, cudaStreamDefault = 0;

template <class... Expected, class... Actual>
cudaError_t cudaLaunchKernelEx(const cudaLaunchConfig_t* config, void (*kernel)(Expected...), Actual&&... actual) {
  using first = std::tuple_element_t<0, std::tuple<Expected..., void>>;
  int status = 0;
  const std::unique_ptr<char, void (*)(void*)> name(abi::__cxa_demangle(typeid(first).name(), nullptr, nullptr, &status), std::free);
  return emulation::launch(status == 0 ? name.get() : "kernel", config->gridDim, config->blockDim, config->dynamicSmemBytes,
                           config->stream, [kernel, arguments = std::tuple<std::decay_t<Expected>...>(std::forward<Actual>(actual)...)] {
                             std::apply(kernel, arguments);
                           });
}

inline cudaError_t cudaMalloc(void** data, std::size_t bytes) { return emulation::allocate(data, bytes, emulation::the_card().device, true); }
inline cudaError_t cudaFree(void* data) { return emulation::release(data, emulation::the_card().device, true); }
inline cudaError_t cudaMallocHost(void** data, std::size_t bytes) { return emulation::allocate(data, bytes, emulation::the_card().pinned, false); }
inline cudaError_t cudaFreeHost(void* data) { return emulation::release(data, emulation::the_card().pinned, false); }
inline cudaError_t cudaMemGetInfo(std::size_t* free, std::size_t* total) {
  *total = emulation::the_card().memory;
  *free = *total - emulation::the_card().used;
  return emulation::answer(cudaSuccess);
}
inline cudaError_t cudaMemcpyAsync(void* to, const void* from, std::size_t bytes, cudaMemcpyKind kind, cudaStream_t stream = nullptr) {
  return emulation::copy(to, from, bytes, kind, stream);
}
inline cudaError_t cudaMemcpy2DAsync(void* to, std::size_t to_pitch, const void* from, std::size_t from_pitch, std::size_t width,
                                     std::size_t height, cudaMemcpyKind kind, cudaStream_t stream = nullptr) {
  for (std::size_t row = 0; row < height; ++row)
    if (const cudaError_t error = emulation::copy(static_cast<std::byte*>(to) + row * to_pitch,
                                                  static_cast<const std::byte*>(from) + row * from_pitch, width, kind, stream))
      return error;
  return cudaSuccess;
}
inline cudaError_t cudaMemsetAsync(void* data, int value, std::size_t bytes, cudaStream_t stream = nullptr) {
  if (bytes != 0 && !emulation::within(emulation::the_card().device, data, bytes)) return emulation::answer(cudaErrorInvalidValue);
  return emulation::submit(stream, [=] {
    const emulation::opened_memory opened;
    std::memset(data, value, bytes);
  });
}
inline cudaError_t cudaStreamSynchronize(cudaStream_t) {
  ++emulation::the_card().synchronisations;
  return emulation::outside_capture();
}
inline cudaError_t cudaDeviceSynchronize() { return cudaStreamSynchronize(nullptr); }
inline cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned) {
  const cudaError_t error = emulation::answer(cudaSuccess);
  *stream = error ? nullptr : new emulation::stream{emulation::the_card().current};
  return error;
}
inline cudaError_t cudaStreamDestroy(cudaStream_t stream) {
  emulation::the_card().capturing.erase(stream);
  delete stream;
  return cudaSuccess;
}

inline cudaError_t cudaStreamBeginCapture(cudaStream_t stream, cudaStreamCaptureMode) {
  if (!stream || stream->captured) return emulation::answer(cudaErrorStreamCaptureUnsupported);
  stream->captured = new emulation::work_list;
  stream->invalidated = false;
  emulation::the_card().capturing.insert(stream);
  return emulation::answer(cudaSuccess);
}
inline cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t* graph) {
  *graph = std::exchange(stream->captured, nullptr);
  emulation::the_card().capturing.erase(stream);
  if (!std::exchange(stream->invalidated, false)) return emulation::answer(cudaSuccess);
  delete std::exchange(*graph, nullptr);
  return emulation::answer(cudaErrorStreamCaptureInvalidated);
}
inline cudaError_t cudaGraphInstantiate(cudaGraphExec_t* instance, cudaGraph_t graph, unsigned long long = 0) {
  *instance = new emulation::work_list(*graph);
  return emulation::answer(cudaSuccess);
}
inline cudaError_t cudaGraphLaunch(cudaGraphExec_t graph, cudaStream_t stream) {
  for (const auto& work : *graph)
    if (const cudaError_t error = emulation::submit(stream, work)) return error;
  return cudaSuccess;
}
inline cudaError_t cudaGraphDestroy(cudaGraph_t graph) {
  delete graph;
  return cudaSuccess;
}
inline cudaError_t cudaGraphExecDestroy(cudaGraphExec_t graph) {
  delete graph;
  return cudaSuccess;
}

inline cudaError_t cudaGetDeviceCount(int* count) {
  const cudaError_t error = emulation::answer(cudaSuccess);
  *count = error ? 0 : emulation::the_card().count;
  return error;
}
inline cudaError_t cudaSetDevice(int device) {
  if (device < 0 || device >= emulation::the_card().count) return emulation::answer(cudaErrorInvalidDevice);
  emulation::the_card().current = device;
  return cudaSuccess;
}
inline cudaError_t cudaGetDevice(int* device) {
  *device = emulation::the_card().current;
  return emulation::answer(cudaSuccess);
}
inline cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr which, int) {
  *value = which == cudaDevAttrMultiProcessorCount ? emulation::the_card().processors : which == cudaDevAttrComputeCapabilityMajor ? 9 : 0;
  return emulation::answer(cudaSuccess);
}
inline cudaError_t cudaGetLastError() {
  if (emulation::the_card().sticky != cudaSuccess) return emulation::the_card().sticky;
  return std::exchange(emulation::the_card().last, cudaSuccess);
}
inline const char* cudaGetErrorName(cudaError_t error) {
  switch (error) {
    case cudaSuccess: return "cudaSuccess";
    case cudaErrorInvalidValue: return "cudaErrorInvalidValue";
    case cudaErrorMemoryAllocation: return "cudaErrorMemoryAllocation";
    case cudaErrorInvalidConfiguration: return "cudaErrorInvalidConfiguration";
    case cudaErrorInsufficientDriver: return "cudaErrorInsufficientDriver";
    case cudaErrorNoDevice: return "cudaErrorNoDevice";
    case cudaErrorInvalidDevice: return "cudaErrorInvalidDevice";
    case cudaErrorInvalidResourceHandle: return "cudaErrorInvalidResourceHandle";
    case cudaErrorNotReady: return "cudaErrorNotReady";
    case cudaErrorIllegalAddress: return "cudaErrorIllegalAddress";
    case cudaErrorStreamCaptureUnsupported: return "cudaErrorStreamCaptureUnsupported";
    case cudaErrorStreamCaptureInvalidated: return "cudaErrorStreamCaptureInvalidated";
    case cudaErrorUnknown: break;
  }
  return "cudaErrorUnknown";
}
inline const char* cudaGetErrorString(cudaError_t error) { return error == cudaSuccess ? "no error" : "emulated error"; }

// Events, on the host's clock: a stream runs at once what it is given.
struct emulated_event {
  std::chrono::steady_clock::time_point at;
};
inline cudaError_t cudaEventCreate(cudaEvent_t* event) {
  const cudaError_t error = emulation::answer(cudaSuccess);
  *event = error ? nullptr : new emulated_event;
  return error;
}
inline cudaError_t cudaEventDestroy(cudaEvent_t event) {
  delete event;
  return cudaSuccess;
}
inline cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream = nullptr) {
  return emulation::submit(stream, [event] { event->at = std::chrono::steady_clock::now(); });
}
inline cudaError_t cudaEventElapsedTime(float* milliseconds, cudaEvent_t first, cudaEvent_t last) {
  *milliseconds = std::chrono::duration<float, std::milli>(last->at - first->at).count();
  return emulation::answer(cudaSuccess);
}
