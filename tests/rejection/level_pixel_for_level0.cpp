// expect: milkit::slide: a region begins at a level-0 pixel; convert the point by to_level0
#include <milkit/slide/slide.hpp>

milkit::rgb_image f(const milkit::slide::whole_slide& slide) {
#if defined(MILKIT_REJECTION_CONTROL)
  const milkit::slide::level0_point corner(100, 100);
#else
  const milkit::slide::level_point corner(100, 100);
#endif
  return slide.read_region(corner, milkit::slide::mpp{0.5}, {256, 256});
}
