#pragma once

#include <limits>

#include <cblas.h>

#include <milkit/core/cpu.hpp>

namespace milkit {

namespace detail {
/// The C interface counts in int.
inline int cblas_extent(std::int64_t extent) {
  constexpr std::int64_t most = (std::numeric_limits<int>::max)();
  if (extent > most)
    throw shape_error(message("milkit::cblas_gemm: an extent or a stride is ", extent, ", expected at most ", most));
  return static_cast<int>(extent);
}
inline void cblas_gemm_float(bool transpose_a, bool transpose_b, std::int64_t m, std::int64_t n, std::int64_t k,
                             const float* a, std::int64_t lda, const float* b, std::int64_t ldb, float beta, float* c,
                             std::int64_t ldc) {
  cblas_sgemm(CblasRowMajor, transpose_a ? CblasTrans : CblasNoTrans, transpose_b ? CblasTrans : CblasNoTrans,
              cblas_extent(m), cblas_extent(n), cblas_extent(k), 1.0f, a, cblas_extent(lda), b, cblas_extent(ldb), beta,
              c, cblas_extent(ldc));
}
inline void cblas_gemm_double(bool transpose_a, bool transpose_b, std::int64_t m, std::int64_t n, std::int64_t k,
                              const double* a, std::int64_t lda, const double* b, std::int64_t ldb, double beta,
                              double* c, std::int64_t ldc) {
  cblas_dgemm(CblasRowMajor, transpose_a ? CblasTrans : CblasNoTrans, transpose_b ? CblasTrans : CblasNoTrans,
              cblas_extent(m), cblas_extent(n), cblas_extent(k), 1.0, a, cblas_extent(lda), b, cblas_extent(ldb), beta,
              c, cblas_extent(ldc));
}
}  // namespace detail

/// Any BLAS with the C interface (OpenBLAS, MKL, BLIS): `cpu cpu{.gemm = cblas_gemm}`. Link `milkit::cblas`. Keep the
/// BLAS itself to one thread (`OPENBLAS_NUM_THREADS=1`): milkit divides the work.
inline constexpr gemm_library cblas_gemm{.single = detail::cblas_gemm_float, .double_ = detail::cblas_gemm_double};

}  // namespace milkit
