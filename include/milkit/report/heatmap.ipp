#pragma once

#include <milkit/report/heatmap.hpp>

namespace milkit::report {

MILKIT_INLINE std::vector<double> normalised(std::span<const double> raw, colour_scale scale) {
  std::vector<double> out(raw.size(), std::numeric_limits<double>::quiet_NaN());
  std::vector<std::size_t> order;
  for (std::size_t i = 0; i < raw.size(); ++i)
    if (std::isfinite(raw[i])) order.push_back(i);
  if (order.empty()) return out;
  std::sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) { return raw[a] < raw[b]; });
  const double low = raw[order.front()], high = raw[order.back()];
  for (std::size_t first = 0, last = 0; first < order.size(); first = last) {
    while (last < order.size() && raw[order[last]] == raw[order[first]]) ++last;
    const double rank = static_cast<double>(first + last - 1) / 2 / static_cast<double>(order.size() - 1);
    const double linear = (raw[order[first]] / 2 - low / 2) / (high / 2 - low / 2);  // halves: no overflow
    for (std::size_t i = first; i < last; ++i)
      out[order[i]] = low == high ? 0.5 : scale == colour_scale::rank ? rank : linear;
  }
  return out;
}

}  // namespace milkit::report

namespace milkit::report::detail {

MILKIT_INLINE pixel_rectangle on_thumbnail(slide::level0_rectangle area, double x_scale, double y_scale) {
  const std::int64_t x = std::llround(area.origin.x * x_scale), y = std::llround(area.origin.y * y_scale);
  return {x, y, (std::max)(std::int64_t{1}, std::int64_t{std::llround(area.right() * x_scale)} - x),
          (std::max)(std::int64_t{1}, std::int64_t{std::llround(area.bottom() * y_scale)} - y)};
}

MILKIT_INLINE void expect_tiles(std::string_view op, std::size_t tiles, std::size_t values, slide::pixel_size level0) {
  expect_extent(op, "values", static_cast<std::int64_t>(values), static_cast<std::int64_t>(tiles));
  expect_value(level0.width > 0 && level0.height > 0, op, "the slide is ", level0.width, " x ", level0.height,
               " pixels, expected at least 1 x 1");
}

}  // namespace milkit::report::detail

namespace milkit::report {

MILKIT_INLINE rgb_image draw_heatmap(const rgb_image& thumbnail, slide::pixel_size level0,
                                     std::span<const slide::level0_rectangle> tiles, std::span<const double> raw,
                                     const heatmap_options& options) {
  detail::expect_tiles("milkit::report::draw_heatmap", tiles.size(), raw.size(), level0);
  const std::int64_t height = thumbnail.extent(0), width = thumbnail.extent(1);
  const std::vector<double> values = normalised(raw, options.scale);
  tensor<float, 2> sum({height, width}), count({height, width});
  double low = std::numeric_limits<double>::infinity(), high = -low;
  for (std::size_t i = 0; i < tiles.size(); ++i) {
    if (std::isnan(values[i])) continue;
    low = (std::min)(low, raw[i]);
    high = (std::max)(high, raw[i]);
    const auto area = detail::on_thumbnail(tiles[i], static_cast<double>(width) / static_cast<double>(level0.width),
                                           static_cast<double>(height) / static_cast<double>(level0.height));
    for (std::int64_t y = (std::max)(area.y, std::int64_t{0}); y < (std::min)(area.y + area.height, height); ++y)
      for (std::int64_t x = (std::max)(area.x, std::int64_t{0}); x < (std::min)(area.x + area.width, width); ++x) {
        sum.view()(y, x) += static_cast<float>(values[i]);
        count.view()(y, x) += 1;
      }
  }

  const std::int64_t scale = height >= 360 ? 2 : 1, margin = 8 * scale, bar = 12 * scale;
  const std::int64_t panel = (std::max)(margin + bar + 8 + text_width("-1.23e-10", scale) + margin,
                                        2 * margin + text_width(options.caption, scale));
  const std::int64_t least = text_height(scale) * 6 + 4 * margin;
  rgb_image picture = blank_picture((std::max)(height, least), width + panel);
  paste(picture, thumbnail, 0, 0);
  for (std::int64_t y = 0; y < height; ++y)
    for (std::int64_t x = 0; x < width; ++x)
      if (count.view()(y, x) > 0)
        blend(pixel(picture, y, x), colour_of(sum.view()(y, x) / count.view()(y, x)), options.opacity);

  const bool any = low <= high;
  const std::int64_t top = 2 * margin + text_height(scale);
  draw_text(picture, width + margin, margin, options.caption, {40, 44, 52}, scale);
  draw_colour_bar(picture, {width + margin, top, bar, picture.extent(0) - top - margin}, any ? short_number(low) : "",
                  any && options.scale == colour_scale::linear ? short_number(low / 2 + high / 2) : "",
                  any ? short_number(high) : "", scale);
  return picture;
}

MILKIT_INLINE void write_heatmap_csv(const std::filesystem::path& path, std::span<const slide::level0_rectangle> tiles,
                                     std::span<const double> raw, colour_scale scale) {
  expect_extent("milkit::report::write_heatmap_csv", "values", static_cast<std::int64_t>(raw.size()),
                static_cast<std::int64_t>(tiles.size()));
  const std::vector<double> values = normalised(raw, scale);
  data::csv_writer csv(path, {"x", "y", "width", "height", "raw", "normalised"});
  for (std::size_t i = 0; i < tiles.size(); ++i)
    csv.row(tiles[i].origin.x, tiles[i].origin.y, tiles[i].size.width, tiles[i].size.height, raw[i], values[i]);
  csv.commit();
}

}  // namespace milkit::report
