#pragma once

#include <memory>
#include <type_traits>
#include <utility>

namespace milkit {

template <class Signature>
class function_ref;

/// Anything that can be called so, by reference: `void f(function_ref<void(int)> body)`. A function that takes one is compiled
/// once and not for each lambda. It refers to what it was made of, which must live as long.
template <class Result, class... Arguments>
class function_ref<Result(Arguments...)> {
 public:
  template <class Function>
  requires(!std::is_same_v<std::remove_cvref_t<Function>, function_ref>)
      function_ref(Function&& function)  // NOLINT(google-explicit-constructor): a lambda is handed over as it is
      : object_(const_cast<void*>(static_cast<const void*>(std::addressof(function)))),
        call_([](void* object, Arguments... arguments) -> Result {
          return (*static_cast<std::remove_reference_t<Function>*>(object))(std::forward<Arguments>(arguments)...);
        }) {}

  Result operator()(Arguments... arguments) const { return call_(object_, std::forward<Arguments>(arguments)...); }

 private:
  void* object_;
  Result (*call_)(void*, Arguments...);
};

}  // namespace milkit
