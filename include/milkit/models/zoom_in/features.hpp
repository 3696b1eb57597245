#pragma once

#include <type_traits>

#include <milkit/nn/activation.hpp>
#include <milkit/nn/batch_norm2d.hpp>
#include <milkit/nn/conv2d_same.hpp>
#include <milkit/nn/global_average_pool.hpp>
#include <milkit/nn/l2_normalise.hpp>
#include <milkit/nn/max_pool2d.hpp>
#include <milkit/nn/residual.hpp>
#include <milkit/nn/sequential.hpp>

/// Feature networks of the Zoom-In network (Kong & Henao 2022): from sub-tiles [n, 3, height, width] of any size to rows
/// [n, width of the network].
namespace milkit::models {

/// Table 5 of the paper's supplement: a convolution of 7 x 7 and three of 3 x 3, a relu after each, and the mean over all
/// positions. 32 480 parameters at width 32.
template <std::int64_t Width = 32>
using lenet_features = nn::sequential<nn::conv2d_same<3, Width, 7>, nn::relu, nn::conv2d_same<Width, Width, 3>,
                                      nn::relu, nn::conv2d_same<Width, Width, 3>, nn::relu,
                                      nn::conv2d_same<Width, Width, 3>, nn::relu, nn::global_average_pool>;

/// The official code's: two convolutions of 5 x 5, each with a relu and a max pool that halves (and leaves out an odd
/// last
/// row or column), mean, rows of length 1. 45 984 parameters. Images of at least 4 x 4 pixels.
template <std::int64_t First = 36, std::int64_t Width = 48>
using official_features =
    nn::sequential<nn::conv2d_same<3, First, 5>, nn::relu, nn::max_pool2d, nn::conv2d_same<First, Width, 5>, nn::relu,
                   nn::max_pool2d, nn::global_average_pool, nn::l2_normalise>;

/// Batch norm, relu and convolution of 3 x 3, twice: what a pre-activation block (He et al. 2016, "Identity mappings in deep
/// residual networks") adds to its input, or to a 1 x 1 convolution of it where stride or width changes. No biases.
template <std::int64_t In, std::int64_t Out, std::int64_t Stride>
using preactivation_block = nn::residual<
    nn::sequential<nn::batch_norm2d<In>, nn::relu, nn::conv2d_same<In, Out, 3, false, Stride>, nn::batch_norm2d<Out>,
                   nn::relu, nn::conv2d_same<Out, Out, 3, false>>,
    std::conditional_t<In == Out && Stride == 1, nn::identity, nn::conv2d_same<In, Out, 1, false, Stride>>>;

/// Table 6 of the supplement: a convolution of 3 x 3, four pre-activation blocks of strides 1, 2, 2, 2, batch norm, relu,
/// mean. The table names no biases, and before a batch norm they would do nothing: there are none.
template <std::int64_t Width = 32>
using residual_features =
    nn::sequential<nn::conv2d_same<3, Width, 3, false>, preactivation_block<Width, Width, 1>,
                   preactivation_block<Width, Width, 2>, preactivation_block<Width, Width, 2>,
                   preactivation_block<Width, Width, 2>, nn::batch_norm2d<Width>, nn::relu, nn::global_average_pool>;

/// The official code's: three blocks, the first of stride 1 or 2, the others of stride 2, and rows of length 1.
template <std::int64_t Width = 48, std::int64_t FirstStride = 1>
using official_residual_features =
    nn::sequential<nn::conv2d_same<3, Width, 3, false>, preactivation_block<Width, Width, FirstStride>,
                   preactivation_block<Width, Width, 2>, preactivation_block<Width, Width, 2>, nn::batch_norm2d<Width>,
                   nn::relu, nn::global_average_pool, nn::l2_normalise>;

}  // namespace milkit::models
