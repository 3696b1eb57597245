#pragma once

#include <cmath>
#include <cstddef>
#include <limits>
#include <vector>

namespace milkit::reference {

/// Images [n, c, h, w] as plain numbers.
struct images {
  int n = 0, c = 0, h = 0, w = 0;
  std::vector<double> values;

  images(int n_, int c_, int h_, int w_)
      : n(n_), c(c_), h(h_), w(w_), values(static_cast<std::size_t>(n_) * static_cast<std::size_t>(c_ * h_ * w_)) {}
  double& at(int i, int j, int y, int x) { return values[static_cast<std::size_t>(((i * c + j) * h + y) * w + x)]; }
  double at(int i, int j, int y, int x) const {
    return values[static_cast<std::size_t>(((i * c + j) * h + y) * w + x)];
  }
  bool inside(int y, int x) const { return y >= 0 && y < h && x >= 0 && x < w; }
};

struct steps {
  int stride_y = 1, stride_x = 1, pad_y = 0, pad_x = 0;
};

inline int windows(int size, int kernel, int stride, int pad) {
  int count = 0;
  for (int first = -pad; first + kernel <= size + pad; first += stride) ++count;
  return count;
}

inline images conv2d(const images& x, const images& weight, const std::vector<double>& bias, const steps& s) {
  images y(x.n, weight.n, windows(x.h, weight.h, s.stride_y, s.pad_y), windows(x.w, weight.w, s.stride_x, s.pad_x));
  for (int n = 0; n < y.n; ++n)
    for (int o = 0; o < y.c; ++o)
      for (int i = 0; i < y.h; ++i)
        for (int j = 0; j < y.w; ++j) {
          double sum = bias.empty() ? 0 : bias[static_cast<std::size_t>(o)];
          for (int c = 0; c < x.c; ++c)
            for (int u = 0; u < weight.h; ++u)
              for (int v = 0; v < weight.w; ++v) {
                const int r = i * s.stride_y + u - s.pad_y, q = j * s.stride_x + v - s.pad_x;
                if (x.inside(r, q)) sum += weight.at(o, c, u, v) * x.at(n, c, r, q);
              }
          y.at(n, o, i, j) = sum;
        }
  return y;
}

struct conv2d_gradients {
  images x, weight;
  std::vector<double> bias;
};
inline conv2d_gradients conv2d_backward(const images& x, const images& weight, const images& dy, const steps& s) {
  conv2d_gradients g{images(x.n, x.c, x.h, x.w), images(weight.n, weight.c, weight.h, weight.w),
                     std::vector<double>(static_cast<std::size_t>(weight.n))};
  for (int n = 0; n < dy.n; ++n)
    for (int o = 0; o < dy.c; ++o)
      for (int i = 0; i < dy.h; ++i)
        for (int j = 0; j < dy.w; ++j) {
          const double upstream = dy.at(n, o, i, j);
          g.bias[static_cast<std::size_t>(o)] += upstream;
          for (int c = 0; c < x.c; ++c)
            for (int u = 0; u < weight.h; ++u)
              for (int v = 0; v < weight.w; ++v) {
                const int r = i * s.stride_y + u - s.pad_y, q = j * s.stride_x + v - s.pad_x;
                if (!x.inside(r, q)) continue;
                g.weight.at(o, c, u, v) += upstream * x.at(n, c, r, q);
                g.x.at(n, c, r, q) += upstream * weight.at(o, c, u, v);
              }
        }
  return g;
}

struct max_pooled {
  images y, dx;
};
/// Maxima, and the gradient of sum(y dy): a window's goes to its first largest element.
inline max_pooled max_pool2d(const images& x, const images& dy, int kernel, int stride, int pad) {
  max_pooled result{images(x.n, x.c, windows(x.h, kernel, stride, pad), windows(x.w, kernel, stride, pad)),
                    images(x.n, x.c, x.h, x.w)};
  for (int n = 0; n < x.n; ++n)
    for (int c = 0; c < x.c; ++c)
      for (int i = 0; i < result.y.h; ++i)
        for (int j = 0; j < result.y.w; ++j) {
          double best = -std::numeric_limits<double>::infinity();
          int row = -1, column = -1;
          for (int r = i * stride - pad; r < i * stride - pad + kernel; ++r)
            for (int q = j * stride - pad; q < j * stride - pad + kernel; ++q)
              if (x.inside(r, q) && (row < 0 || x.at(n, c, r, q) > best)) {
                best = x.at(n, c, r, q);
                row = r;
                column = q;
              }
          result.y.at(n, c, i, j) = best;
          result.dx.at(n, c, row, column) += dy.at(n, c, i, j);
        }
  return result;
}

struct avg_pool {
  images y, dx;
};
inline avg_pool avg_pool2d(const images& x, const images& dy, int kernel, int stride, int pad) {
  avg_pool result{images(x.n, x.c, windows(x.h, kernel, stride, pad), windows(x.w, kernel, stride, pad)),
                  images(x.n, x.c, x.h, x.w)};
  for (int n = 0; n < x.n; ++n)
    for (int c = 0; c < x.c; ++c)
      for (int i = 0; i < result.y.h; ++i)
        for (int j = 0; j < result.y.w; ++j)
          for (int r = i * stride - pad; r < i * stride - pad + kernel; ++r)
            for (int q = j * stride - pad; q < j * stride - pad + kernel; ++q) {
              if (!x.inside(r, q)) continue;
              result.y.at(n, c, i, j) += x.at(n, c, r, q) / (kernel * kernel);
              result.dx.at(n, c, r, q) += dy.at(n, c, i, j) / (kernel * kernel);
            }
  return result;
}

}  // namespace milkit::reference
