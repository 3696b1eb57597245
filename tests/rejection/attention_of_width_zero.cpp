// expect: milkit: a dimension of a layer is positive, or dynamic_extent
#include <milkit/pooling/gated_attention.hpp>

#if defined(MILKIT_REJECTION_CONTROL)
auto f() { return milkit::pooling::gated_attention<16, 8>(); }
#else
auto f() { return milkit::pooling::gated_attention<16, 0>(); }
#endif
