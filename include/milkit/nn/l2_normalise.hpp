#pragma once

#include <milkit/nn/layer.hpp>
#include <milkit/ops/rows/l2_normalise.hpp>

namespace milkit::nn {

/// Rows [n, d] divided by their length, of at least 1e-12; see ops/rows/l2_normalise.hpp. Attention sampling (Katharopoulos &
/// Fleuret 2019) has the least variance with features of one length. No parameters.
struct l2_normalise {
  static constexpr std::int64_t in_features = any_features, out_features = any_features;
  static constexpr bool row_wise = true, in_place = true, keeps_output = true;

  shape<2> output_shape(shape<2> input) const { return input; }
  template <class Visitor>
  constexpr void describe(Visitor&) const {}

  template <class Input>
  struct saved {
    Input output;
    vector_view<double, typename Input::space> norms;
  };

  template <class Backend, class Weights, class Input, class Output>
  void forward(Backend& backend, Weights, Input input, Output output, saved<Input>& kept, const pass&) const {
    kept = {output, backend.kept_memory().template allocate<double>(input.rows())};
    ops::l2_normalise(backend, input, output, kept.norms);
  }

  template <class Backend, class Weights, class Input, class Doutput, class Dinput, class Gradient>
  void backward(Backend& backend, Weights, const saved<Input>& kept, Doutput doutput, Dinput dinput, Gradient,
                const pass&) const {
    if (!dinput.absent()) ops::l2_normalise_backward(backend, kept.output, kept.norms, doutput, dinput);
  }
};

}  // namespace milkit::nn
