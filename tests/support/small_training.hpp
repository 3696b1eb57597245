#pragma once

#include <milkit/loss/cross_entropy.hpp>
#include <milkit/models/bag_classifier/bag_classifier.hpp>
#include <milkit/nn/activation.hpp>
#include <milkit/nn/dropout.hpp>
#include <milkit/nn/linear.hpp>
#include <milkit/nn/sequential.hpp>
#include <milkit/ops/bags/gate_cpu.hpp>
#include <milkit/ops/bags/segment_pool_cpu.hpp>
#include <milkit/ops/products/linear_cpu.hpp>
#include <milkit/ops/products/matmul_cpu.hpp>
#include <milkit/ops/rows/activation_cpu.hpp>
#include <milkit/ops/rows/dropout_cpu.hpp>
#include <milkit/ops/rows/fill_cpu.hpp>
#include <milkit/ops/rows/reduce_cpu.hpp>
#include <milkit/ops/rows/softmax_cpu.hpp>
#include <milkit/ops/training/cross_entropy_cpu.hpp>
#include <milkit/ops/training/optimizer_step_cpu.hpp>
#include <milkit/pooling/gated_attention.hpp>
#include <milkit/train/trainer.hpp>

#include <support/gradient_check.hpp>

/// A network and bags that train in a moment.
namespace milkit::test {

using small_network = models::bag_classifier<nn::sequential<nn::linear<6, 8>, nn::relu, nn::dropout>,
                                             pooling::gated_attention<8, 5>, nn::linear<8, 2>>;
inline small_network dropping_network() {
  small_network net;
  net.embedding.encoder = nn::sequential<nn::linear<6, 8>, nn::relu, nn::dropout>({}, {}, {.rate = 0.1});
  net.embedding.pooler.dropout = 0.1;
  return net;
}

/// Bags of 3 to 9 normal instances; those with an odd number hold an instance that is far out, and are positive.
inline data::bag_table needle_bags(std::int64_t bags, std::uint64_t seed = 1) {
  data::bag_table table;
  for (std::int64_t b = 0; b < bags; ++b) {
    table.offsets.push_back(table.offsets.back() + 3 + (b * 5) % 7);
    table.labels.push_back(b % 2);
    table.names.push_back(message("bag ", b));
  }
  table.instances = normals<float>(shape<2>{table.offsets.back(), 6}, seed);
  for (std::int64_t b = 1; b < bags; b += 2)
    table.instances.view()(table.offsets[static_cast<std::size_t>(b)] + 1, 0) = 6;
  return table;
}

}  // namespace milkit::test
