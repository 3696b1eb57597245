// expect: milkit::models::bag_classifier: the pooler gives another number of features than the classifier takes
#include <milkit/models/bag_classifier/bag_classifier.hpp>
#include <milkit/nn/linear.hpp>
#include <milkit/pooling/mean.hpp>

#if defined(MILKIT_REJECTION_CONTROL)
using classifier = milkit::nn::linear<16, 2>;
#else
using classifier = milkit::nn::linear<8, 2>;
#endif
auto f() { return milkit::models::bag_classifier<milkit::nn::linear<24, 16>, milkit::pooling::mean, classifier>(); }
