#pragma once

#include <support/sanitized.hpp>

/// The types of `TEST_CASE_TEMPLATE("...", T, MILKIT_FLOATS)`. Sanitizers, for which a test takes twice as long to compile
/// and many times as long to run, see the same templates through one of them.
#ifdef MILKIT_TEST_SANITIZED
#define MILKIT_FLOATS double
#else
#define MILKIT_FLOATS float, double
#endif
