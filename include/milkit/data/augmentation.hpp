#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <vector>

#include <milkit/core/error.hpp>
#include <milkit/core/image.hpp>
#include <milkit/core/random.hpp>

namespace milkit::data {

/// What a training image goes through; every draw is a function of the random stream and the patch.
struct augmentation {
  bool orientation = true;  ///< one of the 8 rotations by right angles and reflections
  double stain = 0.1;  ///< haematoxylin and eosin are each multiplied by a factor uniform in 1 - stain .. 1 + stain
};

namespace detail {

/// Optical densities of haematoxylin, eosin and the rest in red, green and blue (Ruifrok & Johnston 2001), unit rows;
/// the third is orthogonal to the others. And the matrix that undoes it.
struct stain_space {
  double to_rgb[3][3];
  double from_rgb[3][3];
};
inline stain_space haematoxylin_eosin() {
  stain_space s{{{0.65, 0.70, 0.29}, {0.07, 0.99, 0.11}, {0, 0, 0}}, {}};
  auto& m = s.to_rgb;
  const auto unit = [](double* row) {
    const double length = std::sqrt(row[0] * row[0] + row[1] * row[1] + row[2] * row[2]);
    for (int i = 0; i < 3; ++i) row[i] /= length;
  };
  unit(m[0]);
  unit(m[1]);
  for (int i = 0; i < 3; ++i) m[2][i] = m[0][(i + 1) % 3] * m[1][(i + 2) % 3] - m[0][(i + 2) % 3] * m[1][(i + 1) % 3];
  unit(m[2]);
  double determinant = 0;
  for (int i = 0; i < 3; ++i)
    determinant += m[0][i] * (m[1][(i + 1) % 3] * m[2][(i + 2) % 3] - m[1][(i + 2) % 3] * m[2][(i + 1) % 3]);
  for (int i = 0; i < 3; ++i)
    for (int j = 0; j < 3; ++j)
      s.from_rgb[j][i] = (m[(i + 1) % 3][(j + 1) % 3] * m[(i + 2) % 3][(j + 2) % 3] -
                          m[(i + 1) % 3][(j + 2) % 3] * m[(i + 2) % 3][(j + 1) % 3]) /
                         determinant;
  return s;
}

/// What the amounts of the two stains, multiplied by `factors`, make of optical densities: one 3 x 3 matrix, because
/// separating, scaling and mixing are linear.
inline std::array<std::array<float, 3>, 3> stain_mix(double haematoxylin, double eosin) {
  static const stain_space stains = haematoxylin_eosin();
  const double factors[3] = {haematoxylin, eosin, 1};
  std::array<std::array<float, 3>, 3> mix{};
  for (std::size_t i = 0; i < 3; ++i)
    for (std::size_t j = 0; j < 3; ++j) {
      double sum = 0;
      for (std::size_t k = 0; k < 3; ++k) sum += stains.from_rgb[i][k] * factors[k] * stains.to_rgb[k][j];
      mix[i][j] = static_cast<float>(sum);
    }
  return mix;
}

/// -ln((v + 1) / 256) of a byte.
inline const std::array<float, 256>& optical_density() {
  static const std::array<float, 256> table = [] {
    std::array<float, 256> t{};
    for (std::size_t v = 0; v < 256; ++v) t[v] = static_cast<float>(-std::log((static_cast<double>(v) + 1) / 256));
    return t;
  }();
  return table;
}

/// What a patch's draws are, and f(k, rgb) for its k-th pixel, which is `rgb` of the picture.
struct patch_cutter {
  std::uint32_t turn;
  bool stained;
  std::array<std::array<float, 3>, 3> mix;

  patch_cutter(const augmentation& how, const random_stream& random, std::uint64_t i) {
    const philox_block draw = random.bits(i, 0);
    const auto factor = [&](std::uint32_t word) {
      return 1 + how.stain * (2 * static_cast<double>(word) * 0x1p-32 - 1);
    };
    turn = how.orientation ? draw.word[0] & 7u : 0u;
    stained = how.stain > 0;
    mix = stain_mix(stained ? factor(draw.word[1]) : 1, stained ? factor(draw.word[2]) : 1);
  }

  template <class Pixel>
  void each(const rgb_image& image, std::int64_t x, std::int64_t y, std::int64_t side, Pixel&& f) const {
    const std::int64_t height = image.extent(0), width = image.extent(1);
    for (std::int64_t r = 0; r < side; ++r)
      for (std::int64_t c = 0; c < side; ++c) {
        std::int64_t dy = r, dx = c;
        if (turn & 1u) dy = side - 1 - dy;
        if (turn & 2u) dx = side - 1 - dx;
        if (turn & 4u) std::swap(dy, dx);
        f(r * side + c, pixel(image, std::clamp(y - side / 2 + dy, std::int64_t{0}, height - 1),
                              std::clamp(x - side / 2 + dx, std::int64_t{0}, width - 1)));
      }
  }

  float density(const std::uint8_t* rgb, std::size_t k) const {
    const auto& of = optical_density();
    return of[rgb[0]] * mix[0][k] + of[rgb[1]] * mix[1][k] + of[rgb[2]] * mix[2][k];
  }
};

}  // namespace detail

/// The `side` x `side` patch whose centre is the pixel (x, y), as planes [3, side, side] of value / 255, augmented with
/// the draws of instance `i` of `random`. Beyond the picture's border the nearest pixel is repeated. Stains: colours
/// become optical densities, are separated into haematoxylin, eosin and the rest (Ruifrok & Johnston 2001), scaled, and
/// mixed again. Without stain and orientation the pixels come as they are.
inline void cut_patch(const rgb_image& image, std::int64_t x, std::int64_t y, std::int64_t side,
                      const augmentation& how, const random_stream& random, std::uint64_t i, float* planes) {
  const detail::patch_cutter cutter(how, random, i);
  const std::int64_t area = side * side;
  cutter.each(image, x, y, side, [&](std::int64_t at, const std::uint8_t* rgb) {
    for (std::size_t k = 0; k < 3; ++k)
      planes[static_cast<std::int64_t>(k) * area + at] =
          cutter.stained ? std::clamp((256.0f * std::exp(-cutter.density(rgb, k)) - 1.0f) / 255.0f, 0.0f, 1.0f)
                         : static_cast<float>(rgb[k]) / 255.0f;
  });
}

/// The same patch as optical densities: -ln((v + 1) / 256) of its values v from 0 to 255.
inline void cut_densities(const rgb_image& image, std::int64_t x, std::int64_t y, std::int64_t side,
                          const augmentation& how, const random_stream& random, std::uint64_t i, float* planes) {
  const detail::patch_cutter cutter(how, random, i);
  const auto& of = detail::optical_density();
  const std::int64_t area = side * side;
  cutter.each(image, x, y, side, [&](std::int64_t at, const std::uint8_t* rgb) {
    for (std::size_t k = 0; k < 3; ++k)
      planes[static_cast<std::int64_t>(k) * area + at] =
          cutter.stained ? std::clamp(cutter.density(rgb, k), 0.0f, of[0]) : of[rgb[k]];
  });
}

/// A field of planes [channels, height, width] in their size, for whole images: its sides are z times theirs, z drawn from 1 / (1 + zoom)
/// to 1 + zoom uniformly in its logarithm. A smaller field lies anywhere inside; a larger one around the middle, and what lies beyond
/// the border is its mirror image. Bilinear between the centres of pixels. The draws are those of instance `i` of `random`.
/// Errors: shape_error unless `field` is as large as `planes`; value_error for a zoom below 0 or above 1.
inline void zoom_planes(view<const float, 3> planes, double zoom, const random_stream& random, std::uint64_t i,
                        view<float, 3> field) {
  constexpr const char* op = "milkit::data::zoom_planes";
  expect_shape(op, "field", field, planes.shape());
  expect_value(zoom >= 0 && zoom <= 1, op, "zoom is ", zoom, ", expected 0 to 1");
  const double z = std::pow(1 + zoom, 2 * random.uniform<double>(i, 1) - 1);
  struct sample {
    std::int64_t first, second;
    float share;  // of the second
  };
  const auto samples_of = [&](std::int64_t size, double where) {
    const double free = static_cast<double>(size) * (1 - z), begin = free * (free > 0 ? where : 0.5);
    const auto inside = [&](std::int64_t k) { return k < 0 ? -1 - k : k >= size ? 2 * size - 1 - k : k; };
    std::vector<sample> samples;
    for (std::int64_t k = 0; k < size; ++k) {
      const double at = begin + (static_cast<double>(k) + 0.5) * z - 0.5, below = std::floor(at);
      const auto first = static_cast<std::int64_t>(below);
      samples.push_back({inside(first), inside(first + 1), static_cast<float>(at - below)});
    }
    return samples;
  };
  const auto of_rows = samples_of(planes.extent(1), random.uniform<double>(i, 2)),
             of_columns = samples_of(planes.extent(2), random.uniform<double>(i, 3));
  for (std::int64_t c = 0; c < planes.extent(0); ++c)
    for (std::int64_t y = 0; y < planes.extent(1); ++y) {
      const sample& row = of_rows[static_cast<std::size_t>(y)];
      const float *above = planes.row(c) + row.first * planes.extent(2),
                  *below = planes.row(c) + row.second * planes.extent(2);
      float* out = field.row(c) + y * field.extent(2);
      for (const sample& column : of_columns)
        *out++ = (1 - row.share) * ((1 - column.share) * above[column.first] + column.share * above[column.second]) +
                 row.share * ((1 - column.share) * below[column.first] + column.share * below[column.second]);
    }
}

}  // namespace milkit::data
