#pragma once

#include <milkit/nn/layer.hpp>
#include <milkit/ops/rows/fill.hpp>

namespace milkit::nn {

/// Images [n, channels, height, width] as rows [n, channels height width] of the same elements in the same order.
struct flatten {
  static constexpr std::int64_t in_features = any_features, out_features = dynamic_extent;
  static constexpr bool row_wise = true, in_place = true, keeps_output = false;

  template <int Rank>
  shape<2> output_shape(shape<Rank> input) const {
    return {input[0], input.row_size()};
  }
  template <class Visitor>
  constexpr void describe(Visitor&) const {}

  template <class Input>
  struct saved {
    shape<Input::rank> input;
  };

  template <class Backend, class Weights, class Input, class Output>
  void forward(Backend& backend, Weights, Input input, Output output, saved<Input>& kept, const pass&) const {
    kept.input = input.shape();
    copy(backend, input.as_matrix(), output);
  }
  template <class Backend, class Weights, class Input, class Doutput, class Dinput, class Gradient>
  void backward(Backend& backend, Weights, const saved<Input>&, Doutput doutput, Dinput dinput, Gradient,
                const pass&) const {
    if (!dinput.absent()) copy(backend, doutput, dinput.as_matrix());
  }

 private:
  template <class Backend, class X, class Y>
  static void copy(Backend& backend, X x, Y y) {
    if (static_cast<const void*>(x.data()) != static_cast<const void*>(y.data())) ops::copy_rows(backend, x, y);
  }
};

}  // namespace milkit::nn
