#pragma once
/// Everything that needs Eigen alone. Slides, data files and reports have headers of their own: milkit/slide/, data/,
/// report/. `tests/properties/floors.py --write` writes this file.

#include <milkit/version.hpp>
#include <milkit/core/backend.hpp>
#include <milkit/core/cpu.hpp>
#include <milkit/core/eigen.hpp>
#include <milkit/core/error.hpp>
#include <milkit/core/macros.hpp>
#include <milkit/core/parallel_for.hpp>
#include <milkit/core/random.hpp>
#include <milkit/core/tensor.hpp>
#include <milkit/core/view.hpp>
#include <milkit/core/workspace.hpp>
