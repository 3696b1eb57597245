// expect: the magnifications' embeddings are summed, but have different numbers of features; aggregation::concatenation takes any
#include <milkit/models/zoom_mil/zoom_mil.hpp>
#include <milkit/nn/linear.hpp>
#include <milkit/pooling/gated_attention.hpp>
#include <milkit/topk/perturbed.hpp>

using namespace milkit;
using low = models::zoom_level<nn::linear<24, 16>, pooling::gated_attention<16, 8>, topk::perturbed>;
using high = models::zoom_level<nn::linear<24, 12>, pooling::gated_attention<12, 8>>;
#if defined(MILKIT_REJECTION_CONTROL)
auto f() { return models::basic_zoom_mil<models::aggregation::concatenation, nn::linear<28, 2>, low, high>(); }
#else
auto f() { return models::zoom_mil<nn::linear<16, 2>, low, high>(); }
#endif
