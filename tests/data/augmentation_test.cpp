#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <map>
#include <set>
#include <vector>

#include <milkit/core/tensor.hpp>
#include <milkit/data/augmentation.hpp>

#include <support/chance.hpp>
#include <support/close.hpp>

using namespace milkit;
using data::augmentation;

namespace {

constexpr augmentation plain{.orientation = false, .stain = 0};

/// A picture whose pixels all differ, of every brightness.
rgb_image picture(std::int64_t height, std::int64_t width) {
  rgb_image image({height, width, 3});
  for (std::int64_t i = 0; i < image.size(); ++i) image.data()[i] = static_cast<std::uint8_t>(i * 37 % 256);
  return image;
}

std::vector<float> cut(const rgb_image& image, std::int64_t x, std::int64_t y, std::int64_t side,
                       const augmentation& how, const random_stream& random = {}, std::uint64_t instance = 0) {
  std::vector<float> planes(static_cast<std::size_t>(3 * side * side), -1.0f);
  data::cut_patch(image, x, y, side, how, random, instance, planes.data());
  return planes;
}

}  // namespace

TEST_CASE("patch: nothing augmented -> value / 255, the nearest pixel beyond the border") {
  const rgb_image image = picture(7, 9);
  for (const auto& [x, y, side] : {std::array<std::int64_t, 3>{4, 3, 5}, {0, 0, 5}, {8, 6, 4}, {4, 3, 1}, {4, 3, 21}}) {
    const auto got = cut(image, x, y, side, plain);
    bool right = true;
    for (std::int64_t c = 0; c < 3; ++c)
      for (std::int64_t r = 0; r < side; ++r)
        for (std::int64_t k = 0; k < side; ++k) {
          std::int64_t from_y = y - side / 2 + r, from_x = x - side / 2 + k;
          from_y = from_y < 0 ? 0 : from_y > 6 ? 6 : from_y;
          from_x = from_x < 0 ? 0 : from_x > 8 ? 8 : from_x;
          right = right && got[static_cast<std::size_t>((c * side + r) * side + k)] ==
                               static_cast<float>(milkit::pixel(image, from_y, from_x)[c]) / 255.0f;
        }
    CHECK(right);
  }
}

TEST_CASE("the 8 orientations are distinct, keep the pixels, and come equally often") {
  const rgb_image image = picture(9, 9);
  const auto as_it_is = cut(image, 4, 4, 5, plain);
  const std::multiset<float> pixels(as_it_is.begin(), as_it_is.end());
  std::map<std::vector<float>, int> seen;
  for (std::uint64_t i = 0; i < 4000; ++i) ++seen[cut(image, 4, 4, 5, {.stain = 0}, random_stream(1, 2, 3), i)];
  REQUIRE(seen.size() == 8);
  CHECK(seen.count(as_it_is) == 1);
  std::vector<double> often;
  for (const auto& [patch, count] : seen) {
    CHECK(std::multiset<float>(patch.begin(), patch.end()) == pixels);
    often.push_back(count);
    // Neighbours stay neighbours: the centre is the centre, its ring is its ring.
    for (std::size_t c = 0; c < 3; ++c) {
      CHECK(patch[25 * c + 12] == as_it_is[25 * c + 12]);
      std::multiset<float> ring, want;
      for (const std::size_t at : {7u, 11u, 13u, 17u})
        ring.insert(patch[25 * c + at]), want.insert(as_it_is[25 * c + at]);
      CHECK(ring == want);
    }
  }
  CHECK(test::as_often_as(std::vector<double>(8, 1 / 8.0), often, 4000));
}

TEST_CASE("stains: separated and mixed -> the identity; a factor scales optical density") {
  const auto stains = data::detail::haematoxylin_eosin();
  const auto same = data::detail::stain_mix(1, 1);
  for (std::size_t i = 0; i < 3; ++i) {
    double length = 0;
    for (std::size_t j = 0; j < 3; ++j) {
      double product = 0;
      for (std::size_t k = 0; k < 3; ++k) product += stains.to_rgb[i][k] * stains.from_rgb[k][j];
      CHECK(test::close(product, i == j ? 1 : 0, {.absolute = 1e-12}));
      CHECK(test::close(static_cast<double>(same[i][j]), i == j ? 1 : 0, {.absolute = 1e-6}));
      length += stains.to_rgb[i][j] * stains.to_rgb[i][j];
    }
    CHECK(test::close(length, 1, {.absolute = 1e-12}));
  }
  // Pure haematoxylin doubled: its own optical densities, twice.
  const auto doubled = data::detail::stain_mix(2, 1);
  for (std::size_t j = 0; j < 3; ++j) {
    double density = 0;
    for (std::size_t i = 0; i < 3; ++i) density += stains.to_rgb[0][i] * static_cast<double>(doubled[i][j]);
    CHECK(test::close(density, 2 * stains.to_rgb[0][j], {.absolute = 1e-6}));
  }
}

TEST_CASE("stains: factor 1 -> the same patch; other factors -> their change within 0 to 1") {
  const auto stains = data::detail::haematoxylin_eosin();
  rgb_image tissue({40, 40, 3});  // all mixtures of the two stains
  for (std::int64_t y = 0; y < 40; ++y)
    for (std::int64_t x = 0; x < 40; ++x)
      for (std::size_t c = 0; c < 3; ++c) {
        const double density =
            0.05 * static_cast<double>(x) * stains.to_rgb[0][c] + 0.05 * static_cast<double>(y) * stains.to_rgb[1][c];
        milkit::pixel(tissue, y, x)[c] =
            static_cast<std::uint8_t>((std::max)(std::round(256 * std::exp(-density) - 1), 0.0));
      }
  const auto as_it_is = cut(tissue, 20, 20, 39, plain);
  const auto untouched = cut(tissue, 20, 20, 39, {.orientation = false, .stain = 1e-12}, random_stream(1, 2, 3));
  const auto difference = [&](const std::vector<float>& patch) {
    double most = 0;
    for (std::size_t i = 0; i < patch.size(); ++i)
      most = (std::max)(most, std::abs(static_cast<double>(patch[i]) - static_cast<double>(as_it_is[i])));
    return most;
  };
  CHECK(difference(untouched) <= 2e-6);
  double most = 0;
  for (std::uint64_t i = 0; i < 50; ++i) {
    const auto got = cut(tissue, 20, 20, 39, {.orientation = false, .stain = 0.1}, random_stream(1, 2, 3), i);
    most = (std::max)(most, difference(got));
    const auto strong = cut(picture(40, 40), 20, 20, 27, {.stain = 0.9}, random_stream(1, 2, 3), i);
    CHECK(std::all_of(strong.begin(), strong.end(), [](float v) { return v >= 0 && v <= 1; }));
  }
  // A density d that changes by at most a tenth of it changes exp(-d) by at most 0.1 d exp(-0.9 d) <= 0.041.
  CHECK(most <= 0.042);
  CHECK(most > 0.03);
}

TEST_CASE("draws are a function of stream and instance alone") {
  const rgb_image image = picture(40, 40);
  const auto first = cut(image, 20, 20, 27, {}, random_stream(1, 2, 3), 5);
  cut(image, 3, 3, 27, {}, random_stream(1, 2, 3), 6);
  CHECK(cut(image, 20, 20, 27, {}, random_stream(1, 2, 3), 5) == first);
  CHECK(cut(image, 20, 20, 27, {}, random_stream(1, 2, 3), 6) != first);
  CHECK(cut(image, 20, 20, 27, {}, random_stream(1, 2, 4), 5) != first);
  CHECK(cut(image, 20, 20, 27, {}, random_stream(2, 2, 3), 5) != first);
}

TEST_CASE("optical densities of a patch are those of its values") {
  const rgb_image image = picture(9, 12);
  for (const double stain : {0.0, 0.3})
    for (std::uint64_t i = 0; i < 20; ++i) {
      const augmentation how{.stain = stain};
      const auto values = cut(image, 5, 4, 13, how, random_stream(1, 2, 3), i);
      std::vector<float> densities(values.size(), -1.0f);
      data::cut_densities(image, 5, 4, 13, how, random_stream(1, 2, 3), i, densities.data());
      bool right = true;
      for (std::size_t k = 0; k < values.size(); ++k) {
        const double value = 255 * static_cast<double>(values[k]);
        right = right && std::abs(static_cast<double>(densities[k]) + std::log((value + 1) / 256)) <= 1e-4;
      }
      CHECK(right);
    }
}

namespace {

/// What a field of planes shows at a point of the picture: bilinear between the centres of pixels, mirrored beyond the border.
double colour_at(const tensor<float, 3>& planes, std::int64_t c, double y, double x) {
  const auto mirrored = [](std::int64_t i, std::int64_t size) {
    return i < 0 ? -i - 1 : i >= size ? 2 * size - i - 1 : i;
  };
  const std::int64_t height = planes.extent(1), width = planes.extent(2);
  double sum = 0;
  for (std::int64_t dy = 0; dy < 2; ++dy)
    for (std::int64_t dx = 0; dx < 2; ++dx) {
      const double row = std::floor(y) + static_cast<double>(dy), column = std::floor(x) + static_cast<double>(dx);
      const std::int64_t i = mirrored(static_cast<std::int64_t>(row), height),
                         j = mirrored(static_cast<std::int64_t>(column), width);
      sum += (1 - std::abs(y - row)) * (1 - std::abs(x - column)) *
             static_cast<double>(planes.data()[(c * height + i) * width + j]);
    }
  return sum;
}

}  // namespace

TEST_CASE("zoom_planes: zoom -> the scaled field, cut where smaller, mirrored where larger") {
  tensor<float, 3> planes({2, 11, 14}), field({2, 11, 14});
  for (std::int64_t i = 0; i < planes.size(); ++i) planes.data()[i] = static_cast<float>(i * 37 % 101) / 101;
  const random_stream random(4, 5, 6);
  int larger = 0;
  for (std::uint64_t i = 0; i < 40; ++i) {
    data::zoom_planes(std::as_const(planes).view(), 0.5, random, i, field.view());
    const double z = std::pow(1.5, 2 * random.uniform<double>(i, 1) - 1);
    larger += z > 1;
    const auto first = [&](double size, std::uint64_t draw) {
      return (1 - z) * size * (z < 1 ? random.uniform<double>(i, draw) : 0.5);
    };
    double off = 0;
    for (std::int64_t c = 0; c < 2; ++c)
      for (std::int64_t y = 0; y < 11; ++y)
        for (std::int64_t x = 0; x < 14; ++x) {
          const double want = colour_at(planes, c, first(11, 2) + (static_cast<double>(y) + 0.5) * z - 0.5,
                                        first(14, 3) + (static_cast<double>(x) + 0.5) * z - 0.5);
          off = std::max(off, std::abs(want - static_cast<double>(field.data()[(c * 11 + y) * 14 + x])));
        }
    CHECK(off <= 1e-6);
  }
  CHECK(larger > 0);  // each is larger with the probability 1 / 2
  CHECK(larger < 40);
}

TEST_CASE("zoom_planes: no zoom -> the planes, down to one pixel; bad zooms -> refused") {
  for (const std::int64_t side : {1, 2, 9}) {
    tensor<float, 3> planes({1, side, side}), field({1, side, side});
    for (std::int64_t i = 0; i < planes.size(); ++i) planes.data()[i] = static_cast<float>(i);
    data::zoom_planes(std::as_const(planes).view(), 0, random_stream(1, 2, 3), 7, field.view());
    CHECK(std::equal(field.data(), field.data() + field.size(), planes.data()));
    data::zoom_planes(std::as_const(planes).view(), 1, random_stream(1, 2, 3), 7,
                      field.view());  // reads nothing beyond them
  }
  const tensor<float, 3> planes({1, 4, 4});
  tensor<float, 3> field({1, 4, 4}), other({1, 4, 5});
  CHECK_THROWS_WITH_AS(data::zoom_planes(planes.view(), 1.5, {}, 0, field.view()),
                       "milkit::data::zoom_planes: zoom is 1.5, expected 0 to 1", value_error);
  CHECK_THROWS_WITH_AS(data::zoom_planes(planes.view(), 0.5, {}, 0, other.view()),
                       "milkit::data::zoom_planes: field is [1, 4, 5], expected [1, 4, 4]", shape_error);
}
