#include <doctest/doctest.h>

#include <map>
#include <set>
#include <vector>

#include <milkit/core/random.hpp>

#include <support/close.hpp>
#include <support/floats.hpp>

using namespace milkit;

namespace {

/// Mean and central moments of a sample.
struct moments {
  double mean = 0, variance = 0, skew = 0, kurtosis = 0;
};
template <class Draw>
moments moments_of(std::int64_t count, Draw&& draw) {
  std::vector<double> values;
  moments m;
  for (std::int64_t i = 0; i < count; ++i) values.push_back(static_cast<double>(draw(static_cast<std::uint64_t>(i))));
  const auto n = static_cast<double>(count);
  for (const double each : values) m.mean += each / n;
  for (const double each : values) m.variance += (each - m.mean) * (each - m.mean) / n;
  for (const double each : values) {
    const double z = (each - m.mean) / std::sqrt(m.variance);
    m.skew += z * z * z / n;
    m.kurtosis += z * z * z * z / n;
  }
  return m;
}

constexpr std::int64_t many = 200000;
constexpr random_stream stream(42, 7, 3);

}  // namespace

TEST_CASE("philox gives the known answers of its authors' library") {
  struct answer {
    philox_block counter;
    std::uint32_t key0, key1;
    philox_block want;
  };
  constexpr std::uint32_t ones = 0xffffffffu;
  const answer answers[] = {
      {{{0, 0, 0, 0}}, 0, 0, {{0x6627e8d5u, 0xe169c58du, 0xbc57ac4cu, 0x9b00dbd8u}}},
      {{{ones, ones, ones, ones}}, ones, ones, {{0x408f276du, 0x41c83b0eu, 0xa20bc7c6u, 0x6d5451fdu}}},
      {{{0x243f6a88u, 0x85a308d3u, 0x13198a2eu, 0x03707344u}},
       0xa4093822u,
       0x299f31d0u,
       {{0xd16cfe09u, 0x94fdccebu, 0x5001e420u, 0x24126ea1u}}},
  };
  for (const answer& each : answers) {
    const philox_block got = philox(each.counter, each.key0, each.key1);
    for (int i = 0; i < 4; ++i) CHECK(got.word[i] == each.want.word[i]);
  }
  static_assert(philox({{0, 0, 0, 0}}, 0, 0).word[0] == 0x6627e8d5u);  // at compile time too
}

TEST_CASE("uniform_of: any bits -> exact and below 1") {
  CHECK(uniform_of<float>(0, 0xffffffffu) == 0);
  CHECK(uniform_of<double>(0, 0) == 0);
  CHECK(uniform_of<float>(0xffffffffu, 0) == 1 - 0x1p-24f);
  CHECK(uniform_of<double>(0xffffffffu, 0xffffffffu) == 1 - 0x1p-53);
  CHECK(uniform_of<float>(0x80000000u, 0) == 0.5f);
  CHECK(uniform_of<double>(0x80000000u, 0) == 0.5);
}

TEST_CASE_TEMPLATE("uniform numbers have the moments of their distribution", T, MILKIT_FLOATS) {
  const moments m = moments_of(many, [](std::uint64_t i) { return stream.uniform<T>(i, 0); });
  CHECK(std::abs(m.mean - 0.5) < 4 / std::sqrt(12.0 * many));
  CHECK(test::close(m.variance, 1 / 12.0, {0, 0.01}));
  CHECK(std::abs(m.skew) < 0.02);
  CHECK(test::close(m.kurtosis, 1.8, {0, 0.01}));
  std::vector<int> bins(64);
  for (std::uint64_t i = 0; i < many; ++i) ++bins[static_cast<std::size_t>(stream.uniform<T>(i, 0) * T(64))];
  double chi2 = 0;
  for (const int each : bins) chi2 += (each - many / 64.0) * (each - many / 64.0) / (many / 64.0);
  CHECK(chi2 < 63 + 4 * std::sqrt(2 * 63.0));
}

TEST_CASE_TEMPLATE("normal numbers have the moments of their distribution and are finite", T, MILKIT_FLOATS) {
  const moments m = moments_of(many, [](std::uint64_t i) { return stream.normal<T>(i, 1); });
  CHECK(std::abs(m.mean) < 4 / std::sqrt(1.0 * many));
  CHECK(test::close(m.variance, 1, {0, 0.015}));
  CHECK(std::abs(m.skew) < 4 * std::sqrt(6.0 / many));
  CHECK(std::abs(m.kurtosis - 3) < 4 * std::sqrt(24.0 / many));
  for (std::uint64_t i = 0; i < many; ++i)
    if (!std::isfinite(stream.normal<T>(i, 1))) FAIL("not finite: " << i);
}

TEST_CASE_TEMPLATE("Gumbel numbers have the moments of their distribution and choose as softmax says", T, float,
                   double) {
  const double euler = 0.57721566490153286, variance = 1.6449340668482264;
  const moments m = moments_of(many, [](std::uint64_t i) { return stream.gumbel<T>(i, 2); });
  CHECK(std::abs(m.mean - euler) < 4 * std::sqrt(variance / many));
  CHECK(test::close(m.variance, variance, {0, 0.03}));
  CHECK(test::close(m.skew, 1.1395, {0, 0.06}));
  const double logits[] = {0, 1, -1};
  double wins[3] = {};
  for (std::uint64_t i = 0; i < many; ++i) {
    int best = 0;
    double score = -HUGE_VAL;
    for (int c = 0; c < 3; ++c)
      if (const double z = logits[c] + static_cast<double>(stream.gumbel<T>(i, static_cast<std::uint64_t>(c)));
          z > score)
        score = z, best = c;
    wins[best] += 1.0 / many;
  }
  const double mass = 1 + std::exp(1.0) + std::exp(-1.0);
  for (int c = 0; c < 3; ++c) CHECK(std::abs(wins[c] - std::exp(logits[c]) / mass) < 4 * 0.5 / std::sqrt(1.0 * many));
}

TEST_CASE("below: any bound -> every number equally often, never the bound") {
  for (const std::uint64_t bound : {1u, 2u, 3u, 7u, 64u, 1000u}) {
    std::map<std::uint64_t, double> counts;
    for (std::uint64_t i = 0; i < many; ++i) ++counts[stream.below(bound, i, 5)];
    CHECK(counts.size() == bound);
    CHECK(counts.rbegin()->first == bound - 1);
    const double expected = static_cast<double>(many) / static_cast<double>(bound);
    double chi2 = 0;
    for (const auto& [value, count] : counts) chi2 += (count - expected) * (count - expected) / expected;
    const double degrees = static_cast<double>(bound) - 1;
    CHECK(chi2 <= degrees + 4.5 * std::sqrt(2 * degrees));
  }
  const std::uint64_t huge = (std::uint64_t{1} << 63) + 1;  // nearly half of all draws are taken again
  double mean = 0;
  for (std::uint64_t i = 0; i < 20000; ++i) {
    const std::uint64_t value = stream.below(huge, i, 0);
    REQUIRE(value < huge);
    mean += static_cast<double>(value) / static_cast<double>(huge) / 20000;
  }
  CHECK(std::abs(mean - 0.5) < 4 / std::sqrt(12 * 20000.0));
}

TEST_CASE("random numbers depend on seed, step, block, child, instance and draw, each alone") {
  std::set<std::uint32_t> seen;
  const auto add = [&](const random_stream& s, std::uint64_t instance, std::uint64_t draw) {
    seen.insert(s.bits(instance, draw).word[0]);
  };
  add(stream, 0, 0);
  add({43, 7, 3}, 0, 0);
  add({42, 8, 3}, 0, 0);
  add({42, 7, 4}, 0, 0);
  add({42, 3, 7}, 0, 0);
  add({42 + (std::uint64_t{1} << 32), 7, 3}, 0, 0);
  add({42, 7 + (std::uint64_t{1} << 32), 3}, 0, 0);
  add({42, 7, 3 + (std::uint64_t{1} << 32)}, 0, 0);
  add(stream.child(0), 0, 0);
  add(stream.child(1), 0, 0);
  add(stream.child(0).child(1), 0, 0);
  add(stream.child(1).child(0), 0, 0);
  add(stream, 1, 0);
  add(stream, 0, 1);
  add(stream, std::uint64_t{1} << 32, 0);
  add(stream, 0, std::uint64_t{1} << 32);
  CHECK(seen.size() == 16);
  const random_stream copy = stream;
  CHECK(copy.bits(5, 6).word[3] == stream.bits(5, 6).word[3]);
}

TEST_CASE("neighbouring instances and draws are not correlated") {
  double by_instance = 0, by_draw = 0, by_child = 0;
  const random_stream child = stream.child(1);
  for (std::uint64_t i = 0; i < many; ++i) {
    const double here = stream.uniform<double>(i, 0) - 0.5;
    by_instance += here * (stream.uniform<double>(i + 1, 0) - 0.5);
    by_draw += here * (stream.uniform<double>(i, 1) - 0.5);
    by_child += here * (child.uniform<double>(i, 0) - 0.5);
  }
  for (const double sum : {by_instance, by_draw, by_child})
    CHECK(std::abs(12 * sum / many) < 4 / std::sqrt(1.0 * many));
}
