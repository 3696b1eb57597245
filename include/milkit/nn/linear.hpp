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
  static constexpr bool row_wise = true, keeps_output = false;

  [[no_unique_address]] extent<In> in = {};
  [[no_unique_address]] extent<Out> out = {};
  init scheme = init::torch;

  shape<2> output_shape(shape<2> input) const {
    expect_extent("milkit::nn::linear", "features of the input", input[1], in);
    return {input[0], out};
  }
  constexpr auto list(auto& l) const {
    return std::tuple{l.matrix("weight", out, in, {.scheme = scheme}),
                      l.vector({"bias", Bias}, out, {.what = role::bias, .fan_in = in, .scheme = scheme})};
  }

  template <class Input>
  using saved = saved_input<Input>;
  template <class Input>
  void forward(const auto& at, Input input, auto output, saved<Input>& kept) const {
    const auto [weight, bias] = at.weights_of(*this);
    ops::linear(at.backend, input, weight, bias, output);
    kept.input = input;
  }
  void backward(const auto& at, const auto& kept, auto doutput, auto dinput) const {
    const auto weight = std::get<0>(at.weights_of(*this));
    const auto [dweight, dbias] = at.gradients_of(*this);
    ops::linear_backward(at.backend, kept.input, weight, doutput, dinput, dweight, dbias);
  }
};

}  // namespace milkit::nn
