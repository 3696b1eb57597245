#pragma once

#include <type_traits>
#include <utility>

#include <milkit/nn/identity.hpp>
#include <milkit/nn/layer.hpp>
#include <milkit/ops/rows/fill.hpp>

namespace milkit::nn {

/// y = x + f(x) (He et al. 2016): `residual(sequential(linear<64, 64>{}, relu{}))`; or, where f changes the shape, y = s(x)
/// + f(x) with a projection s: `residual(f, conv2d_same<32, 64, 1, false, 2>{})`. f must give what the shortcut gives;
/// widths that the types know are compared at compile time, the rest when a bag comes (shape_error). The parameters are
/// those of f, under the name "0", and of s, under "1".
template <class Layer, class Shortcut = identity>
struct residual {
  /// Whether the input itself is added.
  static constexpr bool plain = std::is_same_v<Shortcut, identity>;
  static_assert(
      !plain || Layer::in_features == Layer::out_features || Layer::in_features < 0 || Layer::out_features < 0,
      "milkit::nn::residual: the layer gives another number of features than it takes, so its output cannot be added "
      "to its input; give it a shortcut that makes as many");
  static_assert(Shortcut::out_features == Layer::out_features || Shortcut::out_features < 0 || Layer::out_features < 0,
                "milkit::nn::residual: the shortcut gives another number of features than the layer, so their outputs "
                "cannot be added");
  static_assert(
      Shortcut::in_features == Layer::in_features || Shortcut::in_features < 0 || Layer::in_features < 0,
      "milkit::nn::residual: the shortcut takes another number of features than the layer, but gets its input");
  static constexpr std::int64_t in_features =
      Layer::in_features < 0 && Shortcut::in_features > 0 ? Shortcut::in_features : Layer::in_features;
  static constexpr std::int64_t out_features = Layer::out_features != any_features ? Layer::out_features
                                               : Shortcut::out_features > 0        ? Shortcut::out_features
                                                                                   : in_features;
  static constexpr bool row_wise = Layer::row_wise && Shortcut::row_wise, in_place = false, keeps_output = false;

  Layer layer;
  [[no_unique_address]] Shortcut shortcut = {};

  constexpr residual() = default;
  constexpr explicit residual(Layer f, Shortcut s = {}) : layer(std::move(f)), shortcut(std::move(s)) {}

  template <int Rank>
  requires milkit::layer<Layer, Rank> && milkit::layer<Shortcut, Rank>
  auto output_shape(shape<Rank> input) const {
    const auto output = layer.output_shape(input);
    const auto beside = shortcut.output_shape(input);
    static_assert(decltype(output)::rank == decltype(beside)::rank,
                  "milkit::nn::residual: the layer changes the rank of its input");
    if (!(output == beside))
      throw shape_error(
          message("milkit::nn::residual: the layer makes ", to_string(output), " of ", to_string(input),
                  plain ? ", expected the same shape" : message(", but the shortcut ", to_string(beside))));
    return output;
  }

  template <class Visitor>
  constexpr void describe(Visitor& v) const {
    v.child("0", layer);
    if constexpr (!plain) v.child("1", shortcut);
  }

  template <class Input>
  struct saved {
    typename Layer::template saved<Input> inner;
    [[no_unique_address]] typename Shortcut::template saved<Input> beside;
    shape<Input::rank> input;
  };

  template <class Backend, class Weights, class Input, class Output>
  void forward(Backend& backend, Weights weights, Input input, Output output, saved<Input>& kept,
               const pass& pass) const {
    using T = typename Output::value_type;
    kept.input = input.shape();
    if constexpr (Layer::keeps_output) {  // the sum must not write over what backward reads
      const auto inner = backend.kept_memory().template allocate<T>(output.shape());
      layer.forward(backend, of_layer(weights), input, inner, kept.inner, pass.child(0));
      ops::copy_rows(backend, inner, output);
    } else {
      layer.forward(backend, of_layer(weights), input, output, kept.inner, pass.child(0));
    }
    if constexpr (plain) {
      ops::copy_rows(backend, input, output, true);
    } else {
      const auto beside = backend.kept_memory().template allocate<T>(output.shape());
      shortcut.forward(backend, of_shortcut(weights), input, beside, kept.beside, pass.child(1));
      ops::copy_rows(backend, beside, output, true);
    }
  }

  template <class Backend, class Weights, class Input, class Doutput, class Dinput, class Gradient>
  void backward(Backend& backend, Weights weights, const saved<Input>& kept, Doutput doutput, Dinput dinput,
                Gradient gradient, const pass& pass) const {
    const auto scope = backend.workspace.scope();
    if (plain && dinput.absent())
      return layer.backward(backend, of_layer(weights), kept.inner, doutput, dinput, of_layer(gradient), pass.child(0));
    const auto through = backend.workspace.template allocate<typename Doutput::value_type>(doutput.shape());
    ops::copy_rows(backend, doutput, through);  // the layer may use up its upstream gradient
    layer.backward(backend, of_layer(weights), kept.inner, through, dinput, of_layer(gradient), pass.child(0));
    if constexpr (plain) {
      ops::copy_rows(backend, doutput, dinput, true);
    } else {
      const Dinput beside = dinput.absent()
                                ? Dinput()
                                : Dinput(backend.workspace.template allocate<typename Dinput::value_type>(kept.input));
      shortcut.backward(backend, of_shortcut(weights), kept.beside, doutput, beside, of_shortcut(gradient),
                        pass.child(1));
      if (!dinput.absent()) ops::copy_rows(backend, beside, dinput, true);
    }
  }

 private:
  template <class Stretch>
  Stretch of_layer(Stretch stretch) const {
    return stretch.rows(0, parameter_stretch(layer));
  }
  template <class Stretch>
  Stretch of_shortcut(Stretch stretch) const {
    return stretch.rows(parameter_stretch(layer), parameter_stretch(shortcut));
  }
};
template <class Layer>
residual(Layer) -> residual<Layer>;
template <class Layer, class Shortcut>
residual(Layer, Shortcut) -> residual<Layer, Shortcut>;

}  // namespace milkit::nn
