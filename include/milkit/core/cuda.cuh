#pragma once

#include <cuda_runtime.h>

#include <array>
#include <memory>

#include <milkit/core/parallel_for.hpp>
#include <milkit/core/tensor.hpp>

namespace milkit {

/// The place of a call, for messages; clang 14 has no std::source_location.
struct call_place {
  const char* file = "";
  int line = 0;
  const char* function = "";
  static constexpr call_place current(const char* file = __builtin_FILE(), int line = __builtin_LINE(),
                                      const char* function = __builtin_FUNCTION()) {
    return {file, line, function};
  }
};

/// A call of the CUDA runtime or of one of its libraries failed; the text has the call, the error's name and the place.
struct cuda_error : std::runtime_error {
  cuda_error(const std::string& text, cudaError_t code_) : std::runtime_error(text), code(code_) {}
  cudaError_t code;
};

/// Throws `cuda_error` unless all is well. An error that the context survives is cleared.
inline void expect_cuda(cudaError_t code, std::string_view call, const call_place& where = call_place::current()) {
  if (code == cudaSuccess) return;
  static_cast<void>(cudaGetLastError());
  throw cuda_error(message("milkit: ", call, " failed: ", cudaGetErrorName(code), " (", cudaGetErrorString(code),
                           "), in ", where.function, " at ", where.file, ":", where.line),
                   code);
}

template <>
struct space_allocator<device_space> {
  /// Errors: cuda_error; where memory is short it names the bytes asked and free, and nothing else has changed.
  static void* allocate(std::size_t bytes) {
    void* data = nullptr;
    const cudaError_t code = cudaMalloc(&data, bytes);
    if (code == cudaErrorMemoryAllocation) {
      std::size_t free = 0, total = 0;
      static_cast<void>(cudaGetLastError());
      expect_cuda(cudaMemGetInfo(&free, &total), "cudaMemGetInfo");
      throw cuda_error(
          message("milkit: cudaMalloc of ", bytes, " bytes failed: cudaErrorMemoryAllocation; the card has ", free,
                  " of ", total, " bytes free"),
          code);
    }
    expect_cuda(code, "cudaMalloc");
    return data;
  }
  static void release(void* data) noexcept { static_cast<void>(cudaFree(data)); }
  /// Where the next allocation comes from; negative: no change.
  static void use_device(int device) {
    if (device >= 0) expect_cuda(cudaSetDevice(device), "cudaSetDevice");
  }
  static void clear(void* data, std::size_t bytes) {
    expect_cuda(cudaMemsetAsync(data, 0, bytes), "cudaMemset");
    expect_cuda(cudaDeviceSynchronize(), "cudaDeviceSynchronize");
  }
};

namespace detail {
template <class From, class To>
inline constexpr cudaMemcpyKind copy_kind = std::is_same_v<From, host_space> ? cudaMemcpyHostToDevice
                                            : std::is_same_v<To, host_space> ? cudaMemcpyDeviceToHost
                                                                             : cudaMemcpyDeviceToDevice;
}  // namespace detail

/// Waits for everything that the card was given, of any stream, before and after.
template <class From, class To>
requires(!std::is_same_v<From, host_space> || !std::is_same_v<To, host_space>) struct space_copy<From, To> {
  static void run(void* to, const void* from, std::size_t bytes) {
    expect_cuda(cudaDeviceSynchronize(), "cudaDeviceSynchronize");
    expect_cuda(cudaMemcpyAsync(to, from, bytes, detail::copy_kind<From, To>), "cudaMemcpyAsync");
    expect_cuda(cudaDeviceSynchronize(), "cudaDeviceSynchronize");
  }
};

/// An owning array on the current card (`cuda::activate`). Its life may not end while kernels of another stream than a
/// backend's still use it.
template <class T, int Rank>
using device_tensor = tensor<T, Rank, device_space>;

/// Views of memory on the card.
template <class T>
using device_vector = vector_view<T, device_space>;
template <class T>
using device_matrix = matrix_view<T, device_space>;
template <class T>
using device_images = image_view<T, device_space>;

/// What matrix products may round their float32 factors to; sums are float32. Never less than float32 unless asked for.
enum class precision { float32, tf32, bf16 };

class cuda;

/// Convolutions of float images by a library, instead of milkit's own kernels. Each function queues one product on the
/// backend's stream and returns true, or queues nothing and returns false for what the library does not take; scratch
/// memory is one piece of `scratch_bytes`. Ready: `cudnn_convolution` (ops/images/conv2d_cudnn.cuh).
struct convolution_library {
  using images = view<const float, 4, device_space>;
  using result = view<float, 4, device_space>;
  using scratch = view<std::byte, 1, device_space>;
  using axes = std::array<std::int64_t, 2>;

  std::size_t scratch_bytes = 0;
  /// y = conv(x, weight) + bias, which may be absent.
  bool (*forward)(cuda&, scratch, images x, images weight, view<const float, 1, device_space> bias, result y,
                  const axes& stride, const axes& padding) = nullptr;
  /// dx, replaced.
  bool (*dx)(cuda&, scratch, images weight, images dy, result dx, const axes& stride, const axes& padding) = nullptr;
  /// dweight, added to.
  bool (*dweight)(cuda&, scratch, images x, images dy, result dweight, const axes& stride,
                  const axes& padding) = nullptr;
};

struct cuda_options {
  int device = 0;
  cudaStream_t stream = nullptr;  ///< null: a stream of the backend's own
  milkit::precision precision = milkit::precision::float32;
};

/// The backend of an NVIDIA GPU: `milkit::cuda gpu;`, `milkit::cuda gpu({.device = 1})`. Ops are queued on its stream and return at
/// once; `synchronize` waits. One object serves one thread of yours at a time. After the first step of a training nothing is
/// allocated, and a step may be captured into a CUDA graph. Errors: cuda_error where there is no card or its driver is too old.
class cuda {
 public:
  using space = device_space;

  /// Chunks of a bag: enough rows to fill the card, few enough that their intermediate values stay small beside the bag.
  static constexpr std::int64_t chunk_bytes = std::int64_t{32} << 20, least_chunk_rows = 1024, most_chunk_rows = 65536;

  explicit cuda(const cuda_options& options = {})
      : precision(options.precision), card_(std::make_shared<card>(options)) {
    workspace.use_device(options.device);
  }

  cudaStream_t stream() const { return card_->stream; }
  int device() const { return card_->device; }
  /// Streaming multiprocessors.
  int processors() const { return card_->processors; }
  /// 10 major + minor.
  int compute_capability() const { return card_->capability; }

  /// Makes this card the thread's current one. Whatever queues work or allocates does so first, so that backends of several
  /// cards take turns in one thread.
  void activate() const { expect_cuda(cudaSetDevice(device()), "cudaSetDevice"); }
  void synchronize() const { expect_cuda(cudaStreamSynchronize(stream()), "cudaStreamSynchronize"); }

  /// A library's handle and plans, made by the file that uses the library and kept with the card (ops/products/matmul_cuda.cuh).
  std::shared_ptr<void>& matmul_library() { return card_->matmul_library; }
  /// The same for `convolution`.
  std::shared_ptr<void>& convolution_plans() { return card_->convolution_plans; }

  milkit::precision precision;
  convolution_library convolution = {};  ///< empty: milkit's own kernels
  milkit::workspace<device_space> workspace = {};
  milkit::workspace<device_space>* store = nullptr;  ///< as of `cpu`
  milkit::workspace<device_space>& kept_memory() { return store ? *store : workspace; }
  std::size_t peak_bytes() const { return workspace.peak_bytes(); }

  /// A backend that computes nothing and counts the memory that this one would use.
  cuda planner() const { return cuda(*this, true); }
  /// Chunks follow each other on one stream, so that the one worker is this backend itself.
  cuda& worker(int) { return *this; }

 private:
  struct card {
    explicit card(const cuda_options& options) : device(options.device), stream(options.stream) {
      int count = 0, major = 0, minor = 0;
      expect_cuda(cudaGetDeviceCount(&count), "cudaGetDeviceCount");
      expect_value(device >= 0 && device < count, "milkit::cuda", "device is ", device, ", expected 0 to ", count - 1);
      expect_cuda(cudaSetDevice(device), "cudaSetDevice");
      expect_cuda(cudaDeviceGetAttribute(&processors, cudaDevAttrMultiProcessorCount, device),
                  "cudaDeviceGetAttribute");
      expect_cuda(cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, device), "cudaDeviceGetAttribute");
      expect_cuda(cudaDeviceGetAttribute(&minor, cudaDevAttrComputeCapabilityMinor, device), "cudaDeviceGetAttribute");
      capability = 10 * major + minor;
      if (stream) return;
      expect_cuda(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), "cudaStreamCreateWithFlags");
      owns_stream = true;
    }
    card(const card&) = delete;
    card& operator=(const card&) = delete;
    ~card() {
      matmul_library.reset();
      convolution_plans.reset();
      if (owns_stream) static_cast<void>(cudaStreamDestroy(stream));
    }

    int device, processors = 0, capability = 0;
    cudaStream_t stream;
    bool owns_stream = false;
    std::shared_ptr<void> matmul_library, convolution_plans;
  };

  cuda(const cuda& other, bool planning)
      : precision(other.precision), convolution(other.convolution), workspace(planning), card_(other.card_) {}

  std::shared_ptr<card> card_;
};

/// As for `cpu`, in ascending order on the one stream.
template <class Body, class Commit>
void parallel_in_order(cuda& backend, std::int64_t count, Body&& body, Commit&& commit) {
  for (std::int64_t i = 0; i < count; ++i) {
    const auto scope = backend.workspace.scope();
    commit(backend, i, body(backend, i));
  }
}

namespace detail {
template <class To, class From>
void queue_copy(cuda& backend, const From& from, const To& to, cudaMemcpyKind kind) {
  static_assert(std::is_same_v<typename To::element_type, typename From::value_type>, "milkit::copy: one element type");
  expect_shape("milkit::copy", "to", to, from.shape());
  if (from.size() == 0) return;
  backend.activate();
  const auto bytes = [](std::int64_t count) {
    return static_cast<std::size_t>(count) * sizeof(typename To::value_type);
  };
  if (from.contiguous() && to.contiguous())
    expect_cuda(cudaMemcpyAsync(to.data(), from.data(), bytes(from.size()), kind, backend.stream()), "cudaMemcpyAsync");
  else
    expect_cuda(
        cudaMemcpy2DAsync(to.data(), bytes(to.stride()), from.data(), bytes(from.stride()), bytes(from.row_size()),
                          static_cast<std::size_t>(from.rows()), kind, backend.stream()),
        "cudaMemcpy2DAsync");
}
}  // namespace detail

/// Copies between host and card, in either direction, views of one shape and any strides. `copy` returns when it is done;
/// `copy_async` is queued, and overlaps with the host's work where the host's memory is pinned.
template <class T, class U, int Rank, class From, class To>
requires(!std::is_same_v<From, host_space> || !std::is_same_v<To, host_space>) void copy_async(cuda& backend,
                                                                                               view<T, Rank, From> from,
                                                                                               view<U, Rank, To> to) {
  detail::queue_copy(backend, from, to, detail::copy_kind<From, To>);
}
template <class T, int Rank>
view<const T, Rank, device_space> resident(cuda& backend, view<const T, Rank> host) {
  if (host.absent()) return {};
  const auto device = backend.kept_memory().template allocate<T>(host.shape());
  if (!backend.workspace.planning()) copy_async(backend, host, device);
  return device;
}
template <class T, class U, int Rank, class From, class To>
requires(!std::is_same_v<From, host_space> ||
         !std::is_same_v<To, host_space>) void copy(cuda& backend, view<T, Rank, From> from, view<U, Rank, To> to) {
  copy_async(backend, from, to);
  backend.synchronize();
}

/// A host array in pinned memory, for `copy_async`. Errors: cuda_error.
template <class T, int Rank>
class pinned_tensor {
 public:
  explicit pinned_tensor(milkit::shape<Rank> shape) : shape_(shape) {
    void* data = nullptr;
    const std::size_t bytes = bytes_of<T>("milkit::pinned_tensor", shape);
    if (bytes > 0) expect_cuda(cudaMallocHost(&data, bytes), "cudaMallocHost");
    data_.reset(static_cast<T*>(data));
  }
  milkit::view<T, Rank> view() { return {data_.get(), shape_}; }
  milkit::view<const T, Rank> view() const { return {data_.get(), shape_}; }

 private:
  struct releaser {
    void operator()(T* data) const noexcept { static_cast<void>(cudaFreeHost(data)); }
  };
  milkit::shape<Rank> shape_;
  std::unique_ptr<T[], releaser> data_;
};

}  // namespace milkit
