#include <milkit/ops/images/resample2d_cpu.hpp>

#include "resample2d_cases.hpp"
