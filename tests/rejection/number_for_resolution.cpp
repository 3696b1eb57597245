// expect: sampling_for|target_resolution|std::variant<milkit::slide::mpp
#include <milkit/slide/slide.hpp>

milkit::slide::sampling f(const milkit::slide::whole_slide& slide) {
#if defined(MILKIT_REJECTION_CONTROL)
  return slide.sampling_for(milkit::slide::magnification{20});
#else
  return slide.sampling_for(20);
#endif
}
