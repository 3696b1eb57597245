#include <milkit/ops/rows/fill_cpu.hpp>

#include "identity_cases.hpp"
