#pragma once

#include <milkit/nn/layer.hpp>
#include <milkit/ops/images/pool2d.hpp>

namespace milkit::nn {

/// Average pooling of images [n, channels, height, width] with square windows: `avg_pool2d{}` halves height and width.
/// Windows that do not fit are left out; padding counts as zeros. Errors: as ops::pool2d_shape.
struct avg_pool2d {
  static constexpr std::int64_t in_features = any_features, out_features = any_features;
  static constexpr bool row_wise = true, keeps_output = false;

  std::int64_t kernel = 2, stride = 2, padding = 0;

  shape<4> output_shape(const shape<4>& input) const { return ops::pool2d_shape(input, {kernel, stride, padding}); }

  void forward(const auto& at, auto input, auto output, auto&) const {
    ops::avg_pool2d(at.backend, input, output, {kernel, stride, padding});
  }
  void backward(const auto& at, const auto&, auto doutput, auto dinput) const {
    if (!dinput.absent()) ops::avg_pool2d_backward(at.backend, doutput, dinput, {kernel, stride, padding});
  }
};

}  // namespace milkit::nn
