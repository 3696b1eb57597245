#include <milkit/ops/rows/activation_cpu.hpp>

#include "activation_cases.hpp"
