// expect: milkit::nn::residual: the shortcut gives another number of features than the layer
#include <milkit/milkit.hpp>

using namespace milkit;
#if defined(MILKIT_REJECTION_CONTROL)
nn::residual block(nn::conv2d_same<32, 64, 3, false, 2>{}, nn::conv2d_same<32, 64, 1, false, 2>{});
#else
nn::residual block(nn::conv2d_same<32, 64, 3, false, 2>{}, nn::conv2d_same<32, 32, 1, false, 2>{});
#endif
