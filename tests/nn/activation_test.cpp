#include <milkit/ops/activation_cpu.hpp>

#include "activation_cases.hpp"
