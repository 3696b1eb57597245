#pragma once

#include <milkit/report/curves.hpp>

namespace milkit::report::detail {

MILKIT_INLINE std::vector<double> axis::ticks() const {
  std::vector<double> all;
  const double first = std::ceil(low / step - 1e-9);
  for (double i = first; i * step <= high + step * 1e-9 && all.size() < 50; ++i) all.push_back(i * step);
  return all;
}

MILKIT_INLINE std::string axis::text(double tick) const {
  if (std::abs(tick) < step * 1e-6) return "0";
  const int step_digit = static_cast<int>(std::floor(std::log10(step) + 1e-9));
  if (std::abs(tick) < 1e6 && step_digit >= -4)
    return formatted(tick, (std::max)(0, -step_digit), std::chars_format::fixed);
  const int digit = static_cast<int>(std::floor(std::log10(std::abs(tick)) + 1e-9));
  return formatted(tick, std::clamp(digit - step_digit, 0, 3), std::chars_format::scientific);
}

MILKIT_INLINE axis axis_of(double low, double high, bool whole) {
  if (!(low <= high)) return {};
  low = (std::max)(low, -1e300);
  high = (std::min)(high, 1e300);
  const double least = (std::max)(1e-12, 1e-9 * (std::max)(std::abs(low), std::abs(high)));
  if (high - low < least) {
    const double room = whole ? 1 : (std::max)(std::abs(low) * 0.1, 1e-6);
    low -= room;
    high += room;
  }
  const double rough = (high - low) / 5, power = std::pow(10, std::floor(std::log10(rough)));
  const double digit = rough / power;
  axis range{low, high, power * (digit <= 1 ? 1 : digit <= 2 ? 2 : digit <= 5 ? 5 : 10)};
  if (whole) range.step = (std::max)(1.0, range.step);
  else
    range.low = std::floor(low / range.step + 1e-9) * range.step,
    range.high = std::ceil(high / range.step - 1e-9) * range.step;
  return range;
}

MILKIT_INLINE std::string plot_style() {
  std::string light, dark;
  for (std::size_t i = 0; i < line_colours.size(); ++i) {
    const auto rules = [i](const char* colour) {
      return message(".mk-s", i, "{stroke:", colour, "}.mk-f", i, "{fill:", colour, "}");
    };
    light += rules(line_colours[i].first);
    dark += rules(line_colours[i].second);
  }
  return ".mk-plot{font:12px system-ui,sans-serif;max-width:100%;height:auto}.mk-plot text{fill:#4a5263}"
         ".mk-plot .mk-title{font-weight:600;font-size:14px;fill:#1c2230}"
         ".mk-grid{stroke:#e3e7ee}.mk-axis{stroke:#8b94a6}.mk-line{fill:none;stroke-width:2;stroke-linejoin:round;"
         "stroke-linecap:round}" +
         light +
         "@media(prefers-color-scheme:dark){.mk-plot text{fill:#b3bccb}.mk-plot .mk-title{fill:#eef1f6}"
         ".mk-grid{stroke:#2c3342}.mk-axis{stroke:#6b7486}" +
         dark + "}";
}

MILKIT_INLINE plot_writer::plot_writer(const plot& what) : plot_(what) {
  const double none = std::numeric_limits<double>::infinity();
  double x_low = none, x_high = -none, y_low = none, y_high = -none;
  bool whole = true;
  for (const series& line : plot_.lines) {
    if (!line.x.empty() && line.x.size() != line.y.size())
      throw shape_error(message("milkit::report::curves_svg: series '", line.name, "' has ", line.x.size(),
                                " x values, expected ", line.y.size()));
    for (std::size_t i = 0; i < line.y.size(); ++i) {
      const auto [x, y] = point(line, i);
      if (!std::isfinite(x) || !std::isfinite(y)) continue;
      whole = whole && x == std::floor(x) && std::abs(x) < 1e9;
      x_low = (std::min)(x_low, x);
      x_high = (std::max)(x_high, x);
      y_low = (std::min)(y_low, y);
      y_high = (std::max)(y_high, y);
    }
  }
  x_ = axis_of(x_low, x_high, whole);
  if (!whole) x_.low = x_low, x_.high = (std::max)(x_high, std::nextafter(x_low, none));
  y_ = axis_of(y_low, y_high, false);
}

MILKIT_INLINE std::string plot_writer::svg() {
  const double legend_y = plot_.title.empty() ? 22 : 42;
  top_ = legend_y + (plot_.lines.size() > 1 ? 20 : -4);
  out_ = message("<svg xmlns=\"http://www.w3.org/2000/svg\" class=\"mk-plot\" viewBox=\"0 0 ", coordinate(width), " ",
                 coordinate(height), "\" width=\"", coordinate(width), "\" height=\"", coordinate(height),
                 "\" role=\"img\">\n<style>", plot_style(), "</style>\n");
  if (!plot_.title.empty()) text(left, 20, plot_.title, "start", "mk-title");
  axes();
  double x = left;
  for (std::size_t i = 0; i < plot_.lines.size(); ++i) {
    curve(plot_.lines[i], i % line_colours.size());
    if (plot_.lines.size() < 2) continue;
    segment(x, legend_y - 4, x + 18, legend_y - 4, message("mk-line mk-s", i % line_colours.size()));
    text(x + 24, legend_y, plot_.lines[i].name, "start");
    x += 44 + 7 * static_cast<double>(plot_.lines[i].name.size());
  }
  return out_ + "</svg>\n";
}

MILKIT_INLINE void plot_writer::text(double x, double y, std::string_view what, const char* anchor, const char* style) {
  out_ += message("<text x=\"", coordinate(x), "\" y=\"", coordinate(y), "\" text-anchor=\"", anchor, "\" class=\"",
                  style, "\">", escaped(what), "</text>\n");
}

MILKIT_INLINE void plot_writer::segment(double x0, double y0, double x1, double y1, const std::string& style) {
  out_ += message("<path class=\"", style, "\" d=\"M", coordinate(x0), " ", coordinate(y0), "L", coordinate(x1), " ",
                  coordinate(y1), "\"/>\n");
}

MILKIT_INLINE void plot_writer::axes() {
  for (const double tick : y_.ticks()) {
    segment(left, y_place(tick), width - right, y_place(tick), "mk-grid");
    text(left - 8, y_place(tick) + 4, y_.text(tick), "end");
  }
  for (const double tick : x_.ticks()) {
    segment(x_place(tick), height - bottom, x_place(tick), height - bottom + 4, "mk-axis");
    text(x_place(tick), height - bottom + 18, x_.text(tick), "middle");
  }
  segment(left, height - bottom, width - right, height - bottom, "mk-axis");
  text(left + (width - left - right) / 2, height - 10, plot_.x_label, "middle");
  if (plot_.y_label.empty()) return;
  out_ += message("<text transform=\"translate(14 ", coordinate((top_ + height - bottom) / 2),
                  ") rotate(-90)\" text-anchor=\"middle\">", escaped(plot_.y_label), "</text>\n");
}

MILKIT_INLINE void plot_writer::curve(const series& line, std::size_t colour) {
  std::string path, dots;
  std::size_t run = 0;
  double x = 0, y = 0;
  const auto end_run = [&] {
    if (run == 1)
      dots += message("<circle class=\"mk-f", colour, "\" cx=\"", coordinate(x), "\" cy=\"", coordinate(y),
                      "\" r=\"3\"/>\n");
    run = 0;
  };
  for (std::size_t i = 0; i < line.y.size(); ++i) {
    const auto [px, py] = point(line, i);
    if (!std::isfinite(px) || !std::isfinite(py)) {
      end_run();
      continue;
    }
    x = x_place(std::clamp(px, x_.low, x_.high));
    y = y_place(std::clamp(py, y_.low, y_.high));
    path += message(run++ == 0 ? "M" : "L", coordinate(x), " ", coordinate(y));
  }
  end_run();
  if (!path.empty()) out_ += message("<path class=\"mk-line mk-s", colour, "\" d=\"", path, "\"/>\n");
  out_ += dots;
}

}  // namespace milkit::report::detail

namespace milkit::report {

MILKIT_INLINE void write_curves(const std::filesystem::path& path, const plot& what) {
  data::write_all(path, curves_svg(what));
}

}  // namespace milkit::report
