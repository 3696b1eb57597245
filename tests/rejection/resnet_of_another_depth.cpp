// expect: milkit::encoders::resnet: the depth is 18, 34, 50, 101 or 152
#include <milkit/encoders/resnet.hpp>
#include <milkit/milkit.hpp>

using namespace milkit;
#if defined(MILKIT_REJECTION_CONTROL)
constexpr std::int64_t features = encoders::resnet_network<34, 3>::out_features;
#else
constexpr std::int64_t features = encoders::resnet_network<35, 3>::out_features;
#endif
