#pragma once

#include <tuple>

#include <milkit/nn/layer.hpp>

namespace example {

// Convolutions before a relu start as He et al. have it: PyTorch's default lets so little through four of them that a training begins with
// epochs in which nothing is learned.
template <class Layers>
void start_convolutions(Layers& layers) {
  const auto start = [](auto& layer) {
    if constexpr (requires { layer.scheme; }) layer.scheme = milkit::init::kaiming_normal;
    else if constexpr (requires { layer.layers; }) start_convolutions(layer.layers);
  };
  std::apply([&](auto&... each) { (start(each), ...); }, layers);
}

// Of a whole Zoom-In network.
template <class Network>
void start_attention_and_features(Network& net) {
  start_convolutions(net.features.layers);
  start_convolutions(net.cell_attention.layers);
  if constexpr (!Network::one_stage) start_convolutions(net.tile_attention.layers);
}

}  // namespace example
