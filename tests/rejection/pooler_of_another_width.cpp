// expect: milkit::pooling::bag_embedding: the encoder gives another number of features than the pooler takes
#include <milkit/nn/linear.hpp>
#include <milkit/pooling/bag_embedding.hpp>
#include <milkit/pooling/gated_attention.hpp>

#if defined(MILKIT_REJECTION_CONTROL)
using encoder = milkit::nn::linear<24, 16>;
#else
using encoder = milkit::nn::linear<24, 12>;
#endif
auto f() { return milkit::pooling::bag_embedding<encoder, milkit::pooling::gated_attention<16, 8>>(); }
