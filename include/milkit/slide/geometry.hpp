#pragma once

#include <cstdint>
#include <type_traits>

namespace milkit::slide {

/// The three frames a place on a slide can be given in. All have their origin at the top left corner of level 0, x to
/// the right and y down. A pixel is an area, not a point: pixel (i, j) covers [i, i + 1) x [j, j + 1) of its frame.
struct level0_frame {
  static constexpr const char* name = "level-0 pixel";
};
struct level_frame {
  static constexpr const char* name = "level pixel";
};
struct micron_frame {
  static constexpr const char* name = "micron";
};

/// A place in one frame. Frames never mix and never convert silently; `to_level0`, `to_level` and `to_microns` convert,
/// and ask for the factor they need. Coordinates are double: exact for whole pixels, and right for non-integer
/// downsamples.
template <class Frame>
struct point {
  double x = 0, y = 0;

  constexpr point() = default;
  explicit constexpr point(double at_x, double at_y) : x(at_x), y(at_y) {}
  friend constexpr bool operator==(const point&, const point&) = default;
};

/// A width and a height in one frame.
template <class Frame>
struct extent {
  double width = 0, height = 0;

  constexpr extent() = default;
  explicit constexpr extent(double w, double h) : width(w), height(h) {}
  constexpr double area() const { return width * height; }
  friend constexpr bool operator==(const extent&, const extent&) = default;
};

/// The area [x, x + width) x [y, y + height) of one frame.
template <class Frame>
struct rectangle {
  point<Frame> origin;
  extent<Frame> size;

  constexpr rectangle() = default;
  explicit constexpr rectangle(point<Frame> top_left, extent<Frame> of_size) : origin(top_left), size(of_size) {}
  constexpr double right() const { return origin.x + size.width; }
  constexpr double bottom() const { return origin.y + size.height; }
  constexpr point<Frame> centre() const { return point<Frame>(origin.x + size.width / 2, origin.y + size.height / 2); }
  constexpr bool contains(point<Frame> p) const {
    return p.x >= origin.x && p.x < right() && p.y >= origin.y && p.y < bottom();
  }
  template <class Other>
  constexpr bool contains(point<Other>) const {
    static_assert(std::is_same_v<Other, Frame>,
                  "milkit::slide::rectangle: a point of another frame; convert it by to_level0, to_level or "
                  "to_microns");
    return false;
  }
  friend constexpr bool operator==(const rectangle&, const rectangle&) = default;
};

using level0_point = point<level0_frame>;
using level0_extent = extent<level0_frame>;
using level0_rectangle = rectangle<level0_frame>;
using level_point = point<level_frame>;
using level_extent = extent<level_frame>;
using level_rectangle = rectangle<level_frame>;
using micron_point = point<micron_frame>;
using micron_extent = extent<micron_frame>;
using micron_rectangle = rectangle<micron_frame>;

/// The size of an image in its own pixels.
struct pixel_size {
  std::int64_t width = 0, height = 0;
  friend constexpr bool operator==(const pixel_size&, const pixel_size&) = default;
};

/// Level-0 pixels a pixel of another level is wide (and high), as OpenSlide reports it; 1 for level 0.
struct downsample {
  double value = 1;
};

/// Microns a level-0 pixel is wide and high.
struct pixel_microns {
  double x = 0, y = 0;
};

namespace detail {

template <class To, class From>
constexpr point<To> scaled(const point<From>& p, double x, double y) {
  return point<To>(p.x * x, p.y * y);
}
template <class To, class From>
constexpr extent<To> scaled(const extent<From>& e, double x, double y) {
  return extent<To>(e.width * x, e.height * y);
}
template <class To, class From>
constexpr rectangle<To> scaled(const rectangle<From>& r, double x, double y) {
  return rectangle<To>(scaled<To>(r.origin, x, y), scaled<To>(r.size, x, y));
}

}  // namespace detail

/// Points, extents and rectangles from one frame to another.
template <template <class> class Shape>
constexpr Shape<level_frame> to_level(const Shape<level0_frame>& shape, downsample factor) {
  return detail::scaled<level_frame>(shape, 1 / factor.value, 1 / factor.value);
}
template <template <class> class Shape>
constexpr Shape<level0_frame> to_level0(const Shape<level_frame>& shape, downsample factor) {
  return detail::scaled<level0_frame>(shape, factor.value, factor.value);
}
template <template <class> class Shape>
constexpr Shape<micron_frame> to_microns(const Shape<level0_frame>& shape, pixel_microns pixel) {
  return detail::scaled<micron_frame>(shape, pixel.x, pixel.y);
}
template <template <class> class Shape>
constexpr Shape<level0_frame> to_level0(const Shape<micron_frame>& shape, pixel_microns pixel) {
  return detail::scaled<level0_frame>(shape, 1 / pixel.x, 1 / pixel.y);
}

/// A resolution as microns a pixel.
struct mpp {
  double value = 0;
};

/// A resolution as the magnification of the objective that would show it. The convention of the field is that a pixel
/// at magnification M is 10 / M microns wide (40x: 0.25, 20x: 0.5), which is what `to_mpp` and `to_magnification`
/// compute. It is a request in physical units: a scanner's own "20x" may well be 0.499 or 0.2325 microns a pixel.
struct magnification {
  double value = 0;
};

constexpr mpp to_mpp(magnification m) { return {10 / m.value}; }
constexpr magnification to_magnification(mpp m) { return {10 / m.value}; }

}  // namespace milkit::slide
