#pragma once

#include <algorithm>
#include <cmath>

#include <reference/area_average.hpp>
#include <reference/images.hpp>

namespace milkit::reference {

/// Every pixel of y by itself, as the mean of the picture x over a rectangle.
inline images area_average(const images& x, int height, int width) {
  images y(x.n, x.c, height, width);
  const double down = static_cast<double>(x.h) / height, across = static_cast<double>(x.w) / width;
  for (int n = 0; n < x.n; ++n)
    for (int c = 0; c < x.c; ++c)
      for (int i = 0; i < height; ++i)
        for (int j = 0; j < width; ++j) {
          const auto at = [&](std::int64_t q, std::int64_t r, std::int64_t) {
            return x.at(n, c, std::min(static_cast<int>(r), x.h - 1), std::min(static_cast<int>(q), x.w - 1));
          };
          y.at(n, c, i, j) = test::mean_over(at, j * across, i * down, across, down, 0);
        }
  return y;
}

/// Linear between the centres of the pixels around; outside them the outermost pixel.
inline images bilinear(const images& x, int height, int width) {
  images y(x.n, x.c, height, width);
  const auto place = [](int i, int from, int to) {
    return std::clamp((i + 0.5) * from / to - 0.5, 0.0, static_cast<double>(from - 1));
  };
  for (int n = 0; n < x.n; ++n)
    for (int c = 0; c < x.c; ++c)
      for (int i = 0; i < height; ++i)
        for (int j = 0; j < width; ++j) {
          const double row = place(i, x.h, height), column = place(j, x.w, width);
          for (int r = 0; r < x.h; ++r)
            for (int q = 0; q < x.w; ++q)
              y.at(n, c, i, j) +=
                  std::max(0.0, 1 - std::abs(row - r)) * std::max(0.0, 1 - std::abs(column - q)) * x.at(n, c, r, q);
        }
  return y;
}

}  // namespace milkit::reference
