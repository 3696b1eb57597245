#include <milkit/encoders/stain_descriptor.hpp>

#include <milkit/ops/rows/fill_cpu.hpp>

#include <cmath>
#include <random>

#include <doctest/doctest.h>

#include <reference/stain_descriptor.hpp>

using namespace milkit;
using encoders::stain_descriptor;
using encoders::tiles_view;
using tiles = tensor<std::uint8_t, 4>;

namespace {

/// Tiles of pink ground with violet discs of about `radius` pixels, and noise.
tiles tissue(std::int64_t count, std::int64_t height, std::int64_t width, double radius, unsigned seed) {
  tiles made({count, height, width, 3});
  std::mt19937 random(seed);
  const auto below = [&](std::int64_t n) { return static_cast<std::int64_t>(random() % static_cast<unsigned>(n)); };
  for (std::int64_t n = 0; n < count; ++n) {
    std::uint8_t* pixels = made.view().row(n);
    const auto put = [&](std::int64_t i, int red, int green, int blue) {
      const int noise = static_cast<int>(below(9)) - 4;
      pixels[3 * i] = static_cast<std::uint8_t>(red + noise);
      pixels[3 * i + 1] = static_cast<std::uint8_t>(green + noise);
      pixels[3 * i + 2] = static_cast<std::uint8_t>(blue + noise);
    };
    for (std::int64_t i = 0; i < height * width; ++i) put(i, i % width < 5 ? 245 : 225, i % width < 5 ? 244 : 160, 205);
    for (std::int64_t k = 0; k < height * width / 600 + 1; ++k) {
      const std::int64_t cy = below(height), cx = below(width);
      for (std::int64_t y = 0; y < height; ++y)
        for (std::int64_t x = 0; x < width; ++x)
          if (std::hypot(static_cast<double>(y - cy), static_cast<double>(x - cx)) < radius)
            put(y * width + x, 85, 50, 120);
    }
  }
  return made;
}

tensor<float, 2> described(const tiles& from, int threads = 1) {
  cpu backend{.threads = threads};
  tensor<float, 2> made({from.extent(0), stain_descriptor::count});
  stain_descriptor{}.encode(backend, from.view(), made.view());
  return made;
}

}  // namespace

static_assert(encoders::encoder<stain_descriptor>);

TEST_CASE("stain descriptor: every number is what its description says, at odd sizes too") {
  const std::pair<std::int64_t, std::int64_t> sizes[] = {{1, 1}, {1, 7}, {2, 3}, {5, 1}, {17, 31}, {40, 33}, {96, 128}};
  unsigned seed = 1;
  for (const auto& size : sizes) {
    const std::int64_t height = size.first, width = size.second;
    CAPTURE(height);
    CAPTURE(width);
    const tiles some = tissue(2, height, width, 4.5, seed++);
    const tensor<float, 2> got = described(some);
    for (std::int64_t n = 0; n < 2; ++n) {
      const test::stain_oracle want(some.view().row(n), height, width);
      REQUIRE(want.numbers.size() == stain_descriptor::count);
      for (std::int64_t j = 0; j < stain_descriptor::count; ++j) {
        CAPTURE(j);
        const double expected = want.numbers[static_cast<std::size_t>(j)];
        CHECK(std::abs(static_cast<double>(got.view()(n, j)) - expected) <= 2e-4 * std::max(1.0, std::abs(expected)));
      }
    }
  }
}

TEST_CASE("stain descriptor: larger nuclei have larger diameters, at both scales") {
  const auto some = described(tissue(4, 128, 128, 4, 7)), large = described(tissue(4, 128, 128, 8, 7));
  for (std::int64_t n = 0; n < 4; ++n)
    for (const std::int64_t diameter : {25, 36}) CHECK(large.view()(n, diameter) > 1.2f * some.view()(n, diameter));
}

TEST_CASE("stain descriptor: the same bits in any batch and at any number of threads") {
  const tiles some = tissue(7, 48, 40, 4, 3);
  const auto whole = described(some, 1), threads = described(some, 3);
  cpu backend{.threads = 2};
  for (std::int64_t n = 0; n < 7; ++n) {
    tensor<float, 2> one({1, stain_descriptor::count});
    stain_descriptor{}.encode(backend, tiles_view(some.view().rows(n, 1)), one.view());
    for (std::int64_t j = 0; j < stain_descriptor::count; ++j) {
      CHECK(whole.view()(n, j) == threads.view()(n, j));
      CHECK(whole.view()(n, j) == one.view()(0, j));
    }
  }
}

TEST_CASE("stain descriptor: tiles of one colour, and none") {
  tiles plain({2, 32, 32, 3});
  std::fill_n(plain.data(), plain.size() / 2, std::uint8_t{255});  // the second is black
  const auto got = described(plain);
  for (std::int64_t j = 0; j < stain_descriptor::count; ++j) {
    CAPTURE(j);
    CHECK(std::isfinite(got.view()(0, j)));
    CHECK(std::isfinite(got.view()(1, j)));
    const bool quantile = (j >= 2 && j <= 4) || (j >= 7 && j <= 9);  // of a bin that holds all
    CHECK(std::abs(got.view()(0, j) - (j == 12 ? 1.0f : 0.0f)) <= (quantile ? 0.0125f : 0.0f));
    if (j == 12 || j > 12) CHECK(std::abs(got.view()(1, j)) < 1e-4f);
  }
  CHECK(described(tiles({0, 32, 32, 3})).rows() == 0);
}

TEST_CASE("stain descriptor: refuses what is no tile") {
  cpu backend;
  tensor<float, 2> made({2, stain_descriptor::count}), narrow({2, 44});
  const tiles grey({2, 32, 32, 1}), some({2, 32, 32, 3}), three({3, 32, 32, 3}), empty({2, 0, 32, 3});
  const stain_descriptor encoder;
  CHECK_THROWS_WITH_AS(encoder.encode(backend, grey.view(), made.view()),
                       doctest::Contains("colours of a tile is 1, expected 3"), shape_error);
  CHECK_THROWS_WITH_AS(encoder.encode(backend, three.view(), made.view()),
                       doctest::Contains("rows of the embeddings is 2, expected 3"), shape_error);
  CHECK_THROWS_WITH_AS(encoder.encode(backend, some.view(), narrow.view()),
                       doctest::Contains("features of the embeddings is 44, expected 45"), shape_error);
  CHECK_THROWS_WITH_AS(encoder.encode(backend, empty.view(), made.view()), doctest::Contains("0 x 32"), shape_error);
}
