// expect: milkit::pooling: attention has one head, or two when dual
#include <milkit/pooling/scored_attention.hpp>

#if defined(MILKIT_REJECTION_CONTROL)
constexpr int heads = 2;
#else
constexpr int heads = 3;
#endif
auto f() { return milkit::pooling::scored_attention<16, 8, 2, heads, milkit::ops::tanh_function, true>(); }
