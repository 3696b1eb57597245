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
enum cublasLtMatmulDescAttributes_t {
  CUBLASLT_MATMUL_DESC_TRANSA = 3,
  CUBLASLT_MATMUL_DESC_TRANSB = 4,
  CUBLASLT_MATMUL_DESC_EPILOGUE = 7,
  CUBLASLT_MATMUL_DESC_BIAS_POINTER = 8,
};
enum cublasLtEpilogue_t { CUBLASLT_EPILOGUE_DEFAULT = 1, CUBLASLT_EPILOGUE_BIAS = 4 };
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
  cublasComputeType_t compute = CUBLAS_COMPUTE_32F;
  cublasOperation_t transpose[2] = {CUBLAS_OP_N, CUBLAS_OP_N};
  std::uint32_t epilogue = CUBLASLT_EPILOGUE_DEFAULT;
  const void* bias = nullptr;
};
struct matrix_description {
  cudaDataType_t type = CUDA_R_32F;
  std::int64_t rows = 0, cols = 0, leading = 0;
};
struct matmul_preferences {
  std::size_t workspace = 0;
  std::uint32_t reduction = 7, alignment[4] = {256, 256, 256, 256};
};
/// What an algorithm counts on, and the extents that it was chosen for.
struct matmul_choice {
  std::size_t workspace = 0;
  std::uint32_t alignment[4] = {}, bias_alignment = 0, epilogue = 0;
  std::int64_t extents[3] = {}, leading[3] = {};
};
/// How often an algorithm was asked for, and what was chosen last; `exact_only` lets none pass for other extents than its own,
/// `biases` is whether there are any with a bias.
struct matmul_library {
  std::size_t searches = 0;
  matmul_choice last;
  bool exact_only = false, biases = true;
};
inline matmul_library& the_matmul_library() {
  static matmul_library one;
  return one;
}

inline std::uint32_t alignment_of(std::uintptr_t at) {
  std::uint32_t alignment = 256;
  while (at % alignment != 0) alignment /= 2;
  return alignment;
}
/// The largest number of elements, up to 16 bytes, that divides the distance of two columns.
inline std::int64_t pack_of(const matrix_description& m) {
  std::int64_t pack = m.type == CUDA_R_32F ? 4 : 2;
  while (m.leading % pack != 0) pack /= 2;
  return pack;
}

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
      if (how.epilogue == CUBLASLT_EPILOGUE_BIAS) sum += static_cast<double>(static_cast<const T*>(how.bias)[i]) / static_cast<double>(alpha);
      T& out = c[j * lc.leading + i];
      out = static_cast<T>(static_cast<double>(alpha) * sum + (beta == T(0) ? 0.0 : static_cast<double>(beta) * static_cast<double>(out)));
    }
}
}  // namespace emulation

using cublasLtHandle_t = int*;
using cublasLtMatmulDescOpaque_t = emulation::matmul_description;
using cublasLtMatrixLayoutOpaque_t = emulation::matrix_description;
using cublasLtMatmulPreferenceOpaque_t = emulation::matmul_preferences;
using cublasLtMatmulDesc_t = cublasLtMatmulDescOpaque_t*;
using cublasLtMatrixLayout_t = cublasLtMatrixLayoutOpaque_t*;
using cublasLtMatmulPreference_t = cublasLtMatmulPreferenceOpaque_t*;
using cublasLtMatmulAlgo_t = emulation::matmul_choice;
struct cublasLtMatmulHeuristicResult_t {
  cublasLtMatmulAlgo_t algo;
  std::size_t workspaceSize;
  cublasStatus_t state;
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
inline cublasStatus_t cublasLtMatmulDescInit(cublasLtMatmulDesc_t desc, cublasComputeType_t compute, cudaDataType_t) {
  *desc = {};
  desc->compute = compute;
  return CUBLAS_STATUS_SUCCESS;
}
inline cublasStatus_t cublasLtMatmulDescSetAttribute(cublasLtMatmulDesc_t desc, cublasLtMatmulDescAttributes_t which, const void* value, std::size_t bytes) {
  void* into = which == CUBLASLT_MATMUL_DESC_TRANSA     ? static_cast<void*>(&desc->transpose[0])
               : which == CUBLASLT_MATMUL_DESC_TRANSB   ? static_cast<void*>(&desc->transpose[1])
               : which == CUBLASLT_MATMUL_DESC_EPILOGUE ? static_cast<void*>(&desc->epilogue)
                                                        : static_cast<void*>(&desc->bias);
  if (bytes != (which == CUBLASLT_MATMUL_DESC_BIAS_POINTER ? sizeof(void*) : 4)) return CUBLAS_STATUS_INVALID_VALUE;
  std::memcpy(into, value, bytes);
  return CUBLAS_STATUS_SUCCESS;
}
inline cublasStatus_t cublasLtMatrixLayoutInit(cublasLtMatrixLayout_t layout, cudaDataType_t type, std::uint64_t rows, std::uint64_t cols, std::int64_t leading) {
  *layout = {type, static_cast<std::int64_t>(rows), static_cast<std::int64_t>(cols), leading};
  return rows > 0 && cols > 0 && leading >= static_cast<std::int64_t>(rows) ? CUBLAS_STATUS_SUCCESS : CUBLAS_STATUS_INVALID_VALUE;
}
inline cublasStatus_t cublasLtMatmulPreferenceInit(cublasLtMatmulPreference_t preference) {
  *preference = {};
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
  const bool biased = c->type == CUDA_R_32F && desc->bias && emulation::the_matmul_library().biases;
  const bool known = desc->epilogue == CUBLASLT_EPILOGUE_DEFAULT || (desc->epilogue == CUBLASLT_EPILOGUE_BIAS && biased);
  ++emulation::the_matmul_library().searches;
  *count = fits && known ? 1 : 0;
  cublasLtMatmulAlgo_t& choice = result->algo;
  choice.workspace = result->workspaceSize = preference->workspace;
  result->state = CUBLAS_STATUS_SUCCESS;
  std::copy_n(preference->alignment, 4, choice.alignment);
  choice.bias_alignment = emulation::alignment_of(reinterpret_cast<std::uintptr_t>(desc->bias));
  choice.epilogue = desc->epilogue;
  const cublasLtMatrixLayout_t tables[3] = {a, b, c};
  for (int i = 0; i < 3; ++i) choice.leading[i] = emulation::pack_of(*tables[i]);
  choice.extents[0] = c->rows, choice.extents[1] = c->cols, choice.extents[2] = ta ? a->rows : a->cols;
  emulation::the_matmul_library().last = choice;
  return CUBLAS_STATUS_SUCCESS;
}
inline cublasStatus_t cublasLtMatmulAlgoCheck(cublasLtHandle_t, cublasLtMatmulDesc_t desc, cublasLtMatrixLayout_t a, cublasLtMatrixLayout_t b,
                                              cublasLtMatrixLayout_t c, cublasLtMatrixLayout_t, const cublasLtMatmulAlgo_t* algorithm,
                                              cublasLtMatmulHeuristicResult_t* result) {
  const cublasLtMatrixLayout_t tables[3] = {a, b, c};
  for (int i = 0; i < 3; ++i)
    if (emulation::pack_of(*tables[i]) % algorithm->leading[i] != 0) return CUBLAS_STATUS_NOT_SUPPORTED;
  const std::int64_t extents[3] = {c->rows, c->cols, desc->transpose[0] == CUBLAS_OP_T ? a->rows : a->cols};
  if (emulation::the_matmul_library().exact_only && !std::equal(extents, extents + 3, algorithm->extents)) return CUBLAS_STATUS_NOT_SUPPORTED;
  result->workspaceSize = algorithm->workspace;
  return CUBLAS_STATUS_SUCCESS;
}
// not inlined: the compiler would see the type behind `alpha`, and read the other branch as an error
__attribute__((noinline)) inline cublasStatus_t cublasLtMatmul(cublasLtHandle_t, cublasLtMatmulDesc_t desc, const void* alpha, const void* a,
                                                               cublasLtMatrixLayout_t la, const void* b, cublasLtMatrixLayout_t lb,
                                                               const void* beta, const void* c, cublasLtMatrixLayout_t, void* d,
                                                               cublasLtMatrixLayout_t ld, const cublasLtMatmulAlgo_t* algorithm,
                                                               void* workspace, std::size_t workspace_bytes, cudaStream_t stream) {
  const void* pointers[4] = {a, b, c, d};
  for (int i = 0; i < 4; ++i)
    if (reinterpret_cast<std::uintptr_t>(pointers[i]) % algorithm->alignment[i] != 0)
      throw emulation::fault("cublasLtMatmul: pointer " + std::to_string(i) + " is not aligned to the promised " + std::to_string(algorithm->alignment[i]) + " bytes");
  if (algorithm->epilogue != desc->epilogue || reinterpret_cast<std::uintptr_t>(desc->bias) % algorithm->bias_alignment != 0)
    throw emulation::fault("cublasLtMatmul: an algorithm for another bias");
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
