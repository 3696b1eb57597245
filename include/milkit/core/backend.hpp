#pragma once

#include <concepts>
#include <utility>

#include <milkit/core/view.hpp>
#include <milkit/core/workspace.hpp>

namespace milkit {

/// Where and how work runs: `cpu` (core/cpu.hpp) or `cuda` (core/cuda.cuh). A backend names its memory space and owns
/// the workspace that ops take their temporary memory from; it is the first argument of every op.
template <class B>
concept backend = requires(B& b) {
  typename B::space;
  { b.workspace } -> std::same_as<workspace<typename B::space>&>;
};

namespace detail {
/// A concept of its own because compilers print its name, which is the reason.
template <class View, class Backend>
concept lives_where_the_backend_works = std::same_as<typename View::space, typename Backend::space>;
}  // namespace detail

/// A view that lives where the backend works. A device view handed to `cpu`, or the reverse, fails here.
template <class View, class Backend>
concept resident_on = is_view<View> && detail::lives_where_the_backend_works<View, Backend>;

namespace detail {
/// A concept of its own, because nvcc 13 takes the same `requires` inside `execute` for false where a function of a
/// namespace within milkit calls an op.
template <class Impl, class Backend, class... Args>
concept takes_scratch = requires(Backend& backend, const Args&... args) {
  Impl::scratch(backend, args...);
};
}  // namespace detail

namespace ops::detail {
template <class...>
struct types;

/// One op on arguments of these types: compiled once where a line `MILKIT_COMPILED_OP` (core/compiled.hpp) says so.
template <template <class> class Impl, class Backend, class Types>
struct execution;
template <template <class> class Impl, class Backend, class... Args>
struct execution<Impl, Backend, types<Args...>> {
  static void run(Backend& backend, const Args&... args);
};
template <template <class> class Impl, class Backend, class... Args>
[[gnu::noinline]] void execution<Impl, Backend, types<Args...>>::run(Backend& backend, const Args&... args) {
  using impl = Impl<Backend>;
  if constexpr (milkit::detail::takes_scratch<impl, Backend, Args...>) {
    const auto scope = backend.workspace.scope();
    const auto memory = impl::scratch(backend, args...);
    if (!backend.workspace.planning()) impl::run(backend, memory, args...);
  } else {
    if (!backend.workspace.planning()) impl::run(backend, args...);
  }
}
}  // namespace ops::detail

/// Runs one implementation of an op. `Impl` is specialised for each backend in `ops/x_cpu.hpp` and `ops/x_cuda.cuh`, as
///
///     static auto scratch(Backend&, args...);            // optional: takes temporary memory, returns it
///     static void run(Backend&, [scratch,] args...);
///
/// `scratch` allocates from the workspace and does nothing else; `run` computes and allocates nothing. So a planning
/// backend, which only calls `scratch`, counts the very bytes that a real one uses.
template <template <class> class Impl, backend Backend, class... Args>
void execute(Backend& backend, const Args&... args) {
  ops::detail::execution<Impl, Backend, ops::detail::types<Args...>>::run(backend, args...);
}

}  // namespace milkit
