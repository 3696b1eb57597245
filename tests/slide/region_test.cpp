#include <milkit/slide/region.hpp>

#include <random>

#include <doctest/doctest.h>

#include <reference/area_average.hpp>

using namespace milkit::slide;

TEST_CASE("premultiplied pixels over white, at every length and every alpha") {
  std::minstd_rand random(3);
  for (std::int64_t count = 0; count < 300; ++count) {
    std::vector<std::uint32_t> argb;
    for (std::int64_t i = 0; i < count; ++i) {
      const auto alpha = static_cast<std::uint32_t>(i % 3 == 0 ? 255 : random() % 256);
      const auto channel = [&] { return alpha == 0 ? 0u : random() % (alpha + 1u); };
      argb.push_back(static_cast<std::uint32_t>(alpha << 24 | channel() << 16 | channel() << 8 | channel()));
    }
    std::vector<std::uint8_t> rgb(static_cast<std::size_t>(3 * count) + 1, 99);
    argb_over_white(argb.data(), count, rgb.data());
    bool same = rgb.back() == 99;
    for (std::size_t i = 0; i < argb.size(); ++i)
      for (std::size_t c = 0; c < 3; ++c)
        same = same && rgb[3 * i + c] == ((argb[i] >> (16 - 8 * c)) & 255u) + 255u - (argb[i] >> 24);
    CHECK(same);
  }
}

TEST_CASE("weights share out every source pixel and sum to one") {
  for (const double step : {0.3, 1.0, 1.37, 2.0, 17.9, 5000.5})
    for (const double start : {0.0, 0.25, -3.9, 1e6 + 1.0 / 3}) {
      const detail::axis_weights axis(start, step, 40);
      for (std::size_t j = 0; j < axis.spans.size(); ++j) {
        const auto& span = axis.spans[j];
        double sum = 0, centre = 0;
        for (std::int64_t i = 0; i < span.count; ++i) {
          const double weight = axis.weights[span.weight + static_cast<std::size_t>(i)];
          sum += weight;
          centre += weight * (static_cast<double>(span.first + i) + 0.5 - start);
        }
        CHECK(sum == doctest::Approx(1).epsilon(1e-12));
        // The centre of mass of a box of whole pixels is its own centre, unless it lies within pixels.
        CHECK(std::abs(centre - (static_cast<double>(j) + 0.5) * step) <= 0.5);
      }
    }
}

TEST_CASE("float and double sums agree with the plain average") {
  constexpr std::int64_t width = 37, height = 29;
  std::mt19937 random(8);
  std::vector<std::uint8_t> source(static_cast<std::size_t>(3 * width * height));
  for (auto& value : source) value = static_cast<std::uint8_t>(random() >> 24);
  const auto at = [&](std::int64_t x, std::int64_t y, std::int64_t c) {  // the last edges round to just outside
    return source[static_cast<std::size_t>(3 * (std::min(y, height - 1) * width + std::min(x, width - 1)) + c)];
  };
  const double step_x = 36.5 / 11, step_y = 28.25 / 5;
  const detail::axis_weights columns(0.5, step_x, 11), rows(0.75, step_y, 5);
  const auto row = [&](std::int64_t i) { return source.data() + 3 * (i * width + columns.first()); };
  milkit::rgb_image single(milkit::shape{5, 11, 3}), twice(milkit::shape{5, 11, 3});
  detail::area_average<float>(columns, rows, row, single.view());
  detail::area_average<double>(columns, rows, row, twice.view());
  for (std::int64_t y = 0; y < 5; ++y)
    for (std::int64_t x = 0; x < 11; ++x)
      for (std::int64_t c = 0; c < 3; ++c) {
        const double want = milkit::test::mean_over(at, 0.5 + static_cast<double>(x) * step_x,
                                                    0.75 + static_cast<double>(y) * step_y, step_x, step_y, c);
        CHECK(std::abs(milkit::pixel(single, y, x)[c] - want) <= 0.501);
        CHECK(std::abs(milkit::pixel(twice, y, x)[c] - want) <= 0.5 + 1e-9);
      }
}
