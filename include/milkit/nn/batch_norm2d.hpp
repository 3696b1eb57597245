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
  static constexpr bool keeps_output = false;

  [[no_unique_address]] extent<Channels> channels = {};
  double eps = 1e-5;
  double momentum = 0.1;
  bool frozen = false;

  shape<4> output_shape(const shape<4>& input) const {
    expect_extent("milkit::nn::batch_norm2d", "channels of the input", input[1], channels);
    return input;
  }
  constexpr auto list(auto& l) const {
    return std::tuple{l.vector("weight", channels, {.what = role::scale}),
                      l.vector("bias", channels, {.what = role::shift}),
                      l.vector("running_mean", channels, {.what = role::statistic, .scheme = init::zeros}),
                      l.vector("running_var", channels, {.what = role::statistic, .scheme = init::ones}),
                      l.vector("num_batches_tracked", 1, {.what = role::statistic_count, .scheme = init::zeros})};
  }

  template <class Input>
  struct saved {
    Input input;
    matrix_view<double, typename Input::space> moments;
  };
  template <class Input>
  void forward(const auto& at, Input input, auto output, saved<Input>& kept) const {
    const auto own = at.weights_of(*this);
    const decltype(at.weights) none;
    kept = {input, at.backend.kept_memory().template allocate<double>(shape<2>{channels, 3})};
    const bool batch = of_batch(at);
    ops::batch_norm2d(at.backend, input, std::get<0>(own), std::get<1>(own), batch ? none : std::get<2>(own),
                      batch ? none : std::get<3>(own), eps, output, kept.moments);
  }
  void backward(const auto& at, const auto& kept, auto doutput, auto dinput) const {
    const auto scope = at.backend.workspace.scope();
    const auto own = at.weights_of(*this);
    const auto [dweight, dbias, dmean, dvariance, dcount] = at.gradients_of(*this);
    ops::batch_norm2d_backward(at.backend, kept.input, kept.moments, !of_batch(at), std::get<0>(own), doutput, dinput,
                               at.or_unused(dweight, std::get<0>(own)), at.or_unused(dbias, std::get<0>(own)));
    if (of_batch(at) && !dcount.absent())
      ops::batch_norm2d_track(at.backend, kept.moments, kept.input.size() / channels, momentum, std::get<2>(own),
                              std::get<3>(own), dmean, dvariance, dcount);
  }

 private:
  bool of_batch(const auto& at) const { return at.pass.training && !frozen; }
};

}  // namespace milkit::nn
