// expect: every magnification but the last has a top-K that chooses where to zoom, and the last has none
#include <milkit/models/zoom_mil/zoom_mil.hpp>
#include <milkit/nn/linear.hpp>
#include <milkit/pooling/gated_attention.hpp>
#include <milkit/topk/perturbed.hpp>

using namespace milkit;
using attention = pooling::gated_attention<16, 8>;
using low = models::zoom_level<nn::linear<24, 16>, attention, topk::perturbed>;
using high = models::zoom_level<nn::linear<24, 16>, attention>;
#if defined(MILKIT_REJECTION_CONTROL)
auto f() { return models::zoom_mil<nn::linear<16, 2>, low, high>(); }
#else
auto f() { return models::zoom_mil<nn::linear<16, 2>, high, low>(); }
#endif
