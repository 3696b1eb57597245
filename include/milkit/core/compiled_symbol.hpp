#pragma once

#include <milkit/version.hpp>

#if defined(MILKIT_COMPILED)

/// A program that links milkit::compiled asks for one symbol, whose name says what both must have been compiled with: version,
/// compiler, the standard library's strings, OpenMP, vector extensions. A library that was made otherwise has it not.
#if defined(__clang__)
#define MILKIT_DETAIL_COMPILER clang
#elif defined(__GNUC__)
#define MILKIT_DETAIL_COMPILER gcc
#else
#define MILKIT_DETAIL_COMPILER other
#endif
#if defined(_GLIBCXX_USE_CXX11_ABI) && !_GLIBCXX_USE_CXX11_ABI
#define MILKIT_DETAIL_ABI old_strings
#else
#define MILKIT_DETAIL_ABI new_strings
#endif
#if defined(_OPENMP)
#define MILKIT_DETAIL_THREADS openmp
#else
#define MILKIT_DETAIL_THREADS one_thread
#endif
#if defined(__AVX512F__)
#define MILKIT_DETAIL_VECTORS avx512
#elif defined(__AVX2__) && defined(__FMA__)
#define MILKIT_DETAIL_VECTORS avx2_fma
#elif defined(__AVX__)
#define MILKIT_DETAIL_VECTORS avx
#else
#define MILKIT_DETAIL_VECTORS base
#endif
#define MILKIT_DETAIL_PASTE(a, b, c, d, e, f, g) \
  milkit_compiled_was_built_otherwise_this_needs_##a##_##b##_##c##_##d##_##e##_##f##_##g
#define MILKIT_DETAIL_PASTE_VALUES(a, b, c, d, e, f, g) MILKIT_DETAIL_PASTE(a, b, c, d, e, f, g)
#define MILKIT_COMPILED_SYMBOL                                                                                         \
  MILKIT_DETAIL_PASTE_VALUES(MILKIT_VERSION_MAJOR, MILKIT_VERSION_MINOR, MILKIT_VERSION_PATCH, MILKIT_DETAIL_COMPILER, \
                             MILKIT_DETAIL_ABI, MILKIT_DETAIL_THREADS, MILKIT_DETAIL_VECTORS)

namespace milkit::detail {
extern "C" const char MILKIT_COMPILED_SYMBOL;
#if !defined(MILKIT_COMPILING)
[[gnu::used]] static const char* const compiled_symbol = &MILKIT_COMPILED_SYMBOL;
#endif
}  // namespace milkit::detail
#endif
