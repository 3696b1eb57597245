#pragma once

#include <algorithm>
#include <type_traits>

#include <Eigen/Core>

#include <milkit/core/cpu.hpp>

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
void eigen_gemm(std::int64_t m, std::int64_t n, std::int64_t k, const T* a, std::int64_t lda, const T* b,
                std::int64_t ldb, T* c, std::int64_t ldc, eigen_blocking<T>& blocking) {
  using Eigen::ColMajor;
  using Eigen::RowMajor;
  Eigen::internal::general_matrix_matrix_product<Eigen::Index, T, TransposeA ? ColMajor : RowMajor, false, T,
                                                 TransposeB ? ColMajor : RowMajor, false, RowMajor, 1>::run(m, n, k, a,
                                                                                                            lda, b, ldb,
                                                                                                            c, 1, ldc,
                                                                                                            T(1),
                                                                                                            blocking);
}

/// Row-major products c[m, n] = op(a) op(b) (+ c) on the calling thread, of at most the sizes given here: by the
/// backend's library, or by Eigen with `packing_size()` elements of the caller's memory. Ops that split their own work
/// over threads build on it. Blocks are those of the largest product, also for smaller ones, because Eigen's own choice
/// for those may need more memory. With Eigen, and `a` not transposed, a row of c has the same bits whichever rows are
/// computed with it.
template <class T>
class serial_gemm {
  /// Rows of c that Eigen computes at a time. It sums what remains in another order, so nothing may remain.
  static constexpr std::int64_t group = Eigen::internal::gebp_traits<T, T>::nr;

 public:
  serial_gemm(const cpu& backend, bool transpose_a, bool transpose_b, std::int64_t m, std::int64_t n, std::int64_t k)
      : ta_(transpose_a),
        tb_(transpose_b),
        empty_(m == 0 || n == 0 || k == 0),
        blocking_((m + group - 1) / group * group, n, k),
        padding_(transpose_a ? 0 : (group * (k + n) + 15) / 16 * 16) {
    if constexpr (std::is_same_v<T, float>) library_ = backend.gemm.single;
    else library_ = backend.gemm.double_;
  }

  std::int64_t packing_size() const {
    return library_ || empty_ ? 0 : blocking_.size_a() + blocking_.size_b() + padding_;
  }

  void operator()(std::int64_t m, std::int64_t n, std::int64_t k, const T* a, std::int64_t lda, const T* b,
                  std::int64_t ldb, bool accumulate, T* c, std::int64_t ldc, T* packing) const {
    if (!accumulate && (k == 0 || !library_))
      for (std::int64_t i = 0; i < m; ++i) std::fill_n(c + i * ldc, n, T(0));
    if (m == 0 || n == 0 || k == 0) return;
    if (library_) return library_(ta_, tb_, m, n, k, a, lda, b, ldb, accumulate ? T(1) : T(0), c, ldc);
    eigen_blocking<T> blocking = blocking_;
    blocking.use(packing);
    const auto product = ta_ ? (tb_ ? eigen_gemm<T, true, true> : eigen_gemm<T, true, false>)
                             : (tb_ ? eigen_gemm<T, false, true> : eigen_gemm<T, false, false>);
    const std::int64_t rest = ta_ ? 0 : m % group, whole = m - rest;
    if (whole > 0) product(whole, n, k, a, lda, b, ldb, c, ldc, blocking);
    if (rest == 0) return;
    T *rows = packing + blocking.size_a() + blocking.size_b(), *result = rows + group * k;
    std::fill_n(rows, padding_, T(0));
    for (std::int64_t i = 0; i < rest; ++i) {
      std::copy_n(a + (whole + i) * lda, k, rows + i * k);
      std::copy_n(c + (whole + i) * ldc, n, result + i * n);
    }
    product(group, n, k, rows, k, b, ldb, result, n, blocking);
    for (std::int64_t i = 0; i < rest; ++i) std::copy_n(result + i * n, n, c + (whole + i) * ldc);
  }

 private:
  std::conditional_t<std::is_same_v<T, float>, gemm_library::gemm, gemm_library::gemm_double> library_;
  bool ta_, tb_, empty_;
  eigen_blocking<T> blocking_;
  std::int64_t padding_;
};

}  // namespace milkit::ops::detail
