#pragma once

#include <milkit/nn/layer.hpp>
#include <milkit/ops/rows/activation.hpp>

namespace milkit::nn {

/// An elementwise activation as a layer, on rows of any rank: `relu`, `tanh`, `sigmoid`, `gelu`, and
/// `leaky_relu{{.negative_slope = 0.2}}` (ops/rows/activation.hpp has their formulas and slopes). No parameters.
template <class Function>
struct activation {
  static constexpr std::int64_t in_features = any_features, out_features = any_features;
  static constexpr bool row_wise = true, in_place = Function::slope_from_output,
                        keeps_output = Function::slope_from_output;
  [[no_unique_address]] Function function = {};

  auto output_shape(const auto& input) const { return input; }

  template <class Input>
  struct saved {
    Input input_or_output;
  };
  template <class Input>
  void forward(const auto& at, Input input, auto output, saved<Input>& kept) const {
    ops::activate(at.backend, function, input, output);
    if constexpr (Function::slope_from_output) kept.input_or_output = output;
    else kept.input_or_output = input;
  }
  void backward(const auto& at, const auto& kept, auto doutput, auto dinput) const {
    if (!dinput.absent()) ops::activate_backward(at.backend, function, kept.input_or_output, doutput, dinput);
  }
};

using relu = activation<ops::relu_function>;
using tanh = activation<ops::tanh_function>;
using sigmoid = activation<ops::sigmoid_function>;
using gelu = activation<ops::gelu_function>;
using leaky_relu = activation<ops::leaky_relu_function>;

}  // namespace milkit::nn
