// expect: milkit::nn::sequential: a layer does not take inputs of this rank
#include <milkit/milkit.hpp>

using namespace milkit;
#if defined(MILKIT_REJECTION_CONTROL)
using network = nn::sequential<nn::conv2d<3, 8, 3>, nn::flatten, nn::linear<dynamic_extent, 2>>;
#else
using network = nn::sequential<nn::conv2d<3, 8, 3>, nn::linear<dynamic_extent, 2>>;
#endif
using saved = network::saved<image_view<const float>>;
saved kept;
