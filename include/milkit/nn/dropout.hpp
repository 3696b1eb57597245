#pragma once

#include <milkit/nn/identity.hpp>
#include <milkit/ops/rows/dropout.hpp>

namespace milkit::nn {

/// Dropout (Srivastava et al. 2014): in training each element is 0 with probability `rate` and else divided by 1 -
/// rate; in inference the identity. The mask is a function of the random stream and of the instance, so it is not
/// stored: backward makes it again. Rows of any rank. Errors: value_error for a rate outside [0, 1).
struct dropout {
  static constexpr std::int64_t in_features = any_features, out_features = any_features;
  static constexpr bool row_wise = true, in_place = true, keeps_output = false;

  double rate = 0.5;

  auto output_shape(const auto& input) const { return input; }

  void forward(const auto& at, auto input, auto output, auto&) const {
    expect_value(rate >= 0 && rate < 1, "milkit::nn::dropout", "the rate is ", rate, ", expected 0 <= rate < 1");
    if (!at.pass.training || rate == 0) return detail::copy_elsewhere(at.backend, input, output);
    const auto scope = at.backend.workspace.scope();
    const auto mask = at.backend.workspace.template allocate<std::uint8_t>(input.as_matrix().shape());
    ops::dropout_mask(at.backend, at.pass.random, at.pass.first_row, rate, mask);
    ops::apply_mask(at.backend, input, mask, rate, output);
  }
  void backward(const auto& at, const auto& kept, auto doutput, auto dinput) const {
    if (!dinput.absent()) forward(at, doutput, dinput, kept);
  }
};

}  // namespace milkit::nn
