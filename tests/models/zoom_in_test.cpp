#include <milkit/ops/activation_cpu.hpp>
#include <milkit/ops/conv2d_cpu.hpp>
#include <milkit/ops/cross_entropy_cpu.hpp>
#include <milkit/ops/distribution_loss_cpu.hpp>
#include <milkit/ops/draws_cpu.hpp>
#include <milkit/ops/fill_cpu.hpp>
#include <milkit/ops/linear_cpu.hpp>
#include <milkit/ops/matmul_cpu.hpp>
#include <milkit/ops/pool2d_cpu.hpp>
#include <milkit/ops/resample2d_cpu.hpp>
#include <milkit/ops/softmax_cpu.hpp>

#include "zoom_in_cases.hpp"

using namespace milkit;
