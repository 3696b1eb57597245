// expect: the features have another width than the classifier takes
#include <milkit/models/zoom_in/attention.hpp>
#include <milkit/models/zoom_in/features.hpp>
#include <milkit/models/zoom_in/zoom_in.hpp>
#include <milkit/nn/linear.hpp>

using namespace milkit;
#ifdef MILKIT_REJECTION_CONTROL
using classifier = nn::linear<32, 2>;
#else
using classifier = nn::linear<48, 2>;
#endif
auto f() {
  return models::zoom_in<models::tile_attention<>, models::cell_attention<>, models::lenet_features<>, classifier>();
}
