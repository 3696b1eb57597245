// expect: milkit::slide::rectangle: a point of another frame; convert it by to_level0
#include <milkit/slide/geometry.hpp>

bool f(const milkit::slide::level0_rectangle& area, const milkit::slide::micron_point& nucleus) {
#if defined(MILKIT_REJECTION_CONTROL)
  return area.contains(to_level0(nucleus, milkit::slide::pixel_microns{0.25, 0.25}));
#else
  return area.contains(nucleus);
#endif
}
