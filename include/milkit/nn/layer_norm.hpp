#pragma once

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
  static constexpr bool row_wise = true, keeps_output = false;

  [[no_unique_address]] extent<Features> features = {};
  double eps = 1e-5;

  shape<2> output_shape(shape<2> input) const {
    expect_extent("milkit::nn::layer_norm", "features of the input", input[1], features);
    return input;
  }
  constexpr auto list(auto& l) const {
    return std::tuple{l.vector("weight", features, {.what = role::scale}),
                      l.vector("bias", features, {.what = role::shift})};
  }

  template <class Input>
  struct saved {
    Input input;
    matrix_view<double, typename Input::space> moments;
  };
  template <class Input>
  void forward(const auto& at, Input input, auto output, saved<Input>& kept) const {
    const auto [weight, bias] = at.weights_of(*this);
    kept = {input, at.backend.kept_memory().template allocate<double>(shape<2>{input.rows(), 2})};
    ops::layer_norm(at.backend, input, weight, bias, eps, output, kept.moments);
  }
  void backward(const auto& at, const auto& kept, auto doutput, auto dinput) const {
    const auto scope = at.backend.workspace.scope();
    const auto weight = std::get<0>(at.weights_of(*this));
    const auto [dweight, dbias] = at.gradients_of(*this);
    ops::layer_norm_backward(at.backend, kept.input, kept.moments, weight, doutput, dinput,
                             at.or_unused(dweight, weight), at.or_unused(dbias, weight));
  }
};

}  // namespace milkit::nn
