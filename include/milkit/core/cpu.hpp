#pragma once

#include <memory>
#include <vector>

#include <milkit/core/backend.hpp>

#if defined(_OPENMP)
#include <omp.h>
#endif

namespace milkit {

/// A row-major, single-threaded matrix product that `cpu` may use instead of Eigen:
/// `c[m, n] = op(a) op(b) + beta c`, where op transposes if told to and `lda`, `ldb`, `ldc` are row strides.
/// Ready ones: `onednn_gemm` (ops/products/matmul_onednn.hpp) and `cblas_gemm` (ops/products/matmul_cblas.hpp).
struct gemm_library {
  using gemm = void (*)(bool transpose_a, bool transpose_b, std::int64_t m, std::int64_t n, std::int64_t k,
                        const float* a, std::int64_t lda, const float* b, std::int64_t ldb, float beta, float* c,
                        std::int64_t ldc);
  using gemm_double = void (*)(bool transpose_a, bool transpose_b, std::int64_t m, std::int64_t n, std::int64_t k,
                               const double* a, std::int64_t lda, const double* b, std::int64_t ldb, double beta,
                               double* c, std::int64_t ldc);
  gemm single = nullptr;          ///< null: Eigen
  gemm_double double_ = nullptr;  ///< null: Eigen
};

/// The CPU backend. `cpu{}` uses every core that OpenMP offers; `cpu{.threads = 2}` uses two. Results never depend on
/// the number of threads. One object serves one thread of yours at a time (it owns the workspace); make one for each.
struct cpu {
  using space = host_space;

  /// Chunks of a bag (pooling/bag_embedding.hpp): bytes of intermediate values that stay in cache, and bounds on the
  /// rows.
  static constexpr std::int64_t chunk_bytes = std::int64_t{2} << 20, least_chunk_rows = 64, most_chunk_rows = 512;

  int threads = 0;  ///< 0: as many as the machine has
  gemm_library gemm = {};
  milkit::workspace<host_space> workspace = {};

  /// Where layers put what backward needs; null: into the workspace. Set by those who keep it apart
  /// (pooling/bag_embedding.hpp).
  milkit::workspace<host_space>* store = nullptr;

  /// One of `workers`: its matrix products are not divided, because other threads have their own.
  bool serial = false;

  milkit::workspace<host_space>& kept_memory() { return store ? *store : workspace; }

  /// The most temporary memory in use at once, with the workers' (which need not have peaked together).
  std::size_t peak_bytes() const {
    std::size_t bytes = workspace.peak_bytes();
    for (const auto& each : workers) bytes += each->workspace.peak_bytes();
    return bytes;
  }

  /// A backend that computes nothing and counts the memory that this one would use.
  cpu planner() const {
    return cpu{.threads = threads, .gemm = gemm, .workspace = milkit::workspace<host_space>(true)};
  }

  /// The number of threads that parallel loops use: 1 where this was compiled without OpenMP.
  int thread_count() const {
#if defined(_OPENMP)
    return threads > 0 ? threads : omp_get_max_threads();
#else
    return 1;
#endif
  }

  /// The single-threaded backend of thread `i` of a parallel loop, with a workspace of its own that is kept between
  /// steps.
  cpu& worker(int i) {
    while (static_cast<int>(workers.size()) <= i)
      workers.push_back(std::make_unique<cpu>(cpu{.threads = 1,
                                                  .gemm = gemm,
                                                  .workspace = milkit::workspace<host_space>(workspace.planning()),
                                                  .serial = true}));
    workers[static_cast<std::size_t>(i)]->gemm = gemm;
    return *workers[static_cast<std::size_t>(i)];
  }

  std::vector<std::unique_ptr<cpu>> workers = {};  ///< filled by `worker`
};

/// A short vector of the host where the backend's kernels can read it: itself on `cpu`; on `cuda` a copy in the
/// workspace.
template <class T>
vector_view<const T> to_backend(cpu&, vector_view<const T> host) {
  return host;
}
/// Rows of the host where the backend's kernels can read them: themselves on `cpu`; on `cuda` a copy in `kept_memory()`,
/// queued; the host may change its rows as soon as this returns, unless they are pinned.
template <class T, int Rank>
view<const T, Rank> resident(cpu&, view<const T, Rank> host) {
  return host;
}
/// The values of a short vector of the backend: itself on `cpu`; `cuda` waits for it and copies it into host memory of
/// the workspace.
template <class T>
vector_view<const T> to_host(cpu&, vector_view<const T> values) {
  return values;
}

/// True for a backend whose memory ordinary code may read.
template <class Backend>
inline constexpr bool is_cpu = std::same_as<std::remove_const_t<Backend>, cpu>;

}  // namespace milkit
