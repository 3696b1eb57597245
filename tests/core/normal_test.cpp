#include <doctest/doctest.h>

#include <cmath>

#include <milkit/core/normal_lanes.hpp>

#include <support/chance.hpp>
#include <support/close.hpp>

using namespace milkit;

namespace {

double upper_tail(double z) { return std::erfc(z / std::sqrt(2.0)) / 2; }
double density(double z) { return std::exp(-z * z / 2) / std::sqrt(2 * std::acos(-1.0)); }

}  // namespace

TEST_CASE("normal_fixed: any probability -> the quantile of the normal distribution") {
  double worst = 0;
  for (std::uint64_t p = 1; p < std::uint64_t{1} << 31;
       p = (p < 4096 ? p + 2 : p + p / 4096) | 1) {  // p 2^-32 is the tail
    const double z = normal_unit * normal_fixed(normal_quantiles(), static_cast<std::uint32_t>(p << 1));
    worst = (std::max)(worst, std::abs(upper_tail(z) - static_cast<double>(p) * 0x1p-32) / density(z));
  }
  CHECK(worst <= 2e-6);
  CHECK(normal_fixed(normal_quantiles(), 0) == -normal_fixed(normal_quantiles(), 1));
  CHECK(test::close(normal_unit * normal_fixed(normal_quantiles(), 0), 6.230260, {1e-5}));
  CHECK(normal_fixed(normal_quantiles(), 0xFFFFFFFEu) == 0);
  CHECK(normal_fixed(normal_quantiles(), 0xFFFFFFFFu) == 0);
}

TEST_CASE("normal_fixed falls as the tail grows, up to the rounding of its table") {
  std::int32_t last = normal_fixed(normal_quantiles(), 0);
  for (std::uint32_t word = 0; word < 0xFFF00000u; word += 0x1000u) {
    const std::int32_t z = normal_fixed(normal_quantiles(), word);
    if (z > last + (1 << 10)) FAIL("rises at " << word);
    last = z;
  }
}

TEST_CASE("normal numbers have the moments of their distribution") {
  constexpr int many = 400000;
  double moment[5] = {};
  for (std::uint64_t i = 0; i < many / 4; ++i)
    for (const std::uint32_t word : random_stream(4, 2, 1).bits(i, 9).word)
      for (int m = 1; m <= 4; ++m)
        moment[m] += std::pow(normal_unit * normal_fixed(normal_quantiles(), word), m) / many;
  const double mean[] = {1, 0, 1, 0, 3}, variance[] = {0, 1, 2, 15, 96};
  for (int m = 1; m <= 4; ++m)
    CHECK(std::abs(moment[m] - mean[m]) <= test::most_standard_errors(4) * std::sqrt(variance[m] / many));
}

TEST_CASE("many blocks and numbers at once are those of one after the other") {
  for (const std::int64_t first :
       {std::int64_t{0}, std::int64_t{5}, (std::int64_t{1} << 32) - 3, std::int64_t{1} << 40})
    for (const std::int64_t draw : {std::int64_t{0}, std::int64_t{77}, (std::int64_t{3} << 33) + 1}) {
      const random_stream stream(8, 6, 4);
      std::uint32_t words[256];
      std::int32_t z[256];
      philox_words(stream, first, draw, 64, words);
      normals_of(normal_quantiles(), words, 256, z);
      for (std::int64_t i = 0; i < 256; ++i) {
        const std::uint32_t word =
            stream.bits(static_cast<std::uint64_t>(first + i / 4), static_cast<std::uint64_t>(draw)).word[i % 4];
        CHECK(words[i] == word);
        CHECK(z[i] == normal_fixed(normal_quantiles(), word));
      }
      philox_draws(stream, first, draw, 64, words);
      for (std::int64_t i = 0; i < 256; ++i)
        CHECK(words[i] ==
              stream.bits(static_cast<std::uint64_t>(first), static_cast<std::uint64_t>(draw + i / 4)).word[i % 4]);
    }
}
