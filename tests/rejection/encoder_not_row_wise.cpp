// expect: milkit::pooling::bag_embedding: the encoder must work instance by instance \(row_wise\)
#include <milkit/nn/linear.hpp>
#include <milkit/pooling/bag_embedding.hpp>
#include <milkit/pooling/mean.hpp>

struct self_attention : milkit::nn::linear<16, 16> {
#if !defined(MILKIT_REJECTION_CONTROL)
  static constexpr bool row_wise = false;
#endif
};
auto f() { return milkit::pooling::bag_embedding<self_attention, milkit::pooling::mean>(); }
