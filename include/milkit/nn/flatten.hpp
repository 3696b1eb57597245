#pragma once

#include <milkit/nn/identity.hpp>

namespace milkit::nn {

/// Images [n, channels, height, width] as rows [n, channels height width] of the same elements in the same order.
struct flatten {
  static constexpr std::int64_t in_features = any_features, out_features = dynamic_extent;
  static constexpr bool row_wise = true, in_place = true, keeps_output = false;

  shape<2> output_shape(const auto& input) const { return {input[0], input.row_size()}; }

  void forward(const auto& at, auto input, auto output, auto&) const {
    detail::copy_elsewhere(at.backend, input.as_matrix(), output);
  }
  void backward(const auto& at, const auto&, auto doutput, auto dinput) const {
    if (!dinput.absent()) detail::copy_elsewhere(at.backend, doutput, dinput.as_matrix());
  }
};

}  // namespace milkit::nn
