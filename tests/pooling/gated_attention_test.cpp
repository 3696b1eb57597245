#include <milkit/ops/bags/gate_cpu.hpp>
#include <milkit/ops/bags/segment_pool_cpu.hpp>
#include <milkit/ops/products/linear_cpu.hpp>
#include <milkit/ops/products/matmul_cpu.hpp>
#include <milkit/ops/rows/dropout_cpu.hpp>
#include <milkit/ops/rows/fill_cpu.hpp>

#include "gated_attention_cases.hpp"

using namespace milkit;
using pooling::gated_attention;

TEST_CASE("gated_attention has 262 913 parameters at D = 512 and L = 256") {
  CHECK(parameter_count(gated_attention<512, 256>{}) == 262913);
  CHECK(parameter_count(gated_attention<512, 256, ops::tanh_function, false>{}) == 2 * 512 * 256 + 256);
}
