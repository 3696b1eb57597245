#pragma once

#include <milkit/nn/layer.hpp>
#include <milkit/ops/images/pool2d.hpp>

namespace milkit::nn {

/// Images [n, channels, height, width] to rows [n, channels]: the mean of each channel. Errors: shape_error for images
/// without pixels.
struct global_average_pool {
  static constexpr std::int64_t in_features = any_features, out_features = any_features;
  static constexpr bool row_wise = true, in_place = false, keeps_output = false;

  shape<2> output_shape(const shape<4>& input) const { return {input[0], input[1]}; }
  template <class Visitor>
  constexpr void describe(Visitor&) const {}

  template <class Input>
  struct saved {};

  template <class Backend, class Weights, class Input, class Output>
  void forward(Backend& backend, Weights, Input input, Output output, saved<Input>&, const pass&) const {
    ops::global_average_pool(backend, input, output);
  }
  template <class Backend, class Weights, class Input, class Doutput, class Dinput, class Gradient>
  void backward(Backend& backend, Weights, const saved<Input>&, Doutput doutput, Dinput dinput, Gradient,
                const pass&) const {
    if (!dinput.absent()) ops::global_average_pool_backward(backend, doutput, dinput);
  }
};

}  // namespace milkit::nn
