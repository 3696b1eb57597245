#pragma once
/// Stands in for cuBLASLt: plain loops over columns, float32 factors rounded as the compute type says, sums in double. What was
/// promised of pointers and workspace is checked at the call.

#include <cstdint>
#include <vector>

#include "cuda_runtime.h"

enum cublasStatus_t { CUBLAS_STATUS_SUCCESS = 0, CUBLAS_STATUS_INVALID_VALUE = 7, CUBLAS_STATUS_NOT_SUPPORTED = 15 };
enum cublasOperation_t { CUBLAS_OP_N = 0, CUBLAS_OP_T = 1 };
enum cudaDataType_t { CUDA_R_32F = 0, CUDA_R_64F = 1 };
enum cublasComputeType_t { CUBLAS_COMPUTE_32F = 68, CUBLAS_COMPUTE_32F_FAST_16BF = 75, CUBLAS_COMPUTE_32F_FAST_TF32 = 77, CUBLAS_COMPUTE_64F = 70 };
enum cublasLtMatmulDescAttributes_t { CUBLASLT_MATMUL_DESC_TRANSA = 3, CUBLASLT_MATMUL_DESC_TRANSB = 4 };
enum cublasLtMatmulPreferenceAttributes_t {
  CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES = 1,
  CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK = 3,
  CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES = 5,
  CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES = 6,
  CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES = 7,
  CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES = 8,
};
enum { CUBLASLT_REDUCTION_SCHEME_NONE = 0, CUBLASLT_REDUCTION_SCHEME_INPLACE = 1, CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE = 2, CUBLASLT_REDUCTION_SCHEME_OUTPUT_TYPE = 4 };

namespace emulation {
struct matmul_description {
  cublasComputeType_t compute;
  cublasOperation_t transpose[2] = {CUBLAS_OP_N, CUBLAS_OP_N};
};
struct matrix_description {
  cudaDataType_t type;
  std::int64_t rows, cols, leading;
};
struct matmul_preferences {
  std::size_t workspace = 0;
  std::uint32_t reduction = 7, alignment[4] = {256, 256, 256, 256};
};
struct matmul_choice {
  std::size_t workspace;
  std::uint32_t alignment[4];
};

template <class T>
T rounded(T value, cublasComputeType_t compute) {
  if constexpr (sizeof(T) == 4) {
    const unsigned dropped = compute == CUBLAS_COMPUTE_32F_FAST_TF32 ? 13 : compute == CUBLAS_COMPUTE_32F_FAST_16BF ? 16 : 0;
    if (dropped == 0 || !std::isfinite(value)) return value;
    std::uint32_t bits;
    std::memcpy(&bits, &value, 4);
    bits = (bits + (1u << (dropped - 1))) >> dropped << dropped;
    std::memcpy(&value, &bits, 4);
  }
  return value;
}

template <class T>
void multiply(const matmul_description& how, T alpha, const T* a, const matrix_description& la, const T* b, const matrix_description& lb, T beta,
              T* c, const matrix_description& lc) {
  const bool ta = how.transpose[0] == CUBLAS_OP_T, tb = how.transpose[1] == CUBLAS_OP_T;
  const std::int64_t terms = ta ? la.rows : la.cols;
  for (std::int64_t j = 0; j < lc.cols; ++j)
    for (std::int64_t i = 0; i < lc.rows; ++i) {
      double sum = 0;
      for (std::int64_t k = 0; k < terms; ++k)
        sum += static_cast<double>(rounded(ta ? a[i * la.leading + k] : a[k * la.leading + i], how.compute)) *
               static_cast<double>(rounded(tb ? b[k * lb.leading + j] : b[j * lb.leading + k], how.compute));
      T& out = c[j * lc.leading + i];
      out = static_cast<T>(static_cast<double>(alpha) * sum + (beta == T(0) ? 0.0 : static_cast<double>(beta) * static_cast<double>(out)));
    }
}
}  // namespace emulation

using cublasLtHandle_t = int*;
using cublasLtMatmulDesc_t = emulation::matmul_description*;
using cublasLtMatrixLayout_t = emulation::matrix_description*;
using cublasLtMatmulPreference_t = emulation::matmul_preferences*;
using cublasLtMatmulAlgo_t = emulation::matmul_choice;
struct cublasLtMatmulHeuristicResult_t {
  cublasLtMatmulAlgo_t algo;
  std::size_t workspaceSize;
};

inline const char* cublasLtGetStatusName(cublasStatus_t status) {
  return status == CUBLAS_STATUS_SUCCESS ? "CUBLAS_STATUS_SUCCESS" : status == CUBLAS_STATUS_INVALID_VALUE ? "CUBLAS_STATUS_INVALID_VALUE" : "CUBLAS_STATUS_NOT_SUPPORTED";
}
inline cublasStatus_t cublasLtCreate(cublasLtHandle_t* handle) {
  *handle = new int(0);
  return CUBLAS_STATUS_SUCCESS;
}
inline cublasStatus_t cublasLtDestroy(cublasLtHandle_t handle) {
  delete handle;
  return CUBLAS_STATUS_SUCCESS;
}
inline cublasStatus_t cublasLtMatmulDescCreate(cublasLtMatmulDesc_t* desc, cublasComputeType_t compute, cudaDataType_t) {
  *desc = new emulation::matmul_description{compute};
  return CUBLAS_STATUS_SUCCESS;
}
inline cublasStatus_t cublasLtMatmulDescDestroy(cublasLtMatmulDesc_t desc) {
  delete desc;
  return CUBLAS_STATUS_SUCCESS;
}
inline cublasStatus_t cublasLtMatmulDescSetAttribute(cublasLtMatmulDesc_t desc, cublasLtMatmulDescAttributes_t which, const void* value, std::size_t bytes) {
  if (bytes != sizeof(cublasOperation_t)) return CUBLAS_STATUS_INVALID_VALUE;
  std::memcpy(&desc->transpose[which == CUBLASLT_MATMUL_DESC_TRANSA ? 0 : 1], value, bytes);
  return CUBLAS_STATUS_SUCCESS;
}
inline cublasStatus_t cublasLtMatrixLayoutCreate(cublasLtMatrixLayout_t* layout, cudaDataType_t type, std::uint64_t rows, std::uint64_t cols, std::int64_t leading) {
  *layout = new emulation::matrix_description{type, static_cast<std::int64_t>(rows), static_cast<std::int64_t>(cols), leading};
  return rows > 0 && cols > 0 && leading >= static_cast<std::int64_t>(rows) ? CUBLAS_STATUS_SUCCESS : CUBLAS_STATUS_INVALID_VALUE;
}
inline cublasStatus_t cublasLtMatrixLayoutDestroy(cublasLtMatrixLayout_t layout) {
  delete layout;
  return CUBLAS_STATUS_SUCCESS;
}
inline cublasStatus_t cublasLtMatmulPreferenceCreate(cublasLtMatmulPreference_t* preference) {
  *preference = new emulation::matmul_preferences;
  return CUBLAS_STATUS_SUCCESS;
}
inline cublasStatus_t cublasLtMatmulPreferenceDestroy(cublasLtMatmulPreference_t preference) {
  delete preference;
  return CUBLAS_STATUS_SUCCESS;
}
inline cublasStatus_t cublasLtMatmulPreferenceSetAttribute(cublasLtMatmulPreference_t preference, cublasLtMatmulPreferenceAttributes_t which,
                                                           const void* value, std::size_t bytes) {
  const std::size_t expected = which == CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES ? sizeof(std::size_t) : sizeof(std::uint32_t);
  if (bytes != expected) return CUBLAS_STATUS_INVALID_VALUE;
  void* into = which == CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES     ? static_cast<void*>(&preference->workspace)
               : which == CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK ? static_cast<void*>(&preference->reduction)
                                                                     : static_cast<void*>(&preference->alignment[which - CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES]);
  std::memcpy(into, value, bytes);
  return CUBLAS_STATUS_SUCCESS;
}
inline cublasStatus_t cublasLtMatmulAlgoGetHeuristic(cublasLtHandle_t, cublasLtMatmulDesc_t desc, cublasLtMatrixLayout_t a, cublasLtMatrixLayout_t b,
                                                     cublasLtMatrixLayout_t c, cublasLtMatrixLayout_t, cublasLtMatmulPreference_t preference, int,
                                                     cublasLtMatmulHeuristicResult_t* result, int* count) {
  const bool ta = desc->transpose[0] == CUBLAS_OP_T, tb = desc->transpose[1] == CUBLAS_OP_T;
  const bool fits = (ta ? a->cols : a->rows) == c->rows && (tb ? b->rows : b->cols) == c->cols && (ta ? a->rows : a->cols) == (tb ? b->cols : b->rows);
  *count = fits ? 1 : 0;
  result->algo.workspace = preference->workspace;
  std::copy_n(preference->alignment, 4, result->algo.alignment);
  return CUBLAS_STATUS_SUCCESS;
}
inline cublasStatus_t cublasLtMatmul(cublasLtHandle_t, cublasLtMatmulDesc_t desc, const void* alpha, const void* a, cublasLtMatrixLayout_t la,
                                     const void* b, cublasLtMatrixLayout_t lb, const void* beta, const void* c, cublasLtMatrixLayout_t, void* d,
                                     cublasLtMatrixLayout_t ld, const cublasLtMatmulAlgo_t* algorithm, void* workspace, std::size_t workspace_bytes, cudaStream_t stream) {
  const void* pointers[4] = {a, b, c, d};
  for (int i = 0; i < 4; ++i)
    if (reinterpret_cast<std::uintptr_t>(pointers[i]) % algorithm->alignment[i] != 0)
      throw emulation::fault("cublasLtMatmul: pointer " + std::to_string(i) + " is not aligned to the promised " + std::to_string(algorithm->alignment[i]) + " bytes");
  if (workspace_bytes < algorithm->workspace || reinterpret_cast<std::uintptr_t>(workspace) % 256 != 0) return CUBLAS_STATUS_INVALID_VALUE;
  const auto run = [desc = *desc, la = *la, lb = *lb, ld = *ld, a, b, d, workspace, workspace_bytes]<class T>(T one, T factor) {
    return [=] {
      const emulation::opened_memory opened;
      std::memset(workspace, 0xFF, workspace_bytes);
      emulation::multiply(desc, one, static_cast<const T*>(a), la, static_cast<const T*>(b), lb, factor, static_cast<T*>(d), ld);
    };
  };
  const cudaError_t error = ld->type == CUDA_R_32F ? emulation::submit(stream, run(*static_cast<const float*>(alpha), *static_cast<const float*>(beta)))
                                                   : emulation::submit(stream, run(*static_cast<const double*>(alpha), *static_cast<const double*>(beta)));
  return error == cudaSuccess ? CUBLAS_STATUS_SUCCESS : CUBLAS_STATUS_INVALID_VALUE;
}
