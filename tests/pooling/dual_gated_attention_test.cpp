#include <milkit/ops/dropout_cpu.hpp>
#include <milkit/ops/fill_cpu.hpp>
#include <milkit/ops/gate_cpu.hpp>
#include <milkit/ops/linear_cpu.hpp>
#include <milkit/ops/matmul_cpu.hpp>
#include <milkit/ops/segment_pool_cpu.hpp>

#include "dual_gated_attention_cases.hpp"
