#pragma once

#include <milkit/core/backend.hpp>
#include <milkit/ops/images/window.hpp>

namespace milkit::ops {

struct conv2d_options {
  per_axis stride = {1, 1};
  per_axis padding = {0, 0};  ///< rows above and below, columns left and right, of zeros
};

namespace detail {
/// What happens to each element of a convolution before it is written: + residual, where there is one, then the relu.
template <class T, class Space>
struct conv2d_finish {
  image_view<const T, Space> residual = {};
  bool relu = false;
};

template <class Backend>
struct conv2d_impl {
  static_assert(dependent_false<Backend>,
                "milkit::ops::conv2d: no implementation for this backend here; include "
                "<milkit/ops/images/conv2d_cpu.hpp> for cpu or "
                "<milkit/ops/images/conv2d_cuda.cuh> for cuda");
};
template <class Backend>
struct conv2d_backward_impl {
  static_assert(dependent_false<Backend>,
                "milkit::ops::conv2d_backward: no implementation for this backend here; include "
                "<milkit/ops/images/conv2d_cpu.hpp> for "
                "cpu or <milkit/ops/images/conv2d_cuda.cuh> for cuda");
};
}  // namespace detail

/// The shape of y = conv2d(x): height and width floor((size + 2 padding - kernel) / stride) + 1. Errors: shape_error.
inline shape<4> conv2d_shape(const shape<4>& x, const shape<4>& weight, const conv2d_options& options) {
  constexpr const char* op = "milkit::ops::conv2d";
  expect_extent(op, "channels of x", x[1], weight[1]);
  return {x[0], weight[0], window_count(op, x[2], weight[2], options.stride[0], options.padding[0]),
          window_count(op, x[3], weight[3], options.stride[1], options.padding[1])};
}

/// 2-d convolution, as the field has it (the kernel is not flipped), zeros around the image: y[n, o, i, j] = b[o] +
/// sum_{c, u, v} w[o, c, u, v] x[n, c, i s0 + u - p0, j s1 + v - p1]. Shapes: x [batch, in, height, width], weight
/// [out, in, kernel height, kernel width], bias [out] or absent, y as `conv2d_shape` says; batch may be 0, images may
/// lie apart, kernels may not. Cost: 2 |y| in kernel FLOPs. cpu: a tile of y stays in registers while its terms are added,
/// with vectors along rows, or for a stride of 1 along output channels (from a packed copy of the weights) where more of
/// their lanes have work; where few have, and with `cpu::gemm`, bands are unfolded (im2col) and multiplied. Parallel over
/// bands of an image: O(threads) bands of memory, results independent of the thread count. cuda: an implicit product, or the
/// library that `cuda::convolution` names. Errors: shape_error, value_error for stride or padding.
template <backend Backend, class X, class Weight, class Bias, class Y>
requires resident_on<X, Backend> && resident_on<Weight, Backend> && resident_on<Bias, Backend> &&
    resident_on<Y, Backend>
void conv2d(Backend& backend, X x, Weight weight, Bias bias, Y y, const conv2d_options& options = {}) {
  using T = typename Y::value_type;
  using Space = typename Backend::space;
  expect_shape("milkit::ops::conv2d", "y", y, conv2d_shape(x.shape(), weight.shape(), options));
  expect_contiguous("milkit::ops::conv2d", "weight", weight);
  if (!bias.absent()) expect_extent("milkit::ops::conv2d", "extent of bias", bias.extent(0), weight.extent(0));
  execute<detail::conv2d_impl>(backend, image_view<const T, Space>(x), image_view<const T, Space>(weight),
                               vector_view<const T, Space>(bias), image_view<T, Space>(y), options,
                               detail::conv2d_finish<T, Space>());
}

/// y = relu(conv2d(x) + residual) while y is in cache: the end of a residual block, for inference. `residual` has the shape
/// of y, is not y's memory, and may be absent. All else as `conv2d`.
template <backend Backend, class X, class Weight, class Bias, class Residual, class Y>
requires resident_on<X, Backend> && resident_on<Weight, Backend> && resident_on<Bias, Backend> &&
    resident_on<Residual, Backend> && resident_on<Y, Backend>
void conv2d_relu(Backend& backend, X x, Weight weight, Bias bias, Residual residual, Y y,
                 const conv2d_options& options = {}) {
  using T = typename Y::value_type;
  using Space = typename Backend::space;
  constexpr const char* op = "milkit::ops::conv2d_relu";
  expect_shape(op, "y", y, conv2d_shape(x.shape(), weight.shape(), options));
  expect_contiguous(op, "weight", weight);
  if (!bias.absent()) expect_extent(op, "extent of bias", bias.extent(0), weight.extent(0));
  if (!residual.absent()) expect_shape(op, "residual", residual, y.shape());
  execute<detail::conv2d_impl>(backend, image_view<const T, Space>(x), image_view<const T, Space>(weight),
                               vector_view<const T, Space>(bias), image_view<T, Space>(y), options,
                               detail::conv2d_finish<T, Space>{residual, true});
}

/// Gradients of `conv2d` from dy: dx (replaced; left out when absent), dweight and, unless absent, dbias (added to).
/// Cost: 2 |y| in kernel FLOPs each for dx and dweight. cpu, with and without `cpu::gemm`: dweight with vectors along
/// output channels (by products for a kernel of one pixel), parallel over at most 32 fixed groups of bands, whose parts of
/// dweight and dbias are summed in order and in double; dx of stride 1 as the convolution of dy with the kernel turned
/// around, else by products that are folded, parallel over images. Memory: O(threads) bands, two copies of the weights,
/// and at most max(2 MiB, 4 |weight|) for the parts, |weight| with its channels padded to whole vectors.
template <backend Backend, class X, class Weight, class Dy, class Dx, class Dweight, class Dbias>
requires resident_on<X, Backend> && resident_on<Weight, Backend> && resident_on<Dy, Backend> &&
    resident_on<Dx, Backend> && resident_on<Dweight, Backend> && resident_on<Dbias, Backend>
void conv2d_backward(Backend& backend, X x, Weight weight, Dy dy, Dx dx, Dweight dweight, Dbias dbias,
                     const conv2d_options& options = {}) {
  using T = typename Dweight::value_type;
  using Space = typename Backend::space;
  constexpr const char* op = "milkit::ops::conv2d_backward";
  expect_shape(op, "dy", dy, conv2d_shape(x.shape(), weight.shape(), options));
  expect_shape(op, "dweight", dweight, weight.shape());
  expect_contiguous(op, "weight", weight);
  expect_contiguous(op, "dweight", dweight);
  if (!dx.absent()) expect_shape(op, "dx", dx, x.shape());
  if (!dbias.absent()) expect_extent(op, "extent of dbias", dbias.extent(0), weight.extent(0));
  expect_contiguous(op, "dbias", dbias);
  execute<detail::conv2d_backward_impl>(backend, image_view<const T, Space>(x), image_view<const T, Space>(weight),
                                        image_view<const T, Space>(dy), image_view<T, Space>(dx),
                                        image_view<T, Space>(dweight), vector_view<T, Space>(dbias), options);
}

}  // namespace milkit::ops
