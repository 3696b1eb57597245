#pragma once

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
  static constexpr bool row_wise = true, keeps_output = false;

  [[no_unique_address]] extent<In> in = {};
  [[no_unique_address]] extent<Out> out = {};
  ops::per_axis stride = {1, 1};
  ops::per_axis padding = {0, 0};
  init scheme = init::torch;

  shape<4> output_shape(const shape<4>& input) const {
    expect_extent("milkit::nn::conv2d", "channels of the input", input[1], in);
    return ops::conv2d_shape(input, {out, in, KernelH, KernelW}, {stride, padding});
  }
  constexpr auto list(auto& l) const {
    return std::tuple{
        l.kernel("weight", out, in, KernelH, KernelW, {.scheme = scheme}),
        l.vector({"bias", Bias}, out, {.what = role::bias, .fan_in = in * KernelH * KernelW, .scheme = scheme})};
  }

  template <class Input>
  using saved = saved_input<Input>;
  template <class Input>
  void forward(const auto& at, Input input, auto output, saved<Input>& kept) const {
    infer(at, input, output);
    kept.input = input;
  }
  void infer(const auto& at, auto input, auto output) const {
    const auto [weight, bias] = at.weights_of(*this);
    ops::conv2d(at.backend, input, weight, bias, output, {stride, padding});
  }
  void backward(const auto& at, const auto& kept, auto doutput, auto dinput) const {
    const auto scope = at.backend.workspace.scope();
    const auto weight = std::get<0>(at.weights_of(*this));
    const auto [dweight, dbias] = at.gradients_of(*this);
    ops::conv2d_backward(at.backend, kept.input, weight, doutput, dinput, at.or_unused(dweight, weight), dbias,
                         {stride, padding});
  }
};

}  // namespace milkit::nn
