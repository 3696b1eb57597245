#pragma once

#include <milkit/sampling/image_views.hpp>
#include <milkit/slide/slide.hpp>

namespace milkit::sampling {

/// A whole-slide image as a source of views, read where the network looks and nowhere else: a view is read from the coarsest level
/// that its scale allows (slide::whole_slide::read_region), as value / 255, and rounded to bytes as such regions are. Pixels outside
/// the slide count as zeros. The slide must outlive the source. Errors: io_error of the slide.
template <class T = float>
class slide_source {
 public:
  using value_type = T;
  static constexpr bool counts_memory = true;  ///< without the pixels that OpenSlide decodes

  explicit slide_source(const slide::whole_slide& slide) : slide_(&slide) {}

  area<pixel_frame> size() const {
    return {static_cast<std::int64_t>(slide_->size().height), static_cast<std::int64_t>(slide_->size().width)};
  }

  void read(cpu& backend, place<pixel_frame> origin, area<pixel_frame> extent, image_view<T> out) const {
    const std::int64_t height = out.extent(2), width = out.extent(3), plane = height * width;
    const auto scope = backend.workspace.scope();
    const auto bytes = backend.workspace.template allocate<std::uint8_t>(shape<3>{height, width, 3});
    if (backend.workspace.planning()) return;
    thread_local slide::region_buffer buffer;
    const auto number = [](std::int64_t value) { return static_cast<double>(value); };
    slide_->read_region(slide::level0_rectangle(slide::level0_point(number(origin.column), number(origin.row)),
                                                slide::level0_extent(number(extent.columns), number(extent.rows))),
                        bytes, buffer);
    const double step_y = number(extent.rows) / number(height), step_x = number(extent.columns) / number(width);
    for (std::int64_t y = 0; y < height; ++y) {
      const double down = inside(number(origin.row) + number(y) * step_y, step_y, number(size().rows));
      for (std::int64_t x = 0; x < width; ++x) {
        const double across = inside(number(origin.column) + number(x) * step_x, step_x, number(size().columns));
        const T white = static_cast<T>(1 - down * across);  // what lies outside reads as white
        for (std::int64_t c = 0; c < 3; ++c) {
          const T value = static_cast<T>(bytes.data()[3 * (y * width + x) + c]) / T(255) - white;
          out.data()[c * plane + y * width + x] = value > T(0) ? value : T(0);
        }
      }
    }
  }

 private:
  /// The share of [first, first + step) that lies in [0, end).
  static double inside(double first, double step, double end) {
    const double low = first > 0 ? first : 0, high = first + step < end ? first + step : end;
    return high > low ? (high - low) / step : 0;
  }
  const slide::whole_slide* slide_;
};

}  // namespace milkit::sampling
