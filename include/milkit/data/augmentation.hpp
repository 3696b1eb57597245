#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>

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

}  // namespace detail

/// The `side` x `side` patch whose centre is the pixel (x, y), as planes [3, side, side] of value / 255, augmented with
/// the draws of instance `i` of `random`. Beyond the picture's border the nearest pixel is repeated. Stains: colours
/// become optical densities, are separated into haematoxylin, eosin and the rest (Ruifrok & Johnston 2001), scaled, and
/// mixed again. Without stain and orientation the pixels come as they are.
inline void cut_patch(const rgb_image& image, std::int64_t x, std::int64_t y, std::int64_t side,
                      const augmentation& how, const random_stream& random, std::uint64_t i, float* planes) {
  const philox_block draw = random.bits(i, 0);
  const std::uint32_t turn = how.orientation ? draw.word[0] & 7u : 0u;
  const auto factor = [&](std::uint32_t word) { return 1 + how.stain * (2 * static_cast<double>(word) * 0x1p-32 - 1); };
  const bool stained = how.stain > 0;
  const auto mix = detail::stain_mix(stained ? factor(draw.word[1]) : 1, stained ? factor(draw.word[2]) : 1);
  const auto& density = detail::optical_density();
  const std::int64_t height = image.extent(0), width = image.extent(1), area = side * side;
  for (std::int64_t r = 0; r < side; ++r)
    for (std::int64_t c = 0; c < side; ++c) {
      std::int64_t dy = r, dx = c;
      if (turn & 1u) dy = side - 1 - dy;
      if (turn & 2u) dx = side - 1 - dx;
      if (turn & 4u) std::swap(dy, dx);
      const std::int64_t from_y = std::clamp(y - side / 2 + dy, std::int64_t{0}, height - 1);
      const std::int64_t from_x = std::clamp(x - side / 2 + dx, std::int64_t{0}, width - 1);
      const std::uint8_t* rgb = pixel(image, from_y, from_x);
      float* out = planes + r * side + c;
      if (!stained) {
        for (std::int64_t k = 0; k < 3; ++k) out[k * area] = static_cast<float>(rgb[k]) / 255.0f;
        continue;
      }
      for (std::size_t k = 0; k < 3; ++k) {
        const float d = density[rgb[0]] * mix[0][k] + density[rgb[1]] * mix[1][k] + density[rgb[2]] * mix[2][k];
        out[static_cast<std::int64_t>(k) * area] = std::clamp((256.0f * std::exp(-d) - 1.0f) / 255.0f, 0.0f, 1.0f);
      }
    }
}

}  // namespace milkit::data
