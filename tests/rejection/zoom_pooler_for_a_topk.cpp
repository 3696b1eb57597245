// expect: milkit::models::zoom_level: the third argument is a top-K operator .topk/., or none
#include <milkit/models/zoom_mil/zoom_mil.hpp>
#include <milkit/nn/linear.hpp>
#include <milkit/pooling/gated_attention.hpp>
#include <milkit/topk/perturbed.hpp>

using namespace milkit;
using attention = pooling::gated_attention<16, 8>;
#if defined(MILKIT_REJECTION_CONTROL)
using zoom = topk::perturbed;
#else
using zoom = attention;
#endif
auto f() { return models::zoom_level<nn::linear<24, 16>, attention, zoom>(); }
