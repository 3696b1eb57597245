#include <doctest/doctest.h>

#include <milkit/ops/matmul_cblas.hpp>
#include <milkit/ops/matmul_cpu.hpp>

#include <reference/matmul.hpp>
#include <support/gradient_check.hpp>

using namespace milkit;

namespace {
struct sizes {
  std::int64_t m, n, k;
};
}  // namespace

TEST_CASE_TEMPLATE("matmul by cblas agrees with the oracle", T, float, double) {
  cpu backend{.threads = 2, .gemm = cblas_gemm};
  for (const auto& [m, n, k] :
       {sizes{0, 3, 4}, sizes{3, 4, 0}, sizes{1, 1, 1}, sizes{31, 33, 2}, sizes{2, 33, 257}, sizes{300, 31, 33}})
    for (const bool transpose_a : {false, true})
      for (const bool transpose_b : {false, true})
        for (const bool accumulate : {false, true}) {
          const auto a = test::normals<T>(transpose_a ? shape<2>{k, m} : shape<2>{m, k}, 1);
          const auto b = test::normals<T>(transpose_b ? shape<2>{n, k} : shape<2>{k, n}, 2);
          auto c = test::normals<T>(shape<2>{m, n}, 3);
          const auto want = reference::matmul(test::elements(a), test::elements(b), test::elements(c),
                                              static_cast<std::size_t>(m), static_cast<std::size_t>(n),
                                              static_cast<std::size_t>(k), transpose_a, transpose_b, accumulate);
          if (!accumulate) std::fill_n(c.data(), c.size(), std::numeric_limits<T>::quiet_NaN());
          ops::matmul(backend, a.view(), b.view(), c.view(), {transpose_a, transpose_b, accumulate});
          const std::string example = message(m, " ", n, " ", k, " ", transpose_a, " ", transpose_b, " ", accumulate);
          CAPTURE(example);
          CHECK(test::relative_error(c, want) <= (sizeof(T) == 8 ? 1e-13 : 2e-6));
        }
}

TEST_CASE_TEMPLATE("matmul by cblas refuses what its int cannot count", T, float, double) {
  const T one = 1;
  T c = 0;
  const auto product = [&](std::int64_t m, std::int64_t lda) {
    if constexpr (std::is_same_v<T, float>) cblas_gemm.single(false, false, m, 1, 1, &one, lda, &one, 1, 0, &c, 1);
    else cblas_gemm.double_(false, false, m, 1, 1, &one, lda, &one, 1, 0, &c, 1);
  };
  CHECK_NOTHROW(product(1, 1));
  CHECK(c == 1);
  const char* sentence = "milkit::cblas_gemm: an extent or a stride is 4294967297, expected at most 2147483647";
  CHECK_THROWS_WITH_AS(product((std::int64_t{1} << 32) + 1, 1), sentence, shape_error);  // cut off, it would be 1
  CHECK_THROWS_WITH_AS(product(1, (std::int64_t{1} << 32) + 1), sentence, shape_error);
}
