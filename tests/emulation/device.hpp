#pragma once
/// The card: memory, streams that run at once what they are given, capture, errors.

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <map>
#include <mutex>
#include <set>

#include "block.hpp"

enum cudaError_t {
  cudaSuccess = 0,
  cudaErrorInvalidValue = 1,
  cudaErrorMemoryAllocation = 2,
  cudaErrorInvalidConfiguration = 9,
  cudaErrorInsufficientDriver = 35,
  cudaErrorNoDevice = 100,
  cudaErrorInvalidDevice = 101,
  cudaErrorInvalidResourceHandle = 400,
  cudaErrorNotReady = 600,
  cudaErrorIllegalAddress = 700,
  cudaErrorStreamCaptureUnsupported = 900,
  cudaErrorStreamCaptureInvalidated = 901,
  cudaErrorUnknown = 999,
};
enum cudaMemcpyKind {
  cudaMemcpyHostToHost,
  cudaMemcpyHostToDevice,
  cudaMemcpyDeviceToHost,
  cudaMemcpyDeviceToDevice,
  cudaMemcpyDefault
};

namespace emulation {

using work_list = std::vector<std::function<void()>>;

struct stream {
  int device = 0;
  work_list* captured = nullptr;
  bool invalidated = false;  ///< something was refused while it was captured: the capture is lost
};

struct card {
  int count = 1;                      ///< cards that the machine has; of one memory, here
  int current = 0, allocated_on = 0;  ///< the thread's card; where the last allocation came from
  cudaError_t driver = cudaSuccess;   ///< what the first call of the runtime answers
  cudaError_t sticky = cudaSuccess;   ///< an earlier kernel failed: every call says so
  cudaError_t last = cudaSuccess;
  std::size_t memory = std::size_t{4} << 30;  ///< bytes
  int processors = 3;                         ///< few, so that grid-stride loops go round
  std::size_t used = 0, allocations = 0, launches = 0, copies = 0, synchronisations = 0;
  std::set<stream*> capturing;
  std::map<std::uintptr_t, std::size_t> device, pinned;  ///< address and bytes
  std::map<std::string, std::size_t> kernels;            ///< how often each was launched, by its type
  block_runner runner;
  std::recursive_mutex mutex;
};
inline card& the_card() {
  static card* one = new card;  // outlives whatever is released at exit
  return *one;
}

inline cudaError_t answer(cudaError_t error) {
  card& c = the_card();
  if (c.driver != cudaSuccess) error = c.driver;
  else if (c.count == 0) error = cudaErrorNoDevice;
  else if (c.sticky != cudaSuccess) error = c.sticky;
  if (error != cudaSuccess) c.last = error;
  return error;
}
inline cudaError_t refuse_in_capture() {
  for (stream* each : the_card().capturing) each->invalidated = true;
  return answer(cudaErrorStreamCaptureUnsupported);
}
/// Calls that wait or allocate are refused while a stream is captured, and lose the capture.
inline cudaError_t outside_capture() {
  return the_card().capturing.empty() ? answer(cudaSuccess) : refuse_in_capture();
}

/// True if [data, data + bytes) lies within one allocation.
inline bool within(const std::map<std::uintptr_t, std::size_t>& pieces, const void* data, std::size_t bytes) {
  const auto at = reinterpret_cast<std::uintptr_t>(data);
  auto next = pieces.upper_bound(at);
  if (next == pieces.begin()) return false;
  --next;
  return at + bytes <= next->first + next->second;
}

/// Under the address sanitizer the host may touch device memory only while a kernel or a copy runs.
inline void open_memory([[maybe_unused]] bool open) {
#if defined(EMULATION_ASAN)
  for (const auto& [address, bytes] : the_card().device) {
    if (open) __asan_unpoison_memory_region(reinterpret_cast<void*>(address), bytes);
    else __asan_poison_memory_region(reinterpret_cast<void*>(address), bytes);
  }
#endif
}
struct opened_memory {
  opened_memory() { open_memory(true); }
  ~opened_memory() { open_memory(false); }
};

inline cudaError_t submit(stream* s, std::function<void()> work) {
  if (const cudaError_t error = answer(cudaSuccess)) return error;
  if (s && s->device != the_card().current) return answer(cudaErrorInvalidResourceHandle);
  if (s && s->captured) {
    if (s->invalidated) return answer(cudaErrorStreamCaptureInvalidated);
    s->captured->push_back(std::move(work));
    return cudaSuccess;
  }
  if (!the_card().capturing.empty() && !s) return refuse_in_capture();
  work();
  return answer(cudaSuccess);
}

inline cudaError_t launch(const std::string& name, dim3 grid, dim3 block, std::size_t shared, stream* s,
                          std::function<void()> body) {
  const std::size_t threads = std::size_t{block.x} * block.y * block.z;
  const bool fits = grid.x > 0 && grid.y > 0 && grid.z > 0 && grid.x <= 0x7FFFFFFFu && grid.y <= 65535 &&
                    grid.z <= 65535 && threads > 0 && threads <= 1024 && block.z <= 64 && shared <= 48 * 1024;
  if (!fits) return answer(cudaErrorInvalidConfiguration);
  return submit(s, [=] {
    card& c = the_card();
    const std::lock_guard lock(c.mutex);
    ++c.launches;
    ++c.kernels[name];
    const opened_memory opened;
    c.runner.run(name, grid, block, body);
  });
}

/// Copies, if both ends are what `kind` says and the bytes lie within what was allocated.
inline cudaError_t copy(void* to, const void* from, std::size_t bytes, cudaMemcpyKind kind, stream* s) {
  card& c = the_card();
  const auto is_device = [&](const void* p) { return within(c.device, p, bytes); };
  const auto starts_in_device = [&](const void* p) { return within(c.device, p, 0) && within(c.device, p, 1); };
  if (bytes == 0) return answer(cudaSuccess);
  const bool to_device = kind == cudaMemcpyHostToDevice || kind == cudaMemcpyDeviceToDevice;
  const bool from_device = kind == cudaMemcpyDeviceToHost || kind == cudaMemcpyDeviceToDevice;
  if (kind != cudaMemcpyDefault) {
    if (to_device ? !is_device(to) : starts_in_device(to)) return answer(cudaErrorInvalidValue);
    if (from_device ? !is_device(from) : starts_in_device(from)) return answer(cudaErrorInvalidValue);
    const bool pageable =
        (!to_device && !within(c.pinned, to, bytes)) || (!from_device && !within(c.pinned, from, bytes));
    if (s && s->captured && pageable) return refuse_in_capture();
  }
  return submit(s, [=] {
    const std::lock_guard lock(the_card().mutex);
    ++the_card().copies;
    const opened_memory opened;
    std::memcpy(to, from, bytes);
  });
}

/// Fresh memory is all ones: NaN as a number, and no valid index.
inline cudaError_t allocate(void** data, std::size_t bytes, std::map<std::uintptr_t, std::size_t>& pieces,
                            bool on_device) {
  card& c = the_card();
  *data = nullptr;
  if (const cudaError_t error = outside_capture()) return error;
  if (bytes == 0) return cudaSuccess;
  const std::lock_guard lock(c.mutex);
  if (on_device && c.used + bytes > c.memory) return answer(cudaErrorMemoryAllocation);
  if (posix_memalign(data, 256, bytes) != 0) return answer(cudaErrorMemoryAllocation);
  std::memset(*data, 0xFF, bytes);
  pieces[reinterpret_cast<std::uintptr_t>(*data)] = bytes;
  if (on_device) {
    c.used += bytes;
    ++c.allocations;
    c.allocated_on = c.current;
    open_memory(false);
  }
  return cudaSuccess;
}
inline cudaError_t release(void* data, std::map<std::uintptr_t, std::size_t>& pieces, bool on_device) {
  if (!data) return cudaSuccess;
  card& c = the_card();
  const std::lock_guard lock(c.mutex);
  const auto found = pieces.find(reinterpret_cast<std::uintptr_t>(data));
  if (found == pieces.end()) return answer(cudaErrorInvalidValue);
  if (on_device) {
    c.used -= found->second;
#if defined(EMULATION_ASAN)
    __asan_unpoison_memory_region(data, found->second);
#endif
  }
  pieces.erase(found);
  std::free(data);
  return cudaSuccess;
}

}  // namespace emulation
