// expect: milkit::models::zoom_in: the last two arguments are samplers .sampling.sampler.hpp.
#include <milkit/models/zoom_in/attention.hpp>
#include <milkit/models/zoom_in/features.hpp>
#include <milkit/models/zoom_in/zoom_in.hpp>
#include <milkit/nn/linear.hpp>
#include <milkit/sampling/top_n.hpp>
#include <milkit/topk/hard.hpp>

using namespace milkit;
#ifdef MILKIT_REJECTION_CONTROL
using cells = sampling::top_n;
#else
using cells = topk::hard;
#endif
auto f() {
  return models::zoom_in<models::tile_attention<>, models::cell_attention<>, models::lenet_features<>,
                         nn::linear<32, 2>, sampling::with_replacement, cells>();
}
