#pragma once

#include <milkit/nn/activation.hpp>
#include <milkit/nn/conv2d_same.hpp>
#include <milkit/nn/flatten.hpp>
#include <milkit/nn/global_average_pool.hpp>
#include <milkit/nn/identity.hpp>
#include <milkit/nn/sequential.hpp>

/// Attention networks of the Zoom-In network (Kong & Henao 2022): from views of tiles [n, 3, height, width] to a map of
/// logits of the same size. `Activation` stands between the convolutions (the paper's Table 5 has `nn::tanh`), `Last` on the
/// map: by default nothing, because a tanh there bounds the logits, so that no attention is e^2 times another.
namespace milkit::models {

/// Convolutions of 3 x 3 to 8, 8 and 1 channels: [n, 3, h, w] to [n, 1, h, w]. 881 parameters.
template <class Activation = nn::relu, class Last = nn::identity>
using conv_attention_logits = nn::sequential<nn::conv2d_same<3, 8, 3>, Activation, nn::conv2d_same<8, 8, 3>, Activation,
                                             nn::conv2d_same<8, 1, 3>, Last>;

/// To 8, 16, 32 and 1 channels, as Table 6 of the supplement has it. 6 321 parameters.
template <class Activation = nn::relu, class Last = nn::identity>
using wide_attention_logits =
    nn::sequential<nn::conv2d_same<3, 8, 3>, Activation, nn::conv2d_same<8, 16, 3>, Activation,
                   nn::conv2d_same<16, 32, 3>, Activation, nn::conv2d_same<32, 1, 3>, Last>;

/// Stage 1: a tile's logit is the mean of its map, [n, 1].
template <class Map = conv_attention_logits<>>
using tile_attention = nn::sequential<Map, nn::global_average_pool>;

/// Stage 2: a logit for each position of a tile, row by row, [n, h w].
template <class Map = conv_attention_logits<>>
using cell_attention = nn::sequential<Map, nn::flatten>;

}  // namespace milkit::models
