#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

namespace milkit::test {

/// The mean of `at(x, y, c)`, a picture of unit pixels, over [left, left + width) x [top, top + height), pixel by
/// pixel.
template <class Pixel>
double mean_over(const Pixel& at, double left, double top, double width, double height, std::int64_t c) {
  double sum = 0;
  for (auto y = static_cast<std::int64_t>(std::floor(top)); static_cast<double>(y) < top + height; ++y)
    for (auto x = static_cast<std::int64_t>(std::floor(left)); static_cast<double>(x) < left + width; ++x) {
      const double across = std::min(left + width, static_cast<double>(x + 1)) - std::max(left, static_cast<double>(x));
      const double down = std::min(top + height, static_cast<double>(y + 1)) - std::max(top, static_cast<double>(y));
      if (across > 0 && down > 0) sum += across * down * at(x, y, c);
    }
  return sum / (width * height);
}

}  // namespace milkit::test
