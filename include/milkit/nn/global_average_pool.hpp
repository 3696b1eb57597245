#pragma once

#include <milkit/nn/layer.hpp>
#include <milkit/ops/images/pool2d.hpp>

namespace milkit::nn {

/// Images [n, channels, height, width] to rows [n, channels]: the mean of each channel. Errors: shape_error for images
/// without pixels.
struct global_average_pool {
  static constexpr std::int64_t in_features = any_features, out_features = any_features;
  static constexpr bool row_wise = true, keeps_output = false;

  shape<2> output_shape(const shape<4>& input) const { return {input[0], input[1]}; }

  void forward(const auto& at, auto input, auto output, auto&) const {
    ops::global_average_pool(at.backend, input, output);
  }
  void backward(const auto& at, const auto&, auto doutput, auto dinput) const {
    if (!dinput.absent()) ops::global_average_pool_backward(at.backend, doutput, dinput);
  }
};

}  // namespace milkit::nn
