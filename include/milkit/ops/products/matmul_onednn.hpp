#pragma once

#include <new>

#include <dnnl.h>

#include <milkit/core/cpu.hpp>

namespace milkit {

namespace detail {
inline void onednn_sgemm(bool transpose_a, bool transpose_b, std::int64_t m, std::int64_t n, std::int64_t k,
                         const float* a, std::int64_t lda, const float* b, std::int64_t ldb, float beta, float* c,
                         std::int64_t ldc) {
#if defined(_OPENMP)
  // Outside a parallel region oneDNN would use every thread of OpenMP.
  const int threads = omp_get_max_threads();
  if (threads > 1) omp_set_num_threads(1);
#endif
  const dnnl_status_t status =
      dnnl_sgemm(transpose_a ? 'T' : 'N', transpose_b ? 'T' : 'N', m, n, k, 1.0f, a, lda, b, ldb, beta, c, ldc);
#if defined(_OPENMP)
  if (threads > 1) omp_set_num_threads(threads);
#endif
  if (status == dnnl_out_of_memory) throw std::bad_alloc();
  if (status != dnnl_success)
    throw std::runtime_error(message("milkit: dnnl_sgemm failed with status ", static_cast<int>(status)));
}
}  // namespace detail

/// oneDNN's matrix product for float (double stays with Eigen): `cpu cpu{.gemm = onednn_gemm}`. Link `milkit::onednn`.
inline constexpr gemm_library onednn_gemm{.single = detail::onednn_sgemm};

}  // namespace milkit
