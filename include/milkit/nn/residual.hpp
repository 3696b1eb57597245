#pragma once

#include <utility>

#include <milkit/nn/layer.hpp>
#include <milkit/ops/fill.hpp>

namespace milkit::nn {

/// y = x + f(x) (He et al. 2016): `residual(sequential(linear<64, 64>{}, relu{}))`. f must keep the shape of its input;
/// widths that the types know are compared at compile time, the rest when a bag comes (shape_error). The parameters are
/// those of f, under the name "0".
template <class Layer>
struct residual {
  static_assert(
      Layer::in_features == Layer::out_features || Layer::in_features < 0 || Layer::out_features < 0,
      "milkit::nn::residual: the layer gives another number of features than it takes, so its output cannot be added "
      "to its input");
  static constexpr std::int64_t in_features = Layer::in_features;
  static constexpr std::int64_t out_features =
      Layer::out_features == any_features ? Layer::in_features : Layer::out_features;
  static constexpr bool row_wise = Layer::row_wise, in_place = false, keeps_output = false;

  Layer layer;

  constexpr residual() = default;
  constexpr explicit residual(Layer f) : layer(std::move(f)) {}

  template <int Rank>
    requires milkit::layer<Layer, Rank>
  shape<Rank> output_shape(shape<Rank> input) const {
    const auto output = layer.output_shape(input);
    static_assert(decltype(output)::rank == Rank, "milkit::nn::residual: the layer changes the rank of its input");
    if (!(output == input))
      throw shape_error(message("milkit::nn::residual: the layer makes ", to_string(output), " of ", to_string(input),
                                ", expected the same shape"));
    return input;
  }

  template <class Visitor>
  constexpr void describe(Visitor& v) const {
    v.child("0", layer);
  }

  template <class Input>
  struct saved {
    typename Layer::template saved<Input> inner;
  };

  template <class Backend, class Weights, class Input, class Output>
  void forward(Backend& backend, Weights weights, Input input, Output output, saved<Input>& kept,
               const pass& pass) const {
    if constexpr (Layer::keeps_output) {  // the sum must not write over what backward reads
      const auto inner = backend.kept_memory().template allocate<typename Output::value_type>(output.shape());
      layer.forward(backend, weights, input, inner, kept.inner, pass.child(0));
      ops::copy_rows(backend, inner, output);
    } else {
      layer.forward(backend, weights, input, output, kept.inner, pass.child(0));
    }
    ops::copy_rows(backend, input, output, true);
  }

  template <class Backend, class Weights, class Input, class Doutput, class Dinput, class Gradient>
  void backward(Backend& backend, Weights weights, const saved<Input>& kept, Doutput doutput, Dinput dinput,
                Gradient gradient, const pass& pass) const {
    if (dinput.absent()) return layer.backward(backend, weights, kept.inner, doutput, dinput, gradient, pass.child(0));
    const auto scope = backend.workspace.scope();
    const auto through = backend.workspace.template allocate<typename Doutput::value_type>(doutput.shape());
    ops::copy_rows(backend, doutput, through);  // the layer may use up its upstream gradient
    layer.backward(backend, weights, kept.inner, through, dinput, gradient, pass.child(0));
    ops::copy_rows(backend, doutput, dinput, true);
  }
};
template <class Layer>
residual(Layer) -> residual<Layer>;

}  // namespace milkit::nn
