#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <string>

#include <milkit/core/parallel_for.hpp>
#include <milkit/data/augmentation.hpp>
#include <milkit/encoders/blobs.hpp>
#include <milkit/encoders/encoder.hpp>
#include <milkit/ops/rows/fill.hpp>

namespace milkit::encoders {

/// A small encoder that needs no weights: 45 numbers of stain and texture. Colours become optical densities -ln((v + 1) /
/// 256), separated into haematoxylin, eosin and the rest (Ruifrok & Johnston 2001), as amounts h, e, r of each pixel:
///
///      0 ..  4   h: mean, deviation, and the quantiles 10, 50, 90 %
///      5 ..  9   e: the same
///     10 .. 12   r: mean, deviation; share of pixels that are white (densities add up to less than 0.3)
///     13 .. 16   gradient (forward differences) of h: mean and deviation of its length, at both scales
///     17 .. 18   gradient of e: mean of its length, at both scales
///     19 .. 22   mean of |h - h averaged over 3 x 3|, |3 x 3 - 7 x 7|, |7 x 7 - 15 x 15|, |15 x 15 - 31 x 31|
///     23 .. 33   blobs of h at the scale of the pixels: see below
///     34 .. 44   the same at the scale of 2 x 2 pixels
///
/// Blobs, which nuclei are, are connected areas (over edges) of at least 12 pixels where h, averaged over 3 x 3, is above
/// m + max((q - m) / 2, 0.15), m its median, q its 98 % quantile. Their numbers: share of the area; count in 1000 pixels;
/// diameter of the circle of that area: mean, deviation, 90 % quantile; h inside: mean; deviation of h inside one: mean,
/// 90 % quantile; roundness (short axis to long axis of the ellipse of those moments): mean, deviation; share of the blobs'
/// area that lies in those wider than 1.5 times the mean. Without a blob all are 0. Quantiles of pixels are read off bins of
/// 0.0125. Sums in double; parallel over tiles. On `cuda` the descriptor is computed by the host and copied.
struct stain_descriptor {
  static constexpr std::int64_t count = 45;

  std::int64_t features() const { return count; }
  std::string name() const { return "stain descriptor 1"; }

  /// Errors: shape_error for other than RGB or no pixels at all, and for embeddings of another shape.
  template <backend Backend>
  void encode(Backend& backend, tiles_view tiles, matrix_view<float, typename Backend::space> embeddings) const {
    constexpr auto op = "milkit::encoders::stain_descriptor";
    expect_tiles(op, tiles, embeddings.rows(), embeddings.cols(), count);
    if constexpr (is_cpu<Backend>) {
      describe(backend, tiles, embeddings);
    } else {
      cpu host;
      tensor<float, 2> made({tiles.extent(0), count});
      if (!backend.workspace.planning()) describe(host, tiles, made.view());
      const auto scope = backend.kept_memory().scope();
      ops::copy_rows(backend, resident(backend, std::as_const(made).view()), embeddings);
    }
  }

 private:
  static void describe(cpu& backend, tiles_view tiles, matrix_view<float> embeddings) {
    const std::int64_t height = tiles.extent(1), width = tiles.extent(2);
    const auto scope = backend.workspace.scope();
    const std::int64_t threads = (std::min)(tiles.extent(0), std::int64_t{backend.thread_count()});
    const auto planes = backend.workspace.allocate<float>(shape<2>{threads, 6 * height * width});
    const auto blobs = backend.workspace.allocate<detail::blob>(shape<2>{threads, detail::blob_memory(height, width)});
    if (backend.workspace.planning()) return;
    parallel_for(backend, tiles.extent(0), 1, [&](row_range rows, int thread) {
      describe(tiles.row(rows.first), height, width, planes.row(thread), blobs.row(thread), embeddings.row(rows.first));
    });
  }

  static void describe(const std::uint8_t* rgb, std::int64_t height, std::int64_t width, float* memory,
                       detail::blob* blobs, float* out) {
    const std::int64_t pixels = height * width;
    float *h = memory, *e = h + pixels, *r = e + pixels, *a = r + pixels, *b = a + pixels, *c = b + pixels;
    double white = 0;
    separate(rgb, pixels, h, e, r, white);
    const detail::histogram of_h(h, pixels), of_e(e, pixels);
    out = put_moments(out, h, pixels);
    for (const double share : {0.1, 0.5, 0.9}) *out++ = of_h.quantile(share);
    out = put_moments(out, e, pixels);
    for (const double share : {0.1, 0.5, 0.9}) *out++ = of_e.quantile(share);
    out = put_moments(out, r, pixels);
    *out++ = static_cast<float>(white / static_cast<double>(pixels));

    // h and e at half the scale lie in r, which is done with; a, b and c are free for averages.
    float *half_h = r, *half_e = r + (height / 2) * (width / 2);
    halve(h, height, width, half_h);
    halve(e, height, width, half_e);
    out = put_gradient(out, h, height, width, true);
    out = put_gradient(out, half_h, height / 2, width / 2, true);
    out = put_gradient(out, e, height, width, false);
    out = put_gradient(out, half_e, height / 2, width / 2, false);
    float *fine = a, *coarse = b;
    detail::box_average(h, height, width, 1, fine, c);
    *out++ = mean_difference(h, fine, pixels);
    detail::blob_numbers(h, fine, height, width, blobs, out + 3);
    for (const std::int64_t radius : {3, 7, 15}) {
      detail::box_average(h, height, width, radius, coarse, c);
      *out++ = mean_difference(fine, coarse, pixels);
      std::swap(fine, coarse);
    }
    out += detail::blob_count_of_numbers;
    detail::box_average(half_h, height / 2, width / 2, 1, fine, c);
    detail::blob_numbers(half_h, fine, height / 2, width / 2, blobs, out);
  }

  static void separate(const std::uint8_t* rgb, std::int64_t pixels, float* h, float* e, float* r, double& white) {
    static const data::detail::stain_space stains = data::detail::haematoxylin_eosin();
    float from[3][3];
    for (int i = 0; i < 3; ++i)
      for (int k = 0; k < 3; ++k) from[i][k] = static_cast<float>(stains.from_rgb[i][k]);
    const auto& density = data::detail::optical_density();
    std::int64_t whites = 0;
    for (std::int64_t i = 0; i < pixels; ++i, rgb += 3) {
      const float x = density[rgb[0]], y = density[rgb[1]], z = density[rgb[2]];
      h[i] = x * from[0][0] + y * from[1][0] + z * from[2][0];
      e[i] = x * from[0][1] + y * from[1][1] + z * from[2][1];
      r[i] = x * from[0][2] + y * from[1][2] + z * from[2][2];
      whites += x + y + z < 0.3f;
    }
    white = static_cast<double>(whites);
  }

  static float* put_moments(float* out, const float* x, std::int64_t pixels) {
    const detail::moments m(x, pixels);
    *out++ = static_cast<float>(m.mean);
    *out++ = static_cast<float>(m.deviation);
    return out;
  }

  static float* put_gradient(float* out, const float* x, std::int64_t height, std::int64_t width, bool deviation) {
    double sum = 0, square = 0;
    const auto pixels = static_cast<double>((std::max)((height - 1) * (width - 1), std::int64_t{1}));
    for (std::int64_t v = 0; v + 1 < height; ++v) {
      float row_sum = 0, row_square = 0;
      const float *here = x + v * width, *below = here + width;
      for (std::int64_t u = 0; u + 1 < width; ++u) {
        const float dx = here[u + 1] - here[u], dy = below[u] - here[u], both = dx * dx + dy * dy;
        row_sum += std::sqrt(both);
        row_square += both;
      }
      sum += static_cast<double>(row_sum);
      square += static_cast<double>(row_square);
    }
    const double mean = sum / pixels;
    *out++ = static_cast<float>(mean);
    if (deviation) *out++ = static_cast<float>(std::sqrt((std::max)(square / pixels - mean * mean, 0.0)));
    return out;
  }

  static float mean_difference(const float* x, const float* y, std::int64_t pixels) {
    double sum = 0;
    for (std::int64_t first = 0; first < pixels; first += 512) {
      float part = 0;
      for (std::int64_t i = first; i < (std::min)(first + 512, pixels); ++i) part += std::abs(x[i] - y[i]);
      sum += static_cast<double>(part);
    }
    return static_cast<float>(sum / static_cast<double>(pixels));
  }

  static void halve(const float* x, std::int64_t height, std::int64_t width, float* out) {
    for (std::int64_t v = 0; v < height / 2; ++v)
      for (std::int64_t u = 0; u < width / 2; ++u) {
        const float *upper = x + 2 * v * width + 2 * u, *lower = upper + width;
        *out++ = 0.25f * (upper[0] + upper[1] + lower[0] + lower[1]);
      }
  }
};

}  // namespace milkit::encoders
