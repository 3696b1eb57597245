// expect: milkit::view_of: an Eigen matrix of instances must be row-major
#include <Eigen/Core>

#include <milkit/core/eigen.hpp>

void f() {
#if defined(MILKIT_REJECTION_CONTROL)
  milkit::row_major_matrix<float> bag(3, 2);
#else
  Eigen::MatrixXf bag(3, 2);
#endif
  (void)milkit::view_of(bag);
}
