#pragma once

#include <milkit/nn/conv2d.hpp>

namespace milkit::nn {

/// A convolution with (Kernel - 1) / 2 zeros on every side, so that images keep their size and, with a stride, n pixels
/// become ceil(n / stride): `conv2d_same<3, 8, 3>{}`, `conv2d_same<8, 16, 3, false, 2>{}` or, for a stride known at run
/// time, `conv2d_same<8, 16, 3>({2, 2})`. All else as `conv2d`.
template <std::int64_t In, std::int64_t Out, std::int64_t Kernel, bool Bias = true, std::int64_t Stride = 1>
struct conv2d_same : conv2d<In, Out, Kernel, Kernel, Bias> {
  static_assert(
      Kernel % 2 == 1,
      "milkit::nn::conv2d_same: the kernel's extent is even, so no padding keeps an image's size; take an odd "
      "one, or nn::conv2d with a padding of your own");

  constexpr conv2d_same() : conv2d_same({Stride, Stride}) {}
  constexpr explicit conv2d_same(ops::per_axis steps) {
    this->stride = steps;
    this->padding = {(Kernel - 1) / 2, (Kernel - 1) / 2};
  }
};

}  // namespace milkit::nn
