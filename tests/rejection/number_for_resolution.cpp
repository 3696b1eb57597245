// expect: milkit::slide: a number alone is no resolution; say mpp.0.5., magnification.20. or native
#include <milkit/slide/slide.hpp>

milkit::slide::pixel_scale f(const milkit::slide::whole_slide& slide) {
#if defined(MILKIT_REJECTION_CONTROL)
  return slide.scale_for(milkit::slide::magnification{20});
#else
  return slide.scale_for(20);
#endif
}
