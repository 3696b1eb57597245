// expect: pools_chunks
#include <milkit/models/bag_classifier/bag_classifier.hpp>
#include <milkit/nn/linear.hpp>
#include <milkit/pooling/mean.hpp>

struct first_of_bag : milkit::pooling::mean {
#if !defined(MILKIT_REJECTION_CONTROL)
  int merge(auto&, auto, auto) const { return 0; }
#endif
};
auto f() { return milkit::models::bag_classifier<milkit::nn::identity, first_of_bag, milkit::nn::linear<16, 2>>(); }
