#pragma once

#include <milkit/nn/layer.hpp>
#include <milkit/ops/images/pool2d.hpp>

namespace milkit::nn {

/// Average pooling of images [n, channels, height, width] with square windows: `avg_pool2d{}` halves height and width.
/// Windows that do not fit are left out; padding counts as zeros. Errors: as ops::pool2d_shape.
struct avg_pool2d {
  static constexpr std::int64_t in_features = any_features, out_features = any_features;
  static constexpr bool row_wise = true, in_place = false, keeps_output = false;

  std::int64_t kernel = 2;
  std::int64_t stride = 2;
  std::int64_t padding = 0;

  shape<4> output_shape(const shape<4>& input) const { return ops::pool2d_shape(input, {kernel, stride, padding}); }
  template <class Visitor>
  constexpr void describe(Visitor&) const {}

  template <class Input>
  struct saved {};

  template <class Backend, class Weights, class Input, class Output>
  void forward(Backend& backend, Weights, Input input, Output output, saved<Input>&, const pass&) const {
    ops::avg_pool2d(backend, input, output, {kernel, stride, padding});
  }
  template <class Backend, class Weights, class Input, class Doutput, class Dinput, class Gradient>
  void backward(Backend& backend, Weights, const saved<Input>&, Doutput doutput, Dinput dinput, Gradient,
                const pass&) const {
    if (!dinput.absent()) ops::avg_pool2d_backward(backend, doutput, dinput, {kernel, stride, padding});
  }
};

}  // namespace milkit::nn
