#pragma once

#include <concepts>
#include <cstdint>

#include <milkit/core/cpu.hpp>
#include <milkit/nn/context.hpp>

/// Layers. A layer is a small value that describes: its dimensions are its type, its options its members; it owns no
/// weights. It has
///
///     static constexpr std::int64_t in_features, out_features;  // `any_features`: takes and gives what comes;
///                                                               // `dynamic_extent`: a member; images: channels
///     shape<R'> output_shape(shape<R>) const;                   // checks, shape_error
///     void forward(const auto& at, Input input, auto output, saved<Input>&) const;
///     void backward(const auto& at, const auto& saved, auto doutput, auto dinput) const;
///
/// and, where it is not what most layers are,
///
///     static constexpr bool row_wise = true;       // a row of the output depends on that row of the input alone
///     static constexpr bool in_place = true;       // output may be the input's memory
///     static constexpr bool keeps_output = false;  // backward does not read the values of the output
///     constexpr auto list(auto& l) const;          // parameters and children, in order: see parameter_list.hpp
///     template <class Input> struct saved;         // what backward needs: views, trivially copyable
///     void infer(const auto& at, auto input, auto output) const;  // forward, keeping nothing; `nn::infer` calls it
///
/// `at` is a `context` (context.hpp). The verbs have a written return type, so that their signatures are checked without
/// compiling a body. forward writes `output`, takes memory for what it saves from `at.backend.kept_memory()` and leaves it
/// there: the caller opens that scope and ends it after backward. What it needs for the moment comes from
/// `at.backend.workspace`, in a scope of its own. backward may use up `doutput` and what was saved, writes `dinput` (which may
/// be doutput's memory where `in_place`, and is absent where nobody wants it) and adds to the gradient, whose views are absent
/// where parameters are frozen. Both work on any number of rows, 0 included.
namespace milkit {

/// A dimension that is known at run time: `linear<dynamic_extent, 512>{.in = {166}}`.
inline constexpr std::int64_t dynamic_extent = -1;
/// A layer that works on any number of features and keeps it.
inline constexpr std::int64_t any_features = -2;

/// A dimension of a layer: a constant of the type or, for `dynamic_extent`, a member.
template <std::int64_t Size>
struct extent {
  static_assert(Size > 0, "milkit: a dimension of a layer is positive, or dynamic_extent");
  constexpr operator std::int64_t() const { return Size; }  // NOLINT(google-explicit-constructor): it is that number
};
template <>
struct extent<dynamic_extent> {
  std::int64_t value = 0;
  constexpr operator std::int64_t() const {
    if (value <= 0)
      throw value_error(message("milkit: a dimension known at run time is ", value, "; set it in the layer's braces"));
    return value;
  }
};

namespace detail {
template <class Layer>
concept says_row_wise = requires {
  Layer::row_wise;
};
template <class Layer>
concept says_in_place = requires {
  Layer::in_place;
};
template <class Layer>
concept says_keeps_output = requires {
  Layer::keeps_output;
};
template <class Layer, class Input>
concept says_saved = requires {
  typename Layer::template saved<Input>;
};

template <class Layer, class Input>
struct saved_type {
  using type = nothing;
};
template <class Layer, class Input>
requires says_saved<Layer, Input>
struct saved_type<Layer, Input> {
  using type = typename Layer::template saved<Input>;
};
}  // namespace detail

/// What a layer says of itself, and what holds where it says nothing.
template <class Layer>
struct layer_traits {
  static constexpr bool row_wise = [] {
    if constexpr (detail::says_row_wise<Layer>) return Layer::row_wise;
    else return false;
  }();
  static constexpr bool in_place = [] {
    if constexpr (detail::says_in_place<Layer>) return Layer::in_place;
    else return false;
  }();
  static constexpr bool keeps_output = [] {
    if constexpr (detail::says_keeps_output<Layer>) return Layer::keeps_output;
    else return true;
  }();
};

/// What a layer saves that needs nothing but its input.
template <class Input>
struct saved_input {
  Input input;
};

/// What a layer saves of an input for its backward pass.
template <class Layer, class Input>
using saved_of = typename detail::saved_type<Layer, Input>::type;

/// The view that a layer's output is, for an input view.
template <class Layer, class Input>
using output_of = view<typename Input::element_type,
                       decltype(std::declval<const Layer&>().output_shape(std::declval<Input>().shape()))::rank,
                       typename Input::space>;

namespace detail {
template <class Layer, int Rank>
concept takes_rank = requires(const Layer layer, shape<Rank> s) {
  { Layer::in_features } -> std::convertible_to<std::int64_t>;
  { Layer::out_features } -> std::convertible_to<std::int64_t>;
  layer.output_shape(s);
};
// The verbs, tried with an archetype: rows of constant floats on the host.
template <class Layer, int Rank>
concept goes_forward = requires(const Layer layer, const context<cpu, float> at, view<const float, Rank> input,
                                output_of<Layer, view<float, Rank>> output,
                                saved_of<Layer, view<const float, Rank>> kept) {
  { layer.forward(at, input, output, kept) } -> std::same_as<void>;
};
template <class Layer, int Rank>
concept goes_backward = requires(const Layer layer, const context<cpu, float> at,
                                 const saved_of<Layer, view<const float, Rank>> kept,
                                 output_of<Layer, view<float, Rank>> doutput, view<float, Rank> dinput) {
  { layer.backward(at, kept, doutput, dinput) } -> std::same_as<void>;
};
template <class Layer, class Context, class Input, class Output>
concept infers = requires(const Layer& layer, const Context& at, Input input, Output output) {
  { layer.infer(at, input, output) } -> std::same_as<void>;
};
}  // namespace detail

/// A value that the compiler can use as a layer on inputs of rank `Rank` (see the head of this file).
template <class Layer, int Rank>
concept layer =
    detail::takes_rank<Layer, Rank> && detail::goes_forward<Layer, Rank> && detail::goes_backward<Layer, Rank>;

}  // namespace milkit

namespace milkit::nn {

/// The output of a layer's forward pass, in the same bits, when nothing is kept for a backward pass: by the layer's own
/// `infer`, or by forward.
template <class Layer, class Context, class Input, class Output>
void infer(const Layer& layer, const Context& at, Input input, Output output) {
  if constexpr (milkit::detail::infers<Layer, Context, Input, Output>) {
    layer.infer(at, input, output);
  } else {
    const auto kept = at.backend.kept_memory().scope();
    const auto scope = at.backend.workspace.scope();
    saved_of<Layer, Input> unused{};
    layer.forward(at, input, output, unused);
  }
}

}  // namespace milkit::nn
