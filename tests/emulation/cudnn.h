#pragma once
/// Stands in for the convolutions of cuDNN: plain loops, sums in double, float32 factors rounded to TF32 where the math
/// type allows it. Checks that the descriptors fit together and that the workspace is as large as was asked for.

#include <cstdint>
#include <limits>

#include "cublasLt.h"

enum cudnnStatus_t { CUDNN_STATUS_SUCCESS = 0, CUDNN_STATUS_BAD_PARAM = 2000, CUDNN_STATUS_NOT_SUPPORTED = 3000 };
enum cudnnDataType_t { CUDNN_DATA_FLOAT = 0 };
enum cudnnTensorFormat_t { CUDNN_TENSOR_NCHW = 0 };
enum cudnnConvolutionMode_t { CUDNN_CONVOLUTION = 0, CUDNN_CROSS_CORRELATION = 1 };
enum cudnnMathType_t { CUDNN_DEFAULT_MATH = 0, CUDNN_FMA_MATH = 3 };
enum cudnnConvolutionFwdAlgo_t {
  CUDNN_CONVOLUTION_FWD_ALGO_IMPLICIT_GEMM = 0,
  CUDNN_CONVOLUTION_FWD_ALGO_IMPLICIT_PRECOMP_GEMM = 1
};
enum cudnnConvolutionBwdDataAlgo_t { CUDNN_CONVOLUTION_BWD_DATA_ALGO_0 = 0, CUDNN_CONVOLUTION_BWD_DATA_ALGO_1 = 1 };
enum cudnnConvolutionBwdFilterAlgo_t {
  CUDNN_CONVOLUTION_BWD_FILTER_ALGO_0 = 0,
  CUDNN_CONVOLUTION_BWD_FILTER_ALGO_1 = 1
};

namespace emulation {

struct image_description {
  int extent[4] = {}, stride[4] = {};
  std::int64_t at(int n, int c, int y, int x) const {
    return std::int64_t{n} * stride[0] + std::int64_t{c} * stride[1] + std::int64_t{y} * stride[2] +
           std::int64_t{x} * stride[3];
  }
};
struct convolution_description {
  int pad[2] = {}, stride[2] = {1, 1};
  cudnnMathType_t math = CUDNN_DEFAULT_MATH;  // as cuDNN: TF32 unless told otherwise
};

/// Queued convolutions, and the bytes that an algorithm which needs memory asks for.
struct cudnn_state {
  std::size_t products = 0, workspace = 1000;
};
inline cudnn_state& cudnn() {
  static cudnn_state state;
  return state;
}

inline bool fits(const image_description& x, const image_description& w, const convolution_description& how,
                 const image_description& y) {
  bool good = x.extent[0] == y.extent[0] && x.extent[1] == w.extent[1] && y.extent[1] == w.extent[0];
  for (const int i : {0, 1})
    good = good && y.extent[2 + i] == (x.extent[2 + i] + 2 * how.pad[i] - w.extent[2 + i]) / how.stride[i] + 1;
  return good;
}

/// Calls `term(index of x, index of w, index of y)` for each of the products that a convolution is a sum of.
template <class Term>
void each_term(const image_description& x, const image_description& w, const convolution_description& how,
               const image_description& y, Term term) {
  for (int n = 0; n < y.extent[0]; ++n)
    for (int o = 0; o < y.extent[1]; ++o)
      for (int i = 0; i < y.extent[2]; ++i)
        for (int j = 0; j < y.extent[3]; ++j)
          for (int c = 0; c < x.extent[1]; ++c)
            for (int u = 0; u < w.extent[2]; ++u)
              for (int v = 0; v < w.extent[3]; ++v) {
                const int row = i * how.stride[0] + u - how.pad[0], col = j * how.stride[1] + v - how.pad[1];
                if (row >= 0 && row < x.extent[2] && col >= 0 && col < x.extent[3])
                  term(x.at(n, c, row, col), w.at(o, c, u, v), y.at(n, o, i, j));
              }
}

inline float cudnn_factor(float value, const convolution_description& how) {
  return rounded(value, how.math == CUDNN_FMA_MATH ? CUBLAS_COMPUTE_32F : CUBLAS_COMPUTE_32F_FAST_TF32);
}

/// result = sums + beta result, where `term` names two factors and the place of their product.
template <class Terms>
cudnnStatus_t convolve(cudaStream_t stream, std::size_t needed, const image_description& x, const image_description& w,
                       const convolution_description& how, const image_description& y, const image_description& out,
                       float* result, float beta, void* workspace, std::size_t bytes, Terms terms) {
  if (!fits(x, w, how, y) || bytes < needed || reinterpret_cast<std::uintptr_t>(workspace) % 256 != 0)
    return CUDNN_STATUS_BAD_PARAM;
  ++cudnn().products;
  const cudaError_t error = submit(stream, [=] {
    const opened_memory opened;
    std::memset(workspace, 0xFF, bytes);
    std::map<std::int64_t, double> sums;
    each_term(x, w, how, y,
              [&](std::int64_t at_x, std::int64_t at_w, std::int64_t at_y) { terms(sums, at_x, at_w, at_y); });
    for (int n = 0; n < out.extent[0]; ++n)
      for (int c = 0; c < out.extent[1]; ++c)
        for (int i = 0; i < out.extent[2]; ++i)
          for (int j = 0; j < out.extent[3]; ++j) {
            float& to = result[out.at(n, c, i, j)];
            to = static_cast<float>(sums[out.at(n, c, i, j)] +
                                    (beta == 0 ? 0.0 : static_cast<double>(beta) * static_cast<double>(to)));
          }
  });
  return error == cudaSuccess ? CUDNN_STATUS_SUCCESS : CUDNN_STATUS_BAD_PARAM;
}

}  // namespace emulation

struct cudnn_context {
  cudaStream_t stream = nullptr;
};
using cudnnHandle_t = cudnn_context*;
using cudnnTensorDescriptor_t = emulation::image_description*;
struct cudnn_filter_description {
  emulation::image_description shape;
};
using cudnnFilterDescriptor_t = cudnn_filter_description*;
using cudnnConvolutionDescriptor_t = emulation::convolution_description*;

inline const char* cudnnGetErrorString(cudnnStatus_t status) {
  return status == CUDNN_STATUS_SUCCESS     ? "CUDNN_STATUS_SUCCESS"
         : status == CUDNN_STATUS_BAD_PARAM ? "CUDNN_STATUS_BAD_PARAM"
                                            : "CUDNN_STATUS_NOT_SUPPORTED";
}

namespace emulation {
template <class T>
cudnnStatus_t make(T** object) {
  *object = new T;
  return CUDNN_STATUS_SUCCESS;
}
template <class T>
cudnnStatus_t end(T* object) {
  delete object;
  return CUDNN_STATUS_SUCCESS;
}
}  // namespace emulation
inline cudnnStatus_t cudnnCreate(cudnnHandle_t* handle) { return emulation::make(handle); }
inline cudnnStatus_t cudnnDestroy(cudnnHandle_t handle) { return emulation::end(handle); }
inline cudnnStatus_t cudnnCreateTensorDescriptor(cudnnTensorDescriptor_t* tensor) { return emulation::make(tensor); }
inline cudnnStatus_t cudnnDestroyTensorDescriptor(cudnnTensorDescriptor_t tensor) { return emulation::end(tensor); }
inline cudnnStatus_t cudnnCreateFilterDescriptor(cudnnFilterDescriptor_t* filter) { return emulation::make(filter); }
inline cudnnStatus_t cudnnDestroyFilterDescriptor(cudnnFilterDescriptor_t filter) { return emulation::end(filter); }
inline cudnnStatus_t cudnnCreateConvolutionDescriptor(cudnnConvolutionDescriptor_t* how) {
  return emulation::make(how);
}
inline cudnnStatus_t cudnnDestroyConvolutionDescriptor(cudnnConvolutionDescriptor_t how) { return emulation::end(how); }
inline cudnnStatus_t cudnnSetStream(cudnnHandle_t handle, cudaStream_t stream) {
  handle->stream = stream;
  return CUDNN_STATUS_SUCCESS;
}
inline cudnnStatus_t cudnnSetTensor4dDescriptorEx(cudnnTensorDescriptor_t tensor, cudnnDataType_t, int n, int c, int h,
                                                  int w, int n_stride, int c_stride, int h_stride, int w_stride) {
  *tensor = {{n, c, h, w}, {n_stride, c_stride, h_stride, w_stride}};
  const bool apart = w_stride >= 1 && h_stride >= w * w_stride && c_stride >= h * h_stride && n_stride >= c * c_stride;
  return n > 0 && c > 0 && h > 0 && w > 0 && (apart || (h == 1 && w == 1)) ? CUDNN_STATUS_SUCCESS
                                                                           : CUDNN_STATUS_BAD_PARAM;
}
inline cudnnStatus_t cudnnSetFilter4dDescriptor(cudnnFilterDescriptor_t filter, cudnnDataType_t, cudnnTensorFormat_t,
                                                int k, int c, int h, int w) {
  filter->shape = {{k, c, h, w}, {c * h * w, h * w, w, 1}};
  return k > 0 && c > 0 && h > 0 && w > 0 ? CUDNN_STATUS_SUCCESS : CUDNN_STATUS_BAD_PARAM;
}
inline cudnnStatus_t cudnnSetConvolution2dDescriptor(cudnnConvolutionDescriptor_t how, int pad_h, int pad_w,
                                                     int stride_h, int stride_w, int dilation_h, int dilation_w,
                                                     cudnnConvolutionMode_t mode, cudnnDataType_t) {
  how->pad[0] = pad_h, how->pad[1] = pad_w, how->stride[0] = stride_h, how->stride[1] = stride_w;
  return dilation_h == 1 && dilation_w == 1 && mode == CUDNN_CROSS_CORRELATION ? CUDNN_STATUS_SUCCESS
                                                                               : CUDNN_STATUS_NOT_SUPPORTED;
}
inline cudnnStatus_t cudnnSetConvolutionMathType(cudnnConvolutionDescriptor_t how, cudnnMathType_t math) {
  how->math = math;
  return CUDNN_STATUS_SUCCESS;
}

inline cudnnStatus_t cudnnGetConvolutionForwardWorkspaceSize(cudnnHandle_t, cudnnTensorDescriptor_t x,
                                                             cudnnFilterDescriptor_t w,
                                                             cudnnConvolutionDescriptor_t how,
                                                             cudnnTensorDescriptor_t y,
                                                             cudnnConvolutionFwdAlgo_t algorithm, std::size_t* bytes) {
  *bytes = algorithm == CUDNN_CONVOLUTION_FWD_ALGO_IMPLICIT_GEMM ? 0 : emulation::cudnn().workspace;
  return emulation::fits(*x, w->shape, *how, *y) ? CUDNN_STATUS_SUCCESS : CUDNN_STATUS_BAD_PARAM;
}
inline cudnnStatus_t cudnnGetConvolutionBackwardDataWorkspaceSize(cudnnHandle_t, cudnnFilterDescriptor_t w,
                                                                  cudnnTensorDescriptor_t dy,
                                                                  cudnnConvolutionDescriptor_t how,
                                                                  cudnnTensorDescriptor_t dx,
                                                                  cudnnConvolutionBwdDataAlgo_t, std::size_t* bytes) {
  *bytes = emulation::cudnn().workspace;
  return emulation::fits(*dx, w->shape, *how, *dy) ? CUDNN_STATUS_SUCCESS : CUDNN_STATUS_BAD_PARAM;
}
inline cudnnStatus_t cudnnGetConvolutionBackwardFilterWorkspaceSize(
    cudnnHandle_t, cudnnTensorDescriptor_t x, cudnnTensorDescriptor_t dy, cudnnConvolutionDescriptor_t how,
    cudnnFilterDescriptor_t dw, cudnnConvolutionBwdFilterAlgo_t, std::size_t* bytes) {
  *bytes = emulation::cudnn().workspace;
  return emulation::fits(*x, dw->shape, *how, *dy) ? CUDNN_STATUS_SUCCESS : CUDNN_STATUS_BAD_PARAM;
}

inline cudnnStatus_t cudnnConvolutionForward(cudnnHandle_t handle, const void*, cudnnTensorDescriptor_t x,
                                             const void* x_data, cudnnFilterDescriptor_t w, const void* w_data,
                                             cudnnConvolutionDescriptor_t how, cudnnConvolutionFwdAlgo_t algorithm,
                                             void* workspace, std::size_t bytes, const void* beta,
                                             cudnnTensorDescriptor_t y, void* y_data) {
  const auto terms = [how = *how, a = static_cast<const float*>(x_data), b = static_cast<const float*>(w_data)](
                         auto& sums, auto at_x, auto at_w, auto at_y) {
    sums[at_y] += static_cast<double>(emulation::cudnn_factor(a[at_x], how)) *
                  static_cast<double>(emulation::cudnn_factor(b[at_w], how));
  };
  const std::size_t needed = algorithm == CUDNN_CONVOLUTION_FWD_ALGO_IMPLICIT_GEMM ? 0 : emulation::cudnn().workspace;
  return emulation::convolve(handle->stream, needed, *x, w->shape, *how, *y, *y, static_cast<float*>(y_data),
                             *static_cast<const float*>(beta), workspace, bytes, terms);
}
inline cudnnStatus_t cudnnConvolutionBackwardData(cudnnHandle_t handle, const void*, cudnnFilterDescriptor_t w,
                                                  const void* w_data, cudnnTensorDescriptor_t dy, const void* dy_data,
                                                  cudnnConvolutionDescriptor_t how,
                                                  cudnnConvolutionBwdDataAlgo_t algorithm, void* workspace,
                                                  std::size_t bytes, const void* beta, cudnnTensorDescriptor_t dx,
                                                  void* dx_data) {
  if (algorithm != CUDNN_CONVOLUTION_BWD_DATA_ALGO_1)
    throw emulation::fault("cudnnConvolutionBackwardData: the algorithm is not deterministic");
  const auto terms = [how = *how, a = static_cast<const float*>(dy_data), b = static_cast<const float*>(w_data)](
                         auto& sums, auto at_x, auto at_w, auto at_y) {
    sums[at_x] += static_cast<double>(emulation::cudnn_factor(a[at_y], how)) *
                  static_cast<double>(emulation::cudnn_factor(b[at_w], how));
  };
  return emulation::convolve(handle->stream, emulation::cudnn().workspace, *dx, w->shape, *how, *dy, *dx,
                             static_cast<float*>(dx_data), *static_cast<const float*>(beta), workspace, bytes, terms);
}
inline cudnnStatus_t cudnnConvolutionBackwardFilter(cudnnHandle_t handle, const void*, cudnnTensorDescriptor_t x,
                                                    const void* x_data, cudnnTensorDescriptor_t dy, const void* dy_data,
                                                    cudnnConvolutionDescriptor_t how,
                                                    cudnnConvolutionBwdFilterAlgo_t algorithm, void* workspace,
                                                    std::size_t bytes, const void* beta, cudnnFilterDescriptor_t dw,
                                                    void* dw_data) {
  if (algorithm != CUDNN_CONVOLUTION_BWD_FILTER_ALGO_1)
    throw emulation::fault("cudnnConvolutionBackwardFilter: the algorithm is not deterministic");
  const auto terms = [how = *how, a = static_cast<const float*>(x_data), b = static_cast<const float*>(dy_data)](
                         auto& sums, auto at_x, auto at_w, auto at_y) {
    sums[at_w] += static_cast<double>(emulation::cudnn_factor(a[at_x], how)) *
                  static_cast<double>(emulation::cudnn_factor(b[at_y], how));
  };
  return emulation::convolve(handle->stream, emulation::cudnn().workspace, *x, dw->shape, *how, *dy, dw->shape,
                             static_cast<float*>(dw_data), *static_cast<const float*>(beta), workspace, bytes, terms);
}
/// c = alpha a + beta c, where extents of a that are 1 repeat.
inline cudnnStatus_t cudnnAddTensor(cudnnHandle_t handle, const void* alpha, cudnnTensorDescriptor_t a,
                                    const void* a_data, const void* beta, cudnnTensorDescriptor_t c, void* c_data) {
  for (int i = 0; i < 4; ++i)
    if (a->extent[i] != 1 && a->extent[i] != c->extent[i]) return CUDNN_STATUS_BAD_PARAM;
  const auto error = emulation::submit(
      handle->stream, [=, a = *a, c = *c, from = static_cast<const float*>(a_data), to = static_cast<float*>(c_data),
                       one = *static_cast<const float*>(alpha), keep = *static_cast<const float*>(beta)] {
        const emulation::opened_memory opened;
        for (int n = 0; n < c.extent[0]; ++n)
          for (int k = 0; k < c.extent[1]; ++k)
            for (int i = 0; i < c.extent[2]; ++i)
              for (int j = 0; j < c.extent[3]; ++j) {
                const auto within = [&](int axis, int at) { return a.extent[axis] == 1 ? 0 : at; };
                float& value = to[c.at(n, k, i, j)];
                value = one * from[a.at(within(0, n), within(1, k), within(2, i), within(3, j))] + keep * value;
              }
      });
  return error == cudaSuccess ? CUDNN_STATUS_SUCCESS : CUDNN_STATUS_BAD_PARAM;
}
