#include <milkit/slide/tissue.hpp>

#include <random>

#include <doctest/doctest.h>

#include <support/close.hpp>
#include <support/paths.hpp>
#include <support/tiff_pyramid.hpp>

using namespace milkit::slide;
using milkit::test::close;
using milkit::test::data_file;

namespace {

/// White glass with a little colour noise, and a pink disc.
milkit::rgb_image disc(std::int64_t side, double radius, unsigned seed) {
  milkit::rgb_image made(milkit::shape{side, side, std::int64_t{3}});
  std::mt19937 random(seed);
  for (std::int64_t y = 0; y < side; ++y)
    for (std::int64_t x = 0; x < side; ++x) {
      const double dx = static_cast<double>(x) + 0.5 - static_cast<double>(side) / 2;
      const double dy = static_cast<double>(y) + 0.5 - static_cast<double>(side) / 2;
      const bool inside = dx * dx + dy * dy < radius * radius;
      const int colour[3] = {inside ? 210 : 240, inside ? 130 : 240, inside ? 180 : 240};
      for (std::int64_t c = 0; c < 3; ++c)
        milkit::pixel(made, y, x)[c] = static_cast<std::uint8_t>(colour[c] + static_cast<int>(random() % 9) - 4);
    }
  return made;
}

}  // namespace

TEST_CASE("Otsu's threshold has the largest variance between its classes") {
  std::mt19937 random(4);
  for (int round = 0; round < 20; ++round) {
    std::array<std::int64_t, 256> histogram{};
    for (int i = 0; i < 500; ++i) {
      const double centre = i % 3 ? 60 : 170;
      ++histogram[static_cast<std::size_t>(
          std::clamp(std::normal_distribution<double>(centre, 25)(random), 0.0, 255.0))];
    }
    const auto variance = [&](int threshold) {
      double n[2] = {}, sum[2] = {};
      for (int i = 0; i < 256; ++i) {
        const auto count = static_cast<double>(histogram[static_cast<std::size_t>(i)]);
        n[i > threshold] += count;
        sum[i > threshold] += count * i;
      }
      if (n[0] == 0 || n[1] == 0) return 0.0;
      const double apart = sum[0] / n[0] - sum[1] / n[1];
      return n[0] * n[1] * apart * apart;
    };
    double best = 0;
    for (int t = 0; t < 256; ++t) best = std::max(best, variance(t));
    CHECK(close(variance(otsu_threshold(histogram)), best, {0, 1e-12}));
  }
}

TEST_CASE("otsu_threshold: two spikes, one, none -> between them, the spike, 0") {
  std::array<std::int64_t, 256> histogram{};
  CHECK(otsu_threshold(histogram) == 0);
  histogram[40] = 7;
  CHECK(otsu_threshold(histogram) == 40);
  histogram[100] = 7;
  CHECK(otsu_threshold(histogram) == (40 + 99) / 2);
}

TEST_CASE("a disc of tissue is found, to its area, and shares of rectangles follow") {
  const milkit::rgb_image picture = disc(200, 60, 1);
  const tissue_mask mask = tissue_of(picture.view(), level0_extent(2000, 2000));
  const double share = 3.14159265 * 60 * 60 / (200 * 200);
  CHECK(close(mask.share(), share, {0.005, 0}));
  CHECK(mask.share(level0_rectangle(level0_point(800, 800), level0_extent(300, 300))) == 1);
  CHECK(mask.share(level0_rectangle(level0_point(0, 0), level0_extent(300, 300))) == 0);
  CHECK(mask.share(level0_rectangle(level0_point(-500, 0), level0_extent(100, 100))) == 0);
  const level0_rectangle left(level0_point(0, 0), level0_extent(1000, 2000));
  CHECK(close(mask.share(left), share, {0.005, 0}));
}

TEST_CASE("glass has no tissue, and a picture full of tissue is all tissue") {
  const tissue_mask none = tissue_of(disc(150, 0, 2).view(), level0_extent(150, 150));
  CHECK(none.empty());
  CHECK(none.share() == 0);
  const tissue_mask all = tissue_of(disc(150, 200, 3).view(), level0_extent(150, 150));
  CHECK(all.share() == 1);
}

TEST_CASE("tissue_of: black, a threshold, one pixel, none -> none, taken, works, refused") {
  milkit::rgb_image black(milkit::shape{20, 20, 3});
  for (std::int64_t i = 0; i < 400; ++i) black.data()[3 * i] = 20;
  CHECK(tissue_of(black.view(), level0_extent(20, 20)).empty());
  const auto picture = disc(100, 30, 5);
  CHECK(tissue_of(picture.view(), level0_extent(100, 100), {.saturation = 0.9}).empty());
  CHECK(tissue_of(picture.view(), level0_extent(100, 100), {.saturation = 0.9}).threshold() == 0.9);
  CHECK(tissue_of(disc(1, 5, 6).view(), level0_extent(1, 1), {.min_object = 1}).share() == 1);
  CHECK_THROWS_AS(tissue_of(const_rgb_view(nullptr, milkit::shape{0, 0, 3}), level0_extent(1, 1)), milkit::value_error);
}

TEST_CASE("find_tissue: real slides -> the asked resolution, or what the slide allows") {
  const whole_slide cmu(data_file("slides/CMU-1-Small-Region.svs"));
  CHECK(tissue_mask_side(cmu, {.mpp = 4}) == std::llround(2967 * 0.499 / 4));
  CHECK(tissue_mask_side(cmu) == 256);
  const tissue_mask mask = find_tissue(cmu);
  CHECK(mask.share() > 0.25);
  CHECK(mask.share() < 0.45);
  CHECK(mask.share(level0_rectangle(level0_point(0, 1500), level0_extent(400, 1400))) == 0);
  CHECK(mask.share(level0_rectangle(level0_point(700, 2200), level0_extent(300, 300))) > 0.95);
  const tissue_mask tiny = find_tissue(whole_slide(data_file("slides/small.svs")));
  CHECK(tiny.mask().extent(0) == 16);
  CHECK(tiny.empty());
  CHECK(find_tissue(whole_slide(data_file("slides/boxes.tiff"))).share() > 0.4);
  CHECK_THROWS_AS(find_tissue(whole_slide(data_file("slides/unreadable.svs"))), milkit::io_error);
}
