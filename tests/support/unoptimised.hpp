#pragma once

/// Around code of tests that is made anew for every block and need not be fast: it compiles in half the time. The library's own
/// functions stay optimised.
#if defined(__clang__)
#define MILKIT_UNOPTIMISED_BEGIN _Pragma("clang optimize off")
#define MILKIT_UNOPTIMISED_END _Pragma("clang optimize on")
#elif defined(__GNUC__) && !defined(__CUDACC__)
#define MILKIT_UNOPTIMISED_BEGIN _Pragma("GCC push_options") _Pragma("GCC optimize(\"O0\")")
#define MILKIT_UNOPTIMISED_END _Pragma("GCC pop_options")
#else
#define MILKIT_UNOPTIMISED_BEGIN
#define MILKIT_UNOPTIMISED_END
#endif
