#include <milkit/ops/fill_cpu.hpp>
#include <milkit/ops/segment_pool_cpu.hpp>

#include "max_cases.hpp"
