#pragma once

#include <milkit/nn/layer.hpp>
#include <milkit/ops/images/pool2d.hpp>

namespace milkit::nn {

/// Max pooling of images [n, channels, height, width] with square windows: `max_pool2d{}` halves height and width,
/// `max_pool2d{.kernel = 3, .stride = 2, .padding = 1}`. Windows that do not fit are left out; ties go to the first
/// element in row-major order; NaN gives NaN. Keeps two bytes an output element for the way back. Errors: as
/// ops::pool2d_shape.
struct max_pool2d {
  static constexpr std::int64_t in_features = any_features, out_features = any_features;
  static constexpr bool row_wise = true, keeps_output = false;

  std::int64_t kernel = 2, stride = 2, padding = 0;

  shape<4> output_shape(const shape<4>& input) const { return ops::pool2d_shape(input, {kernel, stride, padding}); }

  template <class Input>
  struct saved {
    image_view<ops::window_position, typename Input::space> position;
  };
  template <class Input>
  void forward(const auto& at, Input input, auto output, saved<Input>& kept) const {
    kept.position = at.backend.kept_memory().template allocate<ops::window_position>(output.shape());
    ops::max_pool2d(at.backend, input, output, kept.position, {kernel, stride, padding});
  }
  void backward(const auto& at, const auto& kept, auto doutput, auto dinput) const {
    if (!dinput.absent())
      ops::max_pool2d_backward(at.backend, kept.position, doutput, dinput, {kernel, stride, padding});
  }
  void infer(const auto& at, auto input, auto output) const {
    ops::max_pool2d(at.backend, input, output, saved<decltype(input)>().position, {kernel, stride, padding});
  }
};

}  // namespace milkit::nn
