// expect: milkit::slide: a number alone is no resolution; say mpp.0.5., magnification.20. or native
#include <milkit/slide/slide.hpp>

milkit::slide::sampling f(const milkit::slide::whole_slide& slide) {
#if defined(MILKIT_REJECTION_CONTROL)
  return slide.sampling_for(milkit::slide::magnification{20});
#else
  return slide.sampling_for(20);
#endif
}
