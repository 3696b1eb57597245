#pragma once

#include <algorithm>

#include <Eigen/Core>

#include <milkit/core/parallel_for.hpp>
#include <milkit/ops/matmul.hpp>

namespace milkit::ops::detail {

/// Block sizes of an Eigen product, and its two packing buffers in memory of ours: Eigen would take them from the heap.
template <class T>
class eigen_blocking : public Eigen::internal::level3_blocking<T, T> {
 public:
  eigen_blocking(std::int64_t m, std::int64_t n, std::int64_t k) {
    this->m_kc = k;
    this->m_mc = n;  // Eigen computes the transposed product where the result is row-major
    this->m_nc = m;
    Eigen::internal::computeProductBlockingSizes<T, T>(this->m_kc, this->m_mc, this->m_nc);
  }
  std::int64_t size_a() const { return (this->m_mc * this->m_kc + 15) / 16 * 16; }
  std::int64_t size_b() const { return (this->m_kc * this->m_nc + 15) / 16 * 16; }
  void use(T* memory) {
    this->m_blockA = memory;
    this->m_blockB = memory + size_a();
  }
};

template <class T, bool TransposeA, bool TransposeB>
void eigen_gemm(std::int64_t m, std::int64_t n, std::int64_t k, const T* a, std::int64_t lda, const T* b, std::int64_t ldb, T* c,
                std::int64_t ldc, eigen_blocking<T>& blocking) {
  using Eigen::ColMajor;
  using Eigen::RowMajor;
  Eigen::internal::general_matrix_matrix_product<Eigen::Index, T, TransposeA ? ColMajor : RowMajor, false, T,
                                                 TransposeB ? ColMajor : RowMajor, false, RowMajor, 1>::run(m, n, k, a, lda, b,
                                                                                                            ldb, c, 1, ldc, T(1),
                                                                                                            blocking);
}

template <>
struct matmul_impl<cpu> {
  /// Rows of c that one thread computes at a time.
  static constexpr std::int64_t block_rows = 256;

  template <class T>
  static auto library(const cpu& backend) {
    if constexpr (std::is_same_v<T, float>) return backend.gemm.single;
    else return backend.gemm.double_;
  }

  template <class T>
  static matrix_view<T> scratch(cpu& backend, matrix_view<const T> a, matrix_view<const T>, matrix_view<T> c,
                                const matmul_options& options) {
    if (library<T>(backend) != nullptr || c.size() == 0) return {};
    const std::int64_t k = options.transpose_a ? a.rows() : a.cols();
    const eigen_blocking<T> blocking((std::min)(block_rows, c.rows()), c.cols(), k);
    const std::int64_t threads = (std::min)(chunk_count(c.rows(), block_rows), std::int64_t{backend.thread_count()});
    return backend.workspace.allocate<T>(shape<2>{threads, blocking.size_a() + blocking.size_b()});
  }

  template <class T>
  static void run(cpu& backend, matrix_view<T> packing, matrix_view<const T> a, matrix_view<const T> b, matrix_view<T> c,
                  const matmul_options& options) {
    if (c.size() == 0) return;
    const bool ta = options.transpose_a, tb = options.transpose_b;
    const std::int64_t n = c.cols(), k = ta ? a.rows() : a.cols();
    parallel_for(backend, c.rows(), block_rows, [&](row_range rows, int thread) {
      const T* a_rows = ta ? a.data() + rows.first : a.row(rows.first);
      T* c_rows = c.row(rows.first);
      if (!options.accumulate && (k == 0 || !library<T>(backend)))
        for (std::int64_t i = 0; i < rows.count; ++i) std::fill_n(c_rows + i * c.stride(), n, T(0));
      if (k == 0) return;
      if (const auto gemm = library<T>(backend)) {
        gemm(ta, tb, rows.count, n, k, a_rows, a.stride(), b.data(), b.stride(), options.accumulate ? T(1) : T(0), c_rows,
             c.stride());
        return;
      }
      eigen_blocking<T> blocking(rows.count, n, k);
      blocking.use(packing.row(thread));
      const auto product = ta ? (tb ? eigen_gemm<T, true, true> : eigen_gemm<T, true, false>)
                              : (tb ? eigen_gemm<T, false, true> : eigen_gemm<T, false, false>);
      product(rows.count, n, k, a_rows, a.stride(), b.data(), b.stride(), c_rows, c.stride(), blocking);
    });
  }
};

}  // namespace milkit::ops::detail
