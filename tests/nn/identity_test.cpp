#include <milkit/ops/fill_cpu.hpp>

#include "identity_cases.hpp"
