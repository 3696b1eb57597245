#pragma once

#include <milkit/nn/layer.hpp>
#include <milkit/ops/images/batch_norm2d.hpp>

namespace milkit::nn {

/// Batch norm of images [n, Channels, height, width] by running statistics that are constants, in training too, so that an image
/// of the output depends on that image alone: y = w_c (x - mean_c) / sqrt(variance_c + eps) + b_c, `frozen_batch_norm2d<64>{}`.
/// Parameters and their names are those of `batch_norm2d`, whose weights it takes; `weight` and `bias` are trained, at `.rate`
/// times the optimizer's, or for 0 not at all. The statistics never move.
template <std::int64_t Channels>
struct frozen_batch_norm2d {
  static constexpr std::int64_t in_features = Channels, out_features = Channels;
  static constexpr bool row_wise = true, keeps_output = false;

  [[no_unique_address]] extent<Channels> channels = {};
  double eps = 1e-5;
  double rate = 1;

  shape<4> output_shape(const shape<4>& input) const {
    expect_extent("milkit::nn::frozen_batch_norm2d", "channels of the input", input[1], channels);
    return input;
  }
  constexpr auto list(auto& l) const {
    return std::tuple{
        l.vector("weight", channels, {.what = role::scale, .rate = rate}),
        l.vector("bias", channels, {.what = role::shift, .rate = rate}),
        l.vector("running_mean", channels, {.what = role::statistic, .scheme = init::zeros, .rate = 0}),
        l.vector("running_var", channels, {.what = role::statistic, .scheme = init::ones, .rate = 0}),
        l.vector("num_batches_tracked", 1, {.what = role::statistic_count, .scheme = init::zeros, .rate = 0})};
  }

  template <class Input>
  struct saved {
    Input input;
    matrix_view<double, typename Input::space> moments;
  };
  template <class Input>
  void forward(const auto& at, Input input, auto output, saved<Input>& kept) const {
    const auto [weight, bias, mean, variance, count] = at.weights_of(*this);
    kept = {input, at.backend.kept_memory().template allocate<double>(shape<2>{channels, 3})};
    ops::batch_norm2d(at.backend, input, weight, bias, mean, variance, eps, output, kept.moments);
  }
  void backward(const auto& at, const auto& kept, auto doutput, auto dinput) const {
    const auto scope = at.backend.workspace.scope();
    const auto weight = std::get<0>(at.weights_of(*this));
    const auto own = at.gradients_of(*this);
    ops::batch_norm2d_backward(at.backend, kept.input, kept.moments, true, weight, doutput, dinput,
                               at.or_unused(std::get<0>(own), weight), at.or_unused(std::get<1>(own), weight));
  }
};

}  // namespace milkit::nn
