// expect: milkit::nn::sequential: a layer gives another number of features than the next one takes
#include <milkit/milkit.hpp>

using namespace milkit;
#if defined(MILKIT_REJECTION_CONTROL)
using encoder = nn::sequential<nn::linear<16, 64>, nn::dropout>;
#else
using encoder = nn::sequential<nn::linear<16, 32>, nn::dropout>;
#endif
constexpr auto count = parameter_count(nn::sequential<encoder, nn::layer_norm<64>>{});
