#pragma once

#include <milkit/nn/layer.hpp>
#include <milkit/ops/images/batch_norm2d.hpp>

namespace milkit::nn {

/// Batch norm of images [n, Channels, height, width] (Ioffe & Szegedy 2015), formula in ops/images/batch_norm2d.hpp:
/// `batch_norm2d<32>{}`. In training channels are normalised by their statistics over the batch; in inference, and with
/// `.frozen = true` always, by the running ones, which are constants then. Parameters, named as in PyTorch: `weight` and
/// `bias` [Channels], which start as 1 and 0, and the statistics `running_mean`, `running_var` (unbiased; 0 and 1 at the
/// start) and `num_batches_tracked`. `momentum` is a batch's share in a running statistic; of several batches in one step
/// their mean counts, and batches of fewer than two values a channel do not: a single value gives the bias. backward
/// leaves in the gradient what `role::statistic` says; a loop of your own calls train::move_statistics.
template <std::int64_t Channels>
struct batch_norm2d {
  static constexpr std::int64_t in_features = Channels, out_features = Channels;
  static constexpr bool row_wise = false, in_place = false, keeps_output = false;

  [[no_unique_address]] extent<Channels> channels = {};
  double eps = 1e-5;
  double momentum = 0.1;
  bool frozen = false;

  shape<4> output_shape(const shape<4>& input) const {
    expect_extent("milkit::nn::batch_norm2d", "channels of the input", input[1], channels);
    return input;
  }

  template <class Visitor>
  constexpr void describe(Visitor& v) const {
    v.parameter({"weight", {channels}, role::scale, channels, channels});
    v.parameter({"bias", {channels}, role::shift, channels, channels});
    v.parameter({"running_mean", {channels}, role::statistic, channels, channels, init::zeros});
    v.parameter({"running_var", {channels}, role::statistic, channels, channels, init::ones});
    v.parameter({"num_batches_tracked", {1}, role::statistic_count, 1, 1, init::zeros});
  }

  template <class Input>
  struct saved {
    Input input;
    matrix_view<double, typename Input::space> moments;
  };

  template <class Backend, class Weights, class Input, class Output>
  void forward(Backend& backend, Weights weights, Input input, Output output, saved<Input>& kept,
               const pass& pass) const {
    const auto own = split(weights);
    const Weights none;
    kept = {input, backend.kept_memory().template allocate<double>(shape<2>{channels, 3})};
    const bool running = !of_batch(pass);
    ops::batch_norm2d(backend, input, own.weight, own.bias, running ? own.running_mean : none,
                      running ? own.running_var : none, eps, output, kept.moments);
  }

  template <class Backend, class Weights, class Input, class Doutput, class Dinput, class Gradient>
  void backward(Backend& backend, Weights weights, const saved<Input>& kept, Doutput doutput, Dinput dinput,
                Gradient gradient, const pass& pass) const {
    const auto own = split(weights);
    const auto into = split(gradient);
    ops::batch_norm2d_backward(backend, kept.input, kept.moments, !of_batch(pass), own.weight, doutput, dinput,
                               into.weight, into.bias);
    if (of_batch(pass))
      ops::batch_norm2d_track(backend, kept.moments, kept.input.size() / channels, momentum, own.running_mean,
                              own.running_var, into.running_mean, into.running_var, into.num_batches_tracked);
  }

 private:
  bool of_batch(const pass& pass) const { return pass.training && !frozen; }

  template <class Vector>
  struct parts {
    Vector weight, bias, running_mean, running_var, num_batches_tracked;
  };
  template <class T, class Space>
  parts<vector_view<T, Space>> split(vector_view<T, Space> stretch) const {
    parameter_cursor cursor(stretch);
    const auto weight = cursor.vector(channels), bias = cursor.vector(channels), mean = cursor.vector(channels);
    const auto variance = cursor.vector(channels);
    return {weight, bias, mean, variance, cursor.vector(1)};
  }
};

}  // namespace milkit::nn
