// expect: milkit::nn::sequential: at least one layer
#include <milkit/milkit.hpp>

#if defined(MILKIT_REJECTION_CONTROL)
milkit::nn::sequential<milkit::nn::identity> network;
#else
milkit::nn::sequential<> network;
#endif
