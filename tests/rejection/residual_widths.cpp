// expect: milkit::nn::residual: the layer gives another number of features than it takes
#include <milkit/milkit.hpp>
#include <milkit/nn/residual.hpp>

using namespace milkit;
#if defined(MILKIT_REJECTION_CONTROL)
nn::residual block(nn::sequential(nn::linear<64, 32>{}, nn::relu{}, nn::linear<32, 64>{}));
#else
nn::residual block(nn::sequential(nn::linear<64, 32>{}, nn::relu{}, nn::linear<32, 63>{}));
#endif
