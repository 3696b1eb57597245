#include <milkit/ops/products/matmul_onednn.hpp>

#include <support/floats.hpp>
#include <support/gemm_check.hpp>

using namespace milkit;

TEST_CASE_TEMPLATE("matmul by onednn agrees with the oracle", T, MILKIT_FLOATS) { test::gemm_agrees<T>(onednn_gemm); }
