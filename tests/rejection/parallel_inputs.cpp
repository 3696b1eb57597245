// expect: milkit::nn::parallel: two branches take different numbers of features, but get one input
#include <milkit/milkit.hpp>
#include <milkit/nn/parallel.hpp>

using namespace milkit;
#if defined(MILKIT_REJECTION_CONTROL)
nn::parallel block(nn::linear<64, 8>{}, nn::relu{}, nn::linear<64, 16>{});
#else
nn::parallel block(nn::linear<64, 8>{}, nn::relu{}, nn::linear<32, 16>{});
#endif
