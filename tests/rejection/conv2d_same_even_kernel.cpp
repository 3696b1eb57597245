// expect: milkit::nn::conv2d_same: the kernel's extent is even, so no padding keeps an image's size
#include <milkit/milkit.hpp>

using namespace milkit;
#if defined(MILKIT_REJECTION_CONTROL)
nn::conv2d_same<3, 8, 3> layer;
#else
nn::conv2d_same<3, 8, 4> layer;
#endif
