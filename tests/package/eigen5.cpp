// With Eigen 5's headers before all others: every header compiles, without a warning; and what uses the inside of Eigen, which no
// version promises, gives the right values (the tests of convolutions and of products are part of this program).
#include <milkit/milkit.hpp>

static_assert(EIGEN_MAJOR_VERSION >= 5, "the headers are not Eigen 5's");
