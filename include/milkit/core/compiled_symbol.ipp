#pragma once

#include <milkit/core/macros.hpp>

namespace milkit::detail {
extern "C" const char MILKIT_COMPILED_SYMBOL = 1;
}
