#pragma once

#include <milkit/slide/morphology.hpp>

namespace milkit::slide {

MILKIT_INLINE area_table::area_table(const_mask_view mask)
    : width_(mask.extent(1)), height_(mask.extent(0)), sums_(shape{height_ + 1, width_ + 1}) {
  const auto sums = sums_.view();
  for (std::int64_t y = 0; y < height_; ++y)
    for (std::int64_t x = 0, row = 0; x < width_; ++x) {
      row += mask(y, x);
      sums(y + 1, x + 1) = sums(y, x + 1) + row;
    }
}

MILKIT_INLINE std::int64_t area_table::count(std::int64_t left, std::int64_t top, std::int64_t right,
                                             std::int64_t bottom) const {
  const auto sums = sums_.view();
  return sums(bottom, right) - sums(top, right) - sums(bottom, left) + sums(top, left);
}

MILKIT_INLINE double area_table::corner(double x, double y) const {
  x = std::clamp(x, 0.0, static_cast<double>(width_));
  y = std::clamp(y, 0.0, static_cast<double>(height_));
  const auto left = (std::min)(static_cast<std::int64_t>(x), (std::max)(width_ - 1, std::int64_t{0}));
  const auto top = (std::min)(static_cast<std::int64_t>(y), (std::max)(height_ - 1, std::int64_t{0}));
  const std::int64_t right = (std::min)(left + 1, width_), bottom = (std::min)(top + 1, height_);
  const double fx = x - static_cast<double>(left), fy = y - static_cast<double>(top);
  const auto sums = sums_.view();
  const auto at = [&](std::int64_t row, std::int64_t column) { return static_cast<double>(sums(row, column)); };
  return (1 - fy) * ((1 - fx) * at(top, left) + fx * at(top, right)) +
         fy * ((1 - fx) * at(bottom, left) + fx * at(bottom, right));
}

MILKIT_INLINE void median(mask_image& mask, std::int64_t radius) {
  detail::box_filter(mask, radius, [](std::int64_t set, std::int64_t all) { return 2 * set > all; });
}

MILKIT_INLINE void dilate(mask_image& mask, std::int64_t radius) {
  detail::box_filter(mask, radius, [](std::int64_t set, std::int64_t) { return set > 0; });
}

MILKIT_INLINE void erode(mask_image& mask, std::int64_t radius) {
  detail::box_filter(mask, radius, [](std::int64_t set, std::int64_t all) { return set == all; });
}

MILKIT_INLINE void close(mask_image& mask, std::int64_t radius) {
  dilate(mask, radius);
  erode(mask, radius);
}

MILKIT_INLINE void open(mask_image& mask, std::int64_t radius) {
  erode(mask, radius);
  dilate(mask, radius);
}

}  // namespace milkit::slide

namespace milkit::slide::detail {

MILKIT_INLINE void flip_small(mask_image& mask, std::uint8_t value, std::int64_t least, bool diagonal, bool enclosed) {
  const auto pixels = mask.view();
  const std::int64_t height = pixels.extent(0), width = pixels.extent(1);
  std::vector<std::uint8_t> seen(static_cast<std::size_t>(mask.size()), 0);
  std::vector<std::int64_t> region;
  for (std::int64_t start = 0; start < mask.size(); ++start) {
    if (mask.data()[start] != value || seen[static_cast<std::size_t>(start)]) continue;
    region.assign(1, start);
    seen[static_cast<std::size_t>(start)] = 1;
    bool border = false;
    for (std::size_t next = 0; next < region.size(); ++next) {
      const std::int64_t y = region[next] / width, x = region[next] % width;
      border = border || y == 0 || x == 0 || y == height - 1 || x == width - 1;
      for (std::int64_t dy = -1; dy <= 1; ++dy)
        for (std::int64_t dx = -1; dx <= 1; ++dx) {
          const std::int64_t ny = y + dy, nx = x + dx;
          if ((!diagonal && dx != 0 && dy != 0) || ny < 0 || nx < 0 || ny >= height || nx >= width) continue;
          const auto at = static_cast<std::size_t>(ny * width + nx);
          if (pixels(ny, nx) != value || seen[at]) continue;
          seen[at] = 1;
          region.push_back(ny * width + nx);
        }
    }
    if (static_cast<std::int64_t>(region.size()) >= least || (enclosed && border)) continue;
    for (const std::int64_t i : region) mask.data()[i] = static_cast<std::uint8_t>(1 - value);
  }
}

}  // namespace milkit::slide::detail

namespace milkit::slide {

MILKIT_INLINE void drop_small_objects(mask_image& mask, std::int64_t least) {
  detail::flip_small(mask, 1, least, true, false);
}

}  // namespace milkit::slide
