#pragma once

#include <milkit/core/launch.cuh>

namespace milkit {

namespace detail {
/// A few values that travel as the arguments of a kernel: no staging memory to wait for, and what a graph captures is theirs.
template <class T>
struct upload_kernel {
  static constexpr int threads = 256;
  T values[static_cast<unsigned>(threads)];
  T* to;
  int count;
  __device__ void operator()() const {
    const int i = static_cast<int>(threadIdx.x);
    if (i < count) to[i] = values[i];
  }
};
}  // namespace detail

template <class T>
vector_view<const T, device_space> to_backend(cuda& backend, vector_view<const T> host) {
  if (host.absent()) return {};
  const auto device = backend.workspace.template allocate<T>(host.extent(0));
  for (std::int64_t first = 0; first < host.extent(0) && !backend.workspace.planning(); first += 256) {
    detail::upload_kernel<T> kernel{};
    kernel.to = device.data() + first;
    kernel.count = static_cast<int>((std::min)(std::int64_t{256}, host.extent(0) - first));
    for (int i = 0; i < kernel.count; ++i) kernel.values[i] = host(first + i);
    launch(backend, {1}, kernel);
  }
  return device;
}

template <class T>
vector_view<const T> to_host(cuda& backend, vector_view<const T, device_space> values) {
  const auto host = backend.workspace.template allocate_on_host<T>(values.extent(0));
  if (!backend.workspace.planning()) copy(backend, values, host);
  return host;
}

}  // namespace milkit
