#pragma once

#include <milkit/report/zoom_path.hpp>

namespace milkit::report {

MILKIT_INLINE rgb zoom_colour(std::size_t level) {
  constexpr std::array<rgb, 4> colours{{{36, 92, 196}, {222, 116, 16}, {190, 24, 74}, {18, 130, 88}}};
  return colours[level % colours.size()];
}

}  // namespace milkit::report

namespace milkit::report::detail {

MILKIT_INLINE rgb_image resized(const rgb_image& picture, std::int64_t height, std::int64_t width) {
  rgb_image made({height, width, 3});
  for (std::int64_t y = 0; y < height; ++y)
    for (std::int64_t x = 0; x < width; ++x)
      std::copy_n(
          pixel(picture, (2 * y + 1) * picture.extent(0) / (2 * height), (2 * x + 1) * picture.extent(1) / (2 * width)),
          3, pixel(made, y, x));
  return made;
}

}  // namespace milkit::report::detail

namespace milkit::report {

MILKIT_INLINE rgb_image draw_zoom_path(const rgb_image& thumbnail, slide::pixel_size level0,
                                       std::span<const zoom_step> steps, const zoom_path_options& options) {
  expect_value(level0.width > 0 && level0.height > 0, "milkit::report::draw_zoom_path", "the slide is ", level0.width,
               " x ", level0.height, " pixels, expected at least 1 x 1");
  const std::int64_t margin = 14, text = 2;
  const std::int64_t row_height = options.inset + text_height(text) + 2 * margin;
  std::size_t most = 0;
  for (const zoom_step& step : steps) most = (std::max)(most, step.insets.size());
  const std::int64_t panel = most > 0 ? static_cast<std::int64_t>(most) * (options.inset + margin) + margin : 0;
  rgb_image picture =
      blank_picture((std::max)(thumbnail.extent(0), static_cast<std::int64_t>(steps.size()) * row_height + margin),
                    thumbnail.extent(1) + (std::max)(panel, most > 0 ? 24 * 6 * text : 0));
  rgb_image map = thumbnail.clone();
  fill(map, {0, 0, map.extent(1), map.extent(0)}, {255, 255, 255}, options.pale);
  const double x_scale = static_cast<double>(thumbnail.extent(1)) / static_cast<double>(level0.width);
  const double y_scale = static_cast<double>(thumbnail.extent(0)) / static_cast<double>(level0.height);
  for (std::size_t m = 0; m < steps.size(); ++m) {
    const zoom_step& step = steps[m];
    const auto tiles = static_cast<std::int64_t>(step.looked_at.size());
    for (const std::int64_t i : step.selected) {
      expect_value(i >= 0 && i < tiles, "milkit::report::draw_zoom_path", "tile ", i, " of magnification ", step.name,
                   " is selected, expected 0 to ", tiles - 1);
      outline(map, detail::on_thumbnail(step.looked_at[static_cast<std::size_t>(i)], x_scale, y_scale), zoom_colour(m),
              1, m == 0 ? 3 : 2);
    }
    if (m + 1 == steps.size() && m > 0)
      for (const auto& area : step.looked_at)
        fill(map, detail::on_thumbnail(area, x_scale, y_scale), zoom_colour(m), 0.25);
  }
  paste(picture, map, 0, 0);
  for (std::size_t m = 0; m < steps.size() && most > 0; ++m) {
    const zoom_step& step = steps[m];
    const std::int64_t top = margin + static_cast<std::int64_t>(m) * row_height;
    std::int64_t left = thumbnail.extent(1) + margin;
    draw_text(picture, left, top,
              step.selected.empty()
                  ? message(step.name, ": ", step.looked_at.size(), " seen")
                  : message(step.name, ": ", step.looked_at.size(), " seen, ", step.selected.size(), " zoomed"),
              zoom_colour(m), text);
    for (const rgb_image& inset : step.insets) {
      const pixel_rectangle frame{left, top + text_height(text) + margin / 2, options.inset, options.inset};
      paste(picture, detail::resized(inset, options.inset, options.inset), frame.x, frame.y);
      outline(picture, frame, zoom_colour(m), 1, 3);
      left += options.inset + margin;
    }
  }
  return picture;
}

}  // namespace milkit::report
