// expect: milkit::nn::sequential: a layer gives another number of features than the next one takes
#include <milkit/milkit.hpp>

using namespace milkit;
#if defined(MILKIT_REJECTION_CONTROL)
using network = nn::sequential<nn::linear<1024, 512>, nn::relu, nn::linear<512, 2>>;
#else
using network = nn::sequential<nn::linear<1024, 512>, nn::relu, nn::linear<256, 2>>;
#endif
parameters<network, float> weights;
