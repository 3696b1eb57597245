// expect: the aggregated embeddings have another number of features than the classifier takes
#include <milkit/models/zoom_mil/zoom_mil.hpp>
#include <milkit/nn/linear.hpp>
#include <milkit/pooling/gated_attention.hpp>
#include <milkit/topk/perturbed.hpp>

using namespace milkit;
using low = models::zoom_level<nn::linear<24, 16>, pooling::gated_attention<16, 8>, topk::perturbed>;
using high = models::zoom_level<nn::linear<24, 16>, pooling::gated_attention<16, 8>>;
#if defined(MILKIT_REJECTION_CONTROL)
auto f() { return models::basic_zoom_mil<models::aggregation::concatenation, nn::linear<32, 2>, low, high>(); }
#else
auto f() { return models::basic_zoom_mil<models::aggregation::concatenation, nn::linear<16, 2>, low, high>(); }
#endif
