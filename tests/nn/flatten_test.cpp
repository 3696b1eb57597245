#include <milkit/ops/fill_cpu.hpp>

#include "flatten_cases.hpp"
