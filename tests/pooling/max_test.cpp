#include <milkit/ops/bags/segment_pool_cpu.hpp>
#include <milkit/ops/rows/fill_cpu.hpp>

#include "max_cases.hpp"
