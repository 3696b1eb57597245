#include <milkit/ops/products/matmul_cblas.hpp>

#include <support/floats.hpp>
#include <support/gemm_check.hpp>

using namespace milkit;

TEST_CASE_TEMPLATE("matmul by cblas agrees with the oracle", T, MILKIT_FLOATS) { test::gemm_agrees<T>(cblas_gemm); }

TEST_CASE_TEMPLATE("matmul by cblas refuses what its int cannot count", T, MILKIT_FLOATS) {
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
