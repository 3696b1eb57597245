#pragma once

#include <milkit/nn/layer.hpp>
#include <milkit/ops/products/linear.hpp>

namespace milkit::nn {

/// Linear layer y = x W^T + b. Shapes: x [n, In], W [Out, In], b [Out], y [n, Out]; n may be 0.
/// `linear<dynamic_extent, 512>{.in = {166}}` takes its width at run time. Parameters: `weight`, `bias` (without when
/// `Bias` is false), initialised by PyTorch's default unless `.scheme` says otherwise.
template <std::int64_t In, std::int64_t Out, bool Bias = true>
struct linear {
  static constexpr std::int64_t in_features = In, out_features = Out;
  static constexpr bool row_wise = true, in_place = false, keeps_output = false;

  [[no_unique_address]] extent<In> in = {};
  [[no_unique_address]] extent<Out> out = {};
  init scheme = init::torch;

  shape<2> output_shape(shape<2> input) const {
    expect_extent("milkit::nn::linear", "features of the input", input[1], in);
    return {input[0], out};
  }

  template <class Visitor>
  constexpr void describe(Visitor& v) const {
    v.parameter({"weight", {out, in}, role::weight, in, out, scheme});
    if constexpr (Bias) v.parameter({"bias", {out}, role::bias, in, out, scheme});
  }

  template <class Input>
  struct saved {
    Input input;
  };

  template <class Backend, class Weights, class Input, class Output>
  void forward(Backend& backend, Weights weights, Input input, Output output, saved<Input>& kept, const pass&) const {
    const auto [weight, bias] = split(weights);
    ops::linear(backend, input, weight, bias, output);
    kept.input = input;
  }

  template <class Backend, class Weights, class Input, class Doutput, class Dinput, class Gradient>
  void backward(Backend& backend, Weights weights, const saved<Input>& kept, Doutput doutput, Dinput dinput,
                Gradient gradient, const pass&) const {
    const auto [weight, bias] = split(weights);
    const auto [dweight, dbias] = split(gradient);
    ops::linear_backward(backend, kept.input, weight, doutput, dinput, dweight, dbias);
  }

 private:
  template <class T, class Space>
  auto split(vector_view<T, Space> stretch) const {
    parameter_cursor cursor(stretch);
    const auto weight = cursor.matrix(out, in);
    return std::pair(weight, Bias ? cursor.vector(out) : vector_view<T, Space>());
  }
};

}  // namespace milkit::nn
