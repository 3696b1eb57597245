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
  static constexpr bool row_wise = layer_traits<Layer>::row_wise && layer_traits<Shortcut>::row_wise;
  static constexpr bool keeps_output = false;

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

  constexpr auto list(auto& l) const { return std::tuple{l.child("0", layer), l.child("1", shortcut)}; }

  template <class Input>
  struct saved {
    saved_of<Layer, Input> inner;
    [[no_unique_address]] saved_of<Shortcut, Input> beside;
    shape<Input::rank> input;
  };
  template <class Input, class Output>
  void forward(const auto& at, Input input, Output output, saved<Input>& kept) const {
    using T = typename Output::value_type;
    kept.input = input.shape();
    if constexpr (layer_traits<Layer>::keeps_output) {  // the sum must not write over what backward reads
      const auto inner = at.backend.kept_memory().template allocate<T>(output.shape());
      layer.forward(at.template child<0>(*this), input, inner, kept.inner);
      ops::copy_rows(at.backend, inner, output);
    } else {
      layer.forward(at.template child<0>(*this), input, output, kept.inner);
    }
    if constexpr (plain) {
      ops::copy_rows(at.backend, input, output, true);
    } else {
      const auto beside = at.backend.kept_memory().template allocate<T>(output.shape());
      shortcut.forward(at.template child<1>(*this), input, beside, kept.beside);
      ops::copy_rows(at.backend, beside, output, true);
    }
  }

  template <class Doutput, class Dinput>
  void backward(const auto& at, const auto& kept, Doutput doutput, Dinput dinput) const {
    auto& workspace = at.backend.workspace;
    const auto scope = workspace.scope();
    if (plain && dinput.absent()) return layer.backward(at.template child<0>(*this), kept.inner, doutput, dinput);
    const auto through = workspace.template allocate<typename Doutput::value_type>(doutput.shape());
    ops::copy_rows(at.backend, doutput, through);  // the layer may use up its upstream gradient
    layer.backward(at.template child<0>(*this), kept.inner, through, dinput);
    if constexpr (plain) {
      ops::copy_rows(at.backend, doutput, dinput, true);
    } else {
      const Dinput beside =
          dinput.absent() ? Dinput() : Dinput(workspace.template allocate<typename Dinput::value_type>(kept.input));
      shortcut.backward(at.template child<1>(*this), kept.beside, doutput, beside);
      if (!dinput.absent()) ops::copy_rows(at.backend, beside, dinput, true);
    }
  }

  void infer(const auto& at, auto input, auto output) const {
    nn::infer(layer, at.template child<0>(*this), input, output);
    if constexpr (plain) {
      ops::copy_rows(at.backend, input, output, true);
    } else {
      const auto scope = at.backend.workspace.scope();
      using T = typename decltype(output)::value_type;
      const auto beside = at.backend.workspace.template allocate<T>(output.shape());
      nn::infer(shortcut, at.template child<1>(*this), input, beside);
      ops::copy_rows(at.backend, beside, output, true);
    }
  }
};
template <class Layer>
residual(Layer) -> residual<Layer>;
template <class Layer, class Shortcut>
residual(Layer, Shortcut) -> residual<Layer, Shortcut>;

}  // namespace milkit::nn
