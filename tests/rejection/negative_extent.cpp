// expect: milkit: a dimension of a layer is positive, or dynamic_extent
#include <milkit/milkit.hpp>

#if defined(MILKIT_REJECTION_CONTROL)
milkit::nn::linear<512, 2> layer;
#else
milkit::nn::linear<512, -2> layer;
#endif
