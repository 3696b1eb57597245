#pragma once

#include <utility>

#include <milkit/nn/layer.hpp>
#include <milkit/ops/images/conv2d.hpp>

namespace milkit::nn {

/// 2-d convolution of images [n, In, height, width] to [n, Out, height', width'], with zeros around the image:
/// `conv2d<3, 36, 4>{}`, `conv2d<64, 128, 3>{.stride = {2, 2}, .padding = {1, 1}}` (vertical, horizontal).
/// ops/images/conv2d.hpp has the formula and the cost. Parameters: `weight` [Out, In, KernelH, KernelW] and `bias` [Out]
/// (without when `Bias` is false), initialised by PyTorch's default unless `.scheme` says otherwise. Errors:
/// shape_error for other channels, and for an image smaller than the kernel.
template <std::int64_t In, std::int64_t Out, std::int64_t KernelH, std::int64_t KernelW = KernelH, bool Bias = true>
struct conv2d {
  static_assert(KernelH > 0 && KernelW > 0, "milkit::nn::conv2d: a kernel's extents are positive");
  static constexpr std::int64_t in_features = In, out_features = Out;
  static constexpr bool row_wise = true, in_place = false, keeps_output = false;

  [[no_unique_address]] extent<In> in = {};
  [[no_unique_address]] extent<Out> out = {};
  ops::per_axis stride = {1, 1};
  ops::per_axis padding = {0, 0};
  init scheme = init::torch;

  shape<4> output_shape(const shape<4>& input) const {
    expect_extent("milkit::nn::conv2d", "channels of the input", input[1], in);
    return ops::conv2d_shape(input, {out, in, KernelH, KernelW}, {stride, padding});
  }

  template <class Visitor>
  constexpr void describe(Visitor& v) const {
    constexpr std::int64_t window = KernelH * KernelW;
    v.parameter({"weight", {out, in, KernelH, KernelW}, role::weight, in * window, out * window, scheme});
    if constexpr (Bias) v.parameter({"bias", {out}, role::bias, in * window, out * window, scheme});
  }

  template <class Input>
  struct saved {
    Input input;
  };

  template <class Backend, class Weights, class Input, class Output>
  void forward(Backend& backend, Weights weights, Input input, Output output, saved<Input>& kept, const pass&) const {
    const auto [weight, bias] = split(weights);
    ops::conv2d(backend, input, weight, bias, output, {stride, padding});
    kept.input = input;
  }

  template <class Backend, class Weights, class Input, class Doutput, class Dinput, class Gradient>
  void backward(Backend& backend, Weights weights, const saved<Input>& kept, Doutput doutput, Dinput dinput,
                Gradient gradient, const pass&) const {
    const auto [weight, bias] = split(weights);
    const auto [dweight, dbias] = split(gradient);
    ops::conv2d_backward(backend, kept.input, weight, doutput, dinput, dweight, dbias, {stride, padding});
  }

 private:
  template <class T, class Space>
  auto split(vector_view<T, Space> stretch) const {
    parameter_cursor cursor(stretch);
    const auto weight = cursor.kernel(out, in, KernelH, KernelW);
    return std::pair(weight, Bias ? cursor.vector(out) : vector_view<T, Space>());
  }
};

}  // namespace milkit::nn
