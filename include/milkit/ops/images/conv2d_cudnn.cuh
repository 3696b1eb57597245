#pragma once

#include <cudnn.h>

#include <map>

#include <milkit/ops/images/conv2d_cuda.cuh>

namespace milkit {

namespace detail {

inline void expect_cudnn(cudnnStatus_t status, std::string_view call, const call_place& where = call_place::current()) {
  if (status == CUDNN_STATUS_SUCCESS) return;
  throw cuda_error(message("milkit: ", call, " failed: ", cudnnGetErrorString(status), ", in ", where.function, " at ",
                           where.file, ":", where.line),
                   cudaErrorUnknown);
}

/// Ends the life of what cuDNN made.
template <class Handle, auto Create, auto Destroy>
struct cudnn_object {
  Handle handle = nullptr;
  cudnn_object() { expect_cudnn(Create(&handle), "creation of a cuDNN object"); }
  cudnn_object(cudnn_object&& other) noexcept : handle(std::exchange(other.handle, nullptr)) {}
  ~cudnn_object() {
    if (handle) static_cast<void>(Destroy(handle));
  }
};
using cudnn_tensor = cudnn_object<cudnnTensorDescriptor_t, cudnnCreateTensorDescriptor, cudnnDestroyTensorDescriptor>;
using cudnn_filter = cudnn_object<cudnnFilterDescriptor_t, cudnnCreateFilterDescriptor, cudnnDestroyFilterDescriptor>;
using cudnn_operation =
    cudnn_object<cudnnConvolutionDescriptor_t, cudnnCreateConvolutionDescriptor, cudnnDestroyConvolutionDescriptor>;

/// cuDNN's handle, and a description of each convolution that it has met.
class cudnn_plans {
 public:
  static constexpr std::size_t scratch_bytes = std::size_t{32} << 20;
  enum class product { forward, dx, dweight };

  /// `algorithm` is one of the product's kind, or -1 where none of those that are deterministic, and sum as a matrix
  /// product does, takes this convolution within the scratch memory.
  struct plan {
    cudnn_tensor x, y, bias;
    cudnn_filter weight;
    cudnn_operation operation;
    int algorithm = -1;
  };

  static cudnn_plans& of(cuda& backend) {
    auto& plans = backend.convolution_plans();
    if (!plans) plans = std::make_shared<cudnn_plans>(backend.stream());
    return *static_cast<cudnn_plans*>(plans.get());
  }

  explicit cudnn_plans(cudaStream_t stream) { expect_cudnn(cudnnSetStream(handle_.handle, stream), "cudnnSetStream"); }
  cudnnHandle_t handle() const { return handle_.handle; }

  /// Null where milkit's own kernels must do it: no elements, a filter with gaps, more than cuDNN's `int` counts.
  template <class Images, class Weight, class Output>
  const plan* find(product what, milkit::precision rounding, Images x, Weight weight, Output y,
                   const convolution_library::axes& stride, const convolution_library::axes& padding) {
    constexpr std::int64_t most = 0x7FFFFFFF;
    if (x.size() == 0 || y.size() == 0 || !weight.contiguous()) return nullptr;
    if (x.rows() * x.stride() > most || y.rows() * y.stride() > most || weight.size() > most) return nullptr;
    key at{static_cast<std::int64_t>(what),
           static_cast<std::int64_t>(rounding),
           x.stride(),
           y.stride(),
           stride[0],
           stride[1],
           padding[0],
           padding[1]};
    for (int i = 0; i < 4; ++i) {
      at[static_cast<std::size_t>(8 + i)] = x.extent(i);
      at[static_cast<std::size_t>(12 + i)] = weight.extent(i);
    }
    auto found = plans_.find(at);
    if (found == plans_.end()) found = plans_.emplace(at, make(what, rounding, x, weight, y, stride, padding)).first;
    return found->second.algorithm < 0 ? nullptr : &found->second;
  }

 private:
  using key = std::array<std::int64_t, 16>;

  template <class View>
  static void describe(cudnnTensorDescriptor_t tensor, const View& v) {
    const auto extent = [&](int i) { return static_cast<int>(v.extent(i)); };
    expect_cudnn(cudnnSetTensor4dDescriptorEx(tensor, CUDNN_DATA_FLOAT, extent(0), extent(1), extent(2), extent(3),
                                              static_cast<int>((std::max)(v.stride(), v.row_size())),
                                              extent(2) * extent(3), extent(3), 1),
                 "cudnnSetTensor4dDescriptorEx");
  }

  template <class Images, class Weight, class Output>
  plan make(product what, milkit::precision rounding, const Images& x, const Weight& weight, const Output& y,
            const convolution_library::axes& stride, const convolution_library::axes& padding) {
    plan p;
    describe(p.x.handle, x);
    describe(p.y.handle, y);
    const auto extent = [&](int i) { return static_cast<int>(weight.extent(i)); };
    expect_cudnn(cudnnSetTensor4dDescriptorEx(p.bias.handle, CUDNN_DATA_FLOAT, 1, extent(0), 1, 1, extent(0), 1, 1, 1),
                 "cudnnSetTensor4dDescriptorEx");
    expect_cudnn(cudnnSetFilter4dDescriptor(p.weight.handle, CUDNN_DATA_FLOAT, CUDNN_TENSOR_NCHW, extent(0), extent(1),
                                            extent(2), extent(3)),
                 "cudnnSetFilter4dDescriptor");
    expect_cudnn(
        cudnnSetConvolution2dDescriptor(p.operation.handle, static_cast<int>(padding[0]), static_cast<int>(padding[1]),
                                        static_cast<int>(stride[0]), static_cast<int>(stride[1]), 1, 1,
                                        CUDNN_CROSS_CORRELATION, CUDNN_DATA_FLOAT),
        "cudnnSetConvolution2dDescriptor");
    // The default would round float32 factors to TF32; what allows bfloat16 gets TF32, which keeps more.
    const bool full = rounding == milkit::precision::float32;
    expect_cudnn(cudnnSetConvolutionMathType(p.operation.handle, full ? CUDNN_FMA_MATH : CUDNN_DEFAULT_MATH),
                 "cudnnSetConvolutionMathType");
    p.algorithm = choose(what, p);
    return p;
  }

  int choose(product what, const plan& p) const {
    const auto fits = [](cudnnStatus_t status, std::size_t bytes) {
      return status == CUDNN_STATUS_SUCCESS && bytes <= scratch_bytes;
    };
    std::size_t bytes = 0;
    if (what == product::dx) {
      constexpr auto algorithm = CUDNN_CONVOLUTION_BWD_DATA_ALGO_1;
      const auto status = cudnnGetConvolutionBackwardDataWorkspaceSize(
          handle(), p.weight.handle, p.y.handle, p.operation.handle, p.x.handle, algorithm, &bytes);
      return fits(status, bytes) ? algorithm : -1;
    }
    if (what == product::dweight) {
      constexpr auto algorithm = CUDNN_CONVOLUTION_BWD_FILTER_ALGO_1;
      const auto status = cudnnGetConvolutionBackwardFilterWorkspaceSize(
          handle(), p.x.handle, p.y.handle, p.operation.handle, p.weight.handle, algorithm, &bytes);
      return fits(status, bytes) ? algorithm : -1;
    }
    for (const auto algorithm :
         {CUDNN_CONVOLUTION_FWD_ALGO_IMPLICIT_PRECOMP_GEMM, CUDNN_CONVOLUTION_FWD_ALGO_IMPLICIT_GEMM})
      if (const auto status = cudnnGetConvolutionForwardWorkspaceSize(
              handle(), p.x.handle, p.weight.handle, p.operation.handle, p.y.handle, algorithm, &bytes);
          fits(status, bytes))
        return algorithm;
    return -1;
  }

  cudnn_object<cudnnHandle_t, cudnnCreate, cudnnDestroy> handle_;
  std::map<key, plan> plans_;
};

/// The scratch memory from a multiple of 256 bytes on, as cudaMalloc gives it.
inline void* cudnn_scratch(convolution_library::scratch memory) {
  return memory.data() + (256 - reinterpret_cast<std::uintptr_t>(memory.data()) % 256);
}

inline bool cudnn_forward(cuda& backend, convolution_library::scratch scratch, convolution_library::images x,
                          convolution_library::images weight, view<const float, 1, device_space> bias,
                          convolution_library::result y, const convolution_library::axes& stride,
                          const convolution_library::axes& padding) {
  cudnn_plans& plans = cudnn_plans::of(backend);
  const auto* p = plans.find(cudnn_plans::product::forward, backend.precision, x, weight, y, stride, padding);
  if (!p || (!bias.absent() && !bias.contiguous())) return false;
  const float one = 1, zero = 0;
  expect_cudnn(
      cudnnConvolutionForward(plans.handle(), &one, p->x.handle, x.data(), p->weight.handle, weight.data(),
                              p->operation.handle, static_cast<cudnnConvolutionFwdAlgo_t>(p->algorithm),
                              cudnn_scratch(scratch), cudnn_plans::scratch_bytes, &zero, p->y.handle, y.data()),
      "cudnnConvolutionForward");
  if (!bias.absent())
    expect_cudnn(cudnnAddTensor(plans.handle(), &one, p->bias.handle, bias.data(), &one, p->y.handle, y.data()),
                 "cudnnAddTensor");
  return true;
}

inline bool cudnn_dx(cuda& backend, convolution_library::scratch scratch, convolution_library::images weight,
                     convolution_library::images dy, convolution_library::result dx,
                     const convolution_library::axes& stride, const convolution_library::axes& padding) {
  cudnn_plans& plans = cudnn_plans::of(backend);
  const auto* p = plans.find(cudnn_plans::product::dx, backend.precision, dx, weight, dy, stride, padding);
  if (!p) return false;
  const float one = 1, zero = 0;
  expect_cudnn(
      cudnnConvolutionBackwardData(plans.handle(), &one, p->weight.handle, weight.data(), p->y.handle, dy.data(),
                                   p->operation.handle, static_cast<cudnnConvolutionBwdDataAlgo_t>(p->algorithm),
                                   cudnn_scratch(scratch), cudnn_plans::scratch_bytes, &zero, p->x.handle, dx.data()),
      "cudnnConvolutionBackwardData");
  return true;
}

inline bool cudnn_dweight(cuda& backend, convolution_library::scratch scratch, convolution_library::images x,
                          convolution_library::images dy, convolution_library::result dweight,
                          const convolution_library::axes& stride, const convolution_library::axes& padding) {
  cudnn_plans& plans = cudnn_plans::of(backend);
  const auto* p = plans.find(cudnn_plans::product::dweight, backend.precision, x, dweight, dy, stride, padding);
  if (!p) return false;
  const float one = 1;
  expect_cudnn(cudnnConvolutionBackwardFilter(
                   plans.handle(), &one, p->x.handle, x.data(), p->y.handle, dy.data(), p->operation.handle,
                   static_cast<cudnnConvolutionBwdFilterAlgo_t>(p->algorithm), cudnn_scratch(scratch),
                   cudnn_plans::scratch_bytes, &one, p->weight.handle, dweight.data()),
               "cudnnConvolutionBackwardFilter");
  return true;
}

}  // namespace detail

/// cuDNN's convolutions for float (double stays with milkit's kernels): `gpu.convolution = cudnn_convolution`, after
/// which `ops::conv2d` and its backward pass go there. Link `milkit::cudnn`. Deterministic algorithms alone; factors
/// are rounded as `cuda::precision` allows; what cuDNN does not take within 32 MiB of the workspace, milkit's kernels
/// do.
inline constexpr convolution_library cudnn_convolution{.scratch_bytes = detail::cudnn_plans::scratch_bytes + 256,
                                                       .forward = detail::cudnn_forward,
                                                       .dx = detail::cudnn_dx,
                                                       .dweight = detail::cudnn_dweight};

}  // namespace milkit
