#include <milkit/ops/activation_cpu.hpp>
#include <milkit/ops/cross_entropy_cpu.hpp>
#include <milkit/ops/dropout_cpu.hpp>
#include <milkit/ops/fill_cpu.hpp>
#include <milkit/ops/gate_cpu.hpp>
#include <milkit/ops/linear_cpu.hpp>
#include <milkit/ops/matmul_cpu.hpp>
#include <milkit/ops/segment_pool_cpu.hpp>
#include <milkit/ops/softmax_cpu.hpp>
#include <milkit/ops/topk_cpu.hpp>
#include <milkit/ops/zoom_cpu.hpp>

#include "zoom_mil_cases.hpp"
