#pragma once

#include <milkit/nn/layer.hpp>
#include <milkit/ops/rows/activation.hpp>

namespace milkit::nn {

/// An elementwise activation as a layer, on rows of any rank: `relu`, `tanh`, `sigmoid`, `gelu` (ops/rows/activation.hpp has
/// their formulas and slopes). No parameters.
template <class Function>
struct activation {
  static constexpr std::int64_t in_features = any_features, out_features = any_features;
  static constexpr bool row_wise = true;
  static constexpr bool in_place = Function::slope_from_output, keeps_output = Function::slope_from_output;

  template <int Rank>
  shape<Rank> output_shape(shape<Rank> input) const {
    return input;
  }
  template <class Visitor>
  constexpr void describe(Visitor&) const {}

  template <class Input>
  struct saved {
    Input input_or_output;
  };

  template <class Backend, class Weights, class Input, class Output>
  void forward(Backend& backend, Weights, Input input, Output output, saved<Input>& kept, const pass&) const {
    ops::activate(backend, Function{}, input, output);
    if constexpr (Function::slope_from_output) kept.input_or_output = output;
    else kept.input_or_output = input;
  }

  template <class Backend, class Weights, class Input, class Doutput, class Dinput, class Gradient>
  void backward(Backend& backend, Weights, const saved<Input>& kept, Doutput doutput, Dinput dinput, Gradient,
                const pass&) const {
    if (!dinput.absent()) ops::activate_backward(backend, Function{}, kept.input_or_output, doutput, dinput);
  }
};

using relu = activation<ops::relu_function>;
using tanh = activation<ops::tanh_function>;
using sigmoid = activation<ops::sigmoid_function>;
using gelu = activation<ops::gelu_function>;

}  // namespace milkit::nn
