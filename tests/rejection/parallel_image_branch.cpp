// expect: milkit::nn::parallel: one branch gives rows and another one images, expected all alike
#include <milkit/milkit.hpp>
#include <milkit/nn/parallel.hpp>

using namespace milkit;
#if defined(MILKIT_REJECTION_CONTROL)
nn::parallel block(nn::global_average_pool{}, nn::flatten{});
#else
nn::parallel block(nn::global_average_pool{}, nn::max_pool2d{});
#endif
shape<2> s = block.output_shape(shape<4>{1, 3, 8, 8});
