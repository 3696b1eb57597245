#include <milkit/ops/matmul_cblas.hpp>

#include <support/gemm_check.hpp>

using namespace milkit;

TEST_CASE_TEMPLATE("matmul by cblas agrees with the oracle", T, float, double) { test::gemm_agrees<T>(cblas_gemm); }
