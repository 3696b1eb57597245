#pragma once

/// The types of `TEST_CASE_TEMPLATE("...", T, MILKIT_FLOATS)`. Sanitizers, for which a test takes twice as long to compile
/// and many times as long to run, see the same code through one of them.
#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define MILKIT_FLOATS double
#endif
#endif
#ifndef MILKIT_FLOATS
#define MILKIT_FLOATS float, double
#endif
