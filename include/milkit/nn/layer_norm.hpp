#pragma once

#include <utility>

#include <milkit/nn/layer.hpp>
#include <milkit/ops/rows/layer_norm.hpp>

namespace milkit::nn {

/// Layer norm (Ba et al. 2016) of rows [n, Features]: each row is shifted and scaled to mean 0 and variance 1, then
/// multiplied by `weight` and shifted by `bias`, both [Features], which start as 1 and 0. ops/rows/layer_norm.hpp has the
/// formula. `layer_norm<512>{.eps = 1e-6}`; `layer_norm<dynamic_extent>{.features = {166}}` takes its width at run
/// time.
template <std::int64_t Features>
struct layer_norm {
  static constexpr std::int64_t in_features = Features, out_features = Features;
  static constexpr bool row_wise = true, in_place = false, keeps_output = false;

  [[no_unique_address]] extent<Features> features = {};
  double eps = 1e-5;

  shape<2> output_shape(shape<2> input) const {
    expect_extent("milkit::nn::layer_norm", "features of the input", input[1], features);
    return input;
  }

  template <class Visitor>
  constexpr void describe(Visitor& v) const {
    v.parameter({"weight", {features}, role::scale, features, features});
    v.parameter({"bias", {features}, role::shift, features, features});
  }

  template <class Input>
  struct saved {
    Input input;
    matrix_view<double, typename Input::space> moments;
  };

  template <class Backend, class Weights, class Input, class Output>
  void forward(Backend& backend, Weights weights, Input input, Output output, saved<Input>& kept, const pass&) const {
    const auto [weight, bias] = split(weights);
    kept = {input, backend.kept_memory().template allocate<double>(shape<2>{input.rows(), 2})};
    ops::layer_norm(backend, input, weight, bias, eps, output, kept.moments);
  }

  template <class Backend, class Weights, class Input, class Doutput, class Dinput, class Gradient>
  void backward(Backend& backend, Weights weights, const saved<Input>& kept, Doutput doutput, Dinput dinput,
                Gradient gradient, const pass&) const {
    const auto [weight, bias] = split(weights);
    const auto [dweight, dbias] = split(gradient);
    ops::layer_norm_backward(backend, kept.input, kept.moments, weight, doutput, dinput, dweight, dbias);
  }

 private:
  template <class T, class Space>
  auto split(vector_view<T, Space> stretch) const {
    parameter_cursor cursor(stretch);
    const auto weight = cursor.vector(features);
    return std::pair(weight, cursor.vector(features));
  }
};

}  // namespace milkit::nn
