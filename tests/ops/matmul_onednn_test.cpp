#include <milkit/ops/matmul_onednn.hpp>

#include <support/gemm_check.hpp>

using namespace milkit;

TEST_CASE_TEMPLATE("matmul by onednn agrees with the oracle", T, float, double) { test::gemm_agrees<T>(onednn_gemm); }
