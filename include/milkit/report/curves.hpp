#pragma once

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <limits>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <milkit/core/macros.hpp>
#include <milkit/data/atomic_file.hpp>
#include <milkit/report/markup.hpp>

namespace milkit::report {

/// One line of a plot. `x` may be left empty: then 1, 2, 3, ... Points where x or y is not finite are gaps.
struct series {
  std::string name = {};
  std::vector<double> y = {};
  std::vector<double> x = {};
};

struct plot {
  std::string title = {};
  std::string x_label = "epoch";
  std::string y_label = {};
  std::vector<milkit::report::series> lines = {};
};

namespace detail {

/// A range of an axis and its ticks at multiples of 1, 2 or 5 times a power of ten.
struct axis {
  double low = 0, high = 1, step = 0.2;

  double share(double value) const { return (value - low) / (high - low); }
  MILKIT_INLINE std::vector<double> ticks() const;
  MILKIT_INLINE std::string text(double tick) const;
};

/// The axis of finite values; a constant gets room on both sides. Values beyond 1e300 are shown at 1e300.
MILKIT_INLINE axis axis_of(double low, double high, bool whole);

inline constexpr std::array<std::pair<const char*, const char*>, 6> line_colours = {{{"#2f5fd0", "#7ea6ff"},
                                                                                     {"#d1495b", "#ff8a98"},
                                                                                     {"#1f8a70", "#4fd1ae"},
                                                                                     {"#b7791f", "#f0b756"},
                                                                                     {"#7b4fc9", "#b99bff"},
                                                                                     {"#4a5568", "#aab4c5"}}};

/// The rules that colour a plot, for light and for dark screens. They end up in every SVG, so that each stands alone.
MILKIT_INLINE std::string plot_style();

class plot_writer {
 public:
  MILKIT_INLINE explicit plot_writer(const plot& what);

  MILKIT_INLINE std::string svg();

 private:
  static constexpr double width = 640, height = 320, left = 80, right = 16, bottom = 48;

  static std::pair<double, double> point(const series& line, std::size_t i) {
    return {line.x.empty() ? static_cast<double>(i + 1) : line.x[i], line.y[i]};
  }
  static std::string coordinate(double value) { return formatted(std::round(value * 100) / 100, 6); }
  double x_place(double x) const { return left + x_.share(x) * (width - left - right); }
  double y_place(double y) const { return height - bottom - y_.share(y) * (height - bottom - top_); }

  MILKIT_INLINE void text(double x, double y, std::string_view what, const char* anchor, const char* style = "");
  MILKIT_INLINE void segment(double x0, double y0, double x1, double y1, const std::string& style);

  MILKIT_INLINE void axes();

  /// One path with a move after each gap; a point between two gaps is a dot.
  MILKIT_INLINE void curve(const series& line, std::size_t colour);

  const plot& plot_;
  axis x_, y_;
  double top_ = 0;
  std::string out_;
};

}  // namespace detail

/// Curves (loss, accuracy, ...) as an SVG picture with axes, ticks and, for more than one series, a legend. It follows
/// the reader's light or dark screen. Values that are not finite are gaps, a point between gaps is a dot, a constant
/// series has room above and below, no finite value at all leaves empty axes. x and y of different lengths:
/// shape_error.
inline std::string curves_svg(const plot& what) { return detail::plot_writer(what).svg(); }

MILKIT_INLINE void write_curves(const std::filesystem::path& path, const plot& what);

}  // namespace milkit::report

#if !defined(MILKIT_COMPILED)
#include <milkit/report/curves.ipp>
#endif
