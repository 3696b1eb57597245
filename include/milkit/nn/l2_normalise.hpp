#pragma once

#include <milkit/nn/layer.hpp>
#include <milkit/ops/rows/l2_normalise.hpp>

namespace milkit::nn {

/// Rows [n, d] divided by their length, of at least 1e-12; see ops/rows/l2_normalise.hpp. Attention sampling (Katharopoulos &
/// Fleuret 2019) has the least variance with features of one length. No parameters.
struct l2_normalise {
  static constexpr std::int64_t in_features = any_features, out_features = any_features;
  static constexpr bool row_wise = true, in_place = true;

  shape<2> output_shape(shape<2> input) const { return input; }

  template <class Input>
  struct saved {
    Input output;
    vector_view<double, typename Input::space> norms;
  };
  template <class Input>
  void forward(const auto& at, Input input, auto output, saved<Input>& kept) const {
    kept = {output, at.backend.kept_memory().template allocate<double>(input.rows())};
    ops::l2_normalise(at.backend, input, output, kept.norms);
  }
  void backward(const auto& at, const auto& kept, auto doutput, auto dinput) const {
    if (!dinput.absent()) ops::l2_normalise_backward(at.backend, kept.output, kept.norms, doutput, dinput);
  }
};

}  // namespace milkit::nn
