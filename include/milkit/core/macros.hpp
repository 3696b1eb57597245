#pragma once
/// `MILKIT_HD` marks a function that kernels may call too. It only annotates: bodies never differ between compilers.
#if defined(__CUDACC__)
#define MILKIT_HD __host__ __device__
#else
#define MILKIT_HD
#endif

/// `MILKIT_COMPILED` is defined for who links milkit::compiled: a function marked MILKIT_INLINE then has its body there, in
/// the `x.ipp` beside `x.hpp`, and is inline in every program otherwise.
#if defined(MILKIT_COMPILED)
#define MILKIT_INLINE
#include <milkit/core/compiled_symbol.hpp>
#else
#define MILKIT_INLINE inline
#endif

namespace milkit {

/// False, but only once a template that uses it is instantiated: for the sentence of a `static_assert`.
template <class...>
inline constexpr bool dependent_false = false;

}  // namespace milkit
