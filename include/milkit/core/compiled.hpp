#pragma once

#include <milkit/core/cpu.hpp>

/// `MILKIT_COMPILED_OP(x_impl, types...)`, in namespace milkit::ops::detail behind the implementation of an op for cpu, lists the
/// types of the arguments that `execute<x_impl>` is called with, as functions of T: who links milkit::compiled finds the op there
/// for float and double and does not compile it again. `MILKIT_COMPILED_OP_ONCE` lists types without T. An op on other types (a
/// function or a number type of the user's) is compiled where it is called, as all are without milkit::compiled.
#if !defined(MILKIT_COMPILED)
#define MILKIT_COMPILED_OP(impl, ...) static_assert(true)
#define MILKIT_COMPILED_OP_ONCE(impl, ...) static_assert(true)
#else
#if defined(MILKIT_COMPILING)
#define MILKIT_DETAIL_TEMPLATE template
#else
#define MILKIT_DETAIL_TEMPLATE extern template
#endif
#define MILKIT_COMPILED_OP_ONCE(impl, ...) MILKIT_DETAIL_TEMPLATE struct execution<impl, cpu, types<__VA_ARGS__>>
#define MILKIT_COMPILED_OP(impl, ...) MILKIT_DETAIL_COMPILED_OP(impl, __LINE__, __VA_ARGS__)
#define MILKIT_DETAIL_COMPILED_OP(impl, line, ...) MILKIT_DETAIL_COMPILED_OP_OF_LINE(impl, line, __VA_ARGS__)
#define MILKIT_DETAIL_COMPILED_OP_OF_LINE(impl, line, ...) \
  MILKIT_DETAIL_COMPILED_OP_AS(impl, impl##_types_##line, __VA_ARGS__)
#define MILKIT_DETAIL_COMPILED_OP_AS(impl, name, ...)              \
  template <class T>                                               \
  using name = types<__VA_ARGS__>;                                 \
  MILKIT_DETAIL_TEMPLATE struct execution<impl, cpu, name<float>>; \
  MILKIT_DETAIL_TEMPLATE struct execution<impl, cpu, name<double>>
#endif
