#include <milkit/ops/rows/fill_cpu.hpp>

#include "flatten_cases.hpp"
