#include <doctest/doctest.h>

#include <cmath>
#include <limits>
#include <sstream>
#include <string>
#include <vector>

#include <milkit/report/curves.hpp>

using namespace milkit::report;

namespace {

constexpr double nan_value = std::numeric_limits<double>::quiet_NaN();

std::int64_t count(const std::string& text, const std::string& part) {
  std::int64_t found = 0;
  for (auto at = text.find(part); at != text.npos; at = text.find(part, at + 1)) ++found;
  return found;
}

std::string curve_of(const std::string& svg, int line) {
  const std::string start = "<path class=\"mk-line mk-s" + std::to_string(line) + "\" d=\"";
  const auto at = svg.rfind(start);
  if (at == svg.npos) return {};
  return svg.substr(at + start.size(), svg.find('"', at + start.size()) - at - start.size());
}

/// Tags open and close in order, and no number is broken.
void check_well_formed(const std::string& svg) {
  std::vector<std::string> open;
  for (auto at = svg.find('<'); at != svg.npos; at = svg.find('<', at + 1)) {
    const auto end = svg.find('>', at);
    REQUIRE(end != svg.npos);
    const std::string tag = svg.substr(at + 1, end - at - 1), name = tag.substr(0, tag.find_first_of(" /", 1));
    if (tag[0] == '/') {
      REQUIRE_FALSE(open.empty());
      CHECK(open.back() == tag.substr(1));
      open.pop_back();
    } else if (tag.back() != '/') {
      open.push_back(name);
    }
  }
  CHECK(open.empty());
  CHECK(count(svg, "nan") == 0);
  CHECK(count(svg, "inf") == 0);
}

}  // namespace

TEST_CASE("points lie where their values say") {
  const auto svg = curves_svg({.title = "t", .x_label = "x", .y_label = "", .lines = {{"a", {0, 1, 0.5}}}});
  check_well_formed(svg);
  std::string path = curve_of(svg, 0);
  for (char& c : path)
    if (c == 'M' || c == 'L') c = ' ';
  std::istringstream numbers(path);
  double x[3], y[3];
  for (int i = 0; i < 3; ++i) numbers >> x[i] >> y[i];
  REQUIRE_FALSE(numbers.fail());
  CHECK(x[1] - x[0] == doctest::Approx(x[2] - x[1]));
  CHECK(y[0] > y[1]);
  CHECK(y[2] == doctest::Approx((y[0] + y[1]) / 2));
}

TEST_CASE("gaps break a line, and a point between gaps is a dot") {
  const auto svg = curves_svg({.title = "", .lines = {{"a", {1, 2, nan_value, 3, nan_value, 4, 5, 6}}}});
  check_well_formed(svg);
  CHECK(count(curve_of(svg, 0), "M") == 3);
  CHECK(count(curve_of(svg, 0), "L") == 3);
  CHECK(count(svg, "<circle") == 1);
}

TEST_CASE("one point, a constant, no points, NaN alone and extreme values give a picture") {
  for (const std::vector<double>& y : std::vector<std::vector<double>>{{5},
                                                                       {2, 2, 2},
                                                                       {},
                                                                       {nan_value, nan_value},
                                                                       {0},
                                                                       {1e-300, 2e-300},
                                                                       {-1e308, 1e308},
                                                                       {1e15, 1e15 + 1},
                                                                       {1e-9, 3e-9}}) {
    const auto svg = curves_svg({.title = "t", .lines = {{"a", y}}});
    check_well_formed(svg);
    CHECK(count(svg, "mk-grid\" d") >= 2);
    CHECK(count(svg, "mk-grid\" d") < 20);
  }
  check_well_formed(curves_svg({.title = "none", .lines = {}}));
}

TEST_CASE("several series have a legend, and any name is escaped") {
  const auto svg = curves_svg({.title = "a < b & c", .lines = {{"one", {1, 2}}, {"<two>", {2, 1}}, {"three", {}}}});
  check_well_formed(svg);
  CHECK(count(svg, "&lt;two&gt;") == 1);
  CHECK(count(svg, "a &lt; b &amp; c") == 1);
  CHECK(count(svg, ">three<") == 1);
  CHECK_FALSE(curve_of(svg, 1).empty());
}

TEST_CASE("curves_svg: given x values -> used; another number of them -> refused") {
  const auto svg = curves_svg({.title = "roc", .lines = {{"a", {0, 0.5, 1}, {0, 0.25, 1}}}});
  check_well_formed(svg);
  CHECK_THROWS_AS(curves_svg({.title = "", .lines = {{"a", {0, 1}, {0}}}}), milkit::shape_error);
}

TEST_CASE("ticks are round numbers within the axis") {
  for (const auto& [low, high] :
       {std::pair{0.0, 0.7}, {-3.0, 12.0}, {0.913, 0.947}, {1e-5, 9e-5}, {100.0, 101.0}, {0.0, 3e7}}) {
    const auto axis = detail::axis_of(low, high, false);
    CHECK(axis.low <= low + 1e-12);
    CHECK(axis.high >= high - 1e-12);
    const auto ticks = axis.ticks();
    CHECK(ticks.size() >= 3);
    CHECK(ticks.size() <= 9);
    for (const double tick : ticks) CHECK(std::abs(std::stod(axis.text(tick)) - tick) <= 1e-6 * axis.step);
  }
  for (const double tick : detail::axis_of(1, 7, true).ticks()) CHECK(tick == std::floor(tick));
}
