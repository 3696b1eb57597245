#pragma once

#include <milkit/nn/layer.hpp>
#include <milkit/ops/rows/dropout.hpp>
#include <milkit/ops/rows/fill.hpp>

namespace milkit::nn {

/// Dropout (Srivastava et al. 2014): in training each element is 0 with probability `rate` and else divided by 1 -
/// rate; in inference the identity. The mask is a function of the random stream and of the instance, so it is not
/// stored: backward makes it again. Rows of any rank. Errors: value_error for a rate outside [0, 1).
struct dropout {
  static constexpr std::int64_t in_features = any_features, out_features = any_features;
  static constexpr bool row_wise = true, in_place = true, keeps_output = false;

  double rate = 0.5;

  template <int Rank>
  shape<Rank> output_shape(shape<Rank> input) const {
    return input;
  }
  template <class Visitor>
  constexpr void describe(Visitor&) const {}

  template <class Input>
  struct saved {};

  template <class Backend, class Weights, class Input, class Output>
  void forward(Backend& backend, Weights, Input input, Output output, saved<Input>&, const pass& pass) const {
    apply(backend, input, output, pass);
  }
  template <class Backend, class Weights, class Input, class Doutput, class Dinput, class Gradient>
  void backward(Backend& backend, Weights, const saved<Input>&, Doutput doutput, Dinput dinput, Gradient,
                const pass& pass) const {
    if (!dinput.absent()) apply(backend, doutput, dinput, pass);
  }

 private:
  template <class Backend, class X, class Y>
  void apply(Backend& backend, X x, Y y, const pass& pass) const {
    expect_value(rate >= 0 && rate < 1, "milkit::nn::dropout", "the rate is ", rate, ", expected 0 <= rate < 1");
    if (!pass.training || rate == 0) {
      if (static_cast<const void*>(x.data()) != static_cast<const void*>(y.data())) ops::copy_rows(backend, x, y);
      return;
    }
    const auto scope = backend.workspace.scope();
    const auto mask = backend.workspace.template allocate<std::uint8_t>(shape<2>{x.rows(), x.row_size()});
    ops::dropout_mask(backend, pass.random, pass.first_row, rate, mask);
    ops::apply_mask(backend, x, mask, rate, y);
  }
};

}  // namespace milkit::nn
