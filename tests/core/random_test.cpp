#include <doctest/doctest.h>

#include <set>
#include <vector>

#include <milkit/core/random.hpp>

#include <support/chance.hpp>
#include <support/close.hpp>
#include <support/floats.hpp>

using namespace milkit;

namespace {

constexpr std::int64_t many = 200000;
constexpr random_stream stream(42, 7, 3);

/// Whether draw(i) falls as often into each of 64 parts of the same probability as into every other, and has this mean, this
/// variance and this mean of the fourth power of its distance to the mean.
template <class Draw, class Distribution>
void check_law(Draw&& draw, Distribution&& below, double mean, double variance, double fourth) {
  std::vector<double> parts(64);
  double first = 0, second = 0;
  for (std::uint64_t i = 0; i < many; ++i) {
    const auto value = static_cast<double>(draw(i));
    if (!std::isfinite(value)) FAIL("not finite: " << i);
    ++parts[static_cast<std::size_t>((std::min)(63.0, 64 * below(value)))];
    first += (value - mean) / many;
    second += (value - mean) * (value - mean) / many;
  }
  CHECK(test::as_often_as(std::vector<double>(64, 1 / 64.0), parts, many));
  CHECK(std::abs(first) <= test::most_standard_errors() * std::sqrt(variance / many));
  CHECK(std::abs(second - variance) <= test::most_standard_errors() * std::sqrt((fourth - variance * variance) / many));
}

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

TEST_CASE_TEMPLATE("uniform numbers have the law of their name", T, MILKIT_FLOATS) {
  check_law([](std::uint64_t i) { return stream.uniform<T>(i, 0); }, [](double x) { return x; }, 0.5, 1 / 12.0,
            1 / 80.0);
}

TEST_CASE_TEMPLATE("normal numbers have the law of their name and are finite", T, MILKIT_FLOATS) {
  check_law([](std::uint64_t i) { return stream.normal<T>(i, 1); },
            [](double x) { return std::erfc(-x / std::sqrt(2.0)) / 2; }, 0, 1, 3);
}

TEST_CASE_TEMPLATE("Gumbel numbers have the law of their name and choose as softmax says", T, MILKIT_FLOATS) {
  const double variance = 1.6449340668482264;
  check_law([](std::uint64_t i) { return stream.gumbel<T>(i, 2); }, [](double x) { return std::exp(-std::exp(-x)); },
            0.57721566490153286, variance, 5.4 * variance * variance);
  const double logits[] = {0, 1, -1};
  std::vector<double> wins(3), law;
  for (std::uint64_t i = 0; i < many; ++i) {
    std::size_t best = 0;
    double score = -HUGE_VAL;
    for (std::size_t c = 0; c < 3; ++c)
      if (const double z = logits[c] + static_cast<double>(stream.gumbel<T>(i, c)); z > score) score = z, best = c;
    ++wins[best];
  }
  const double mass = 1 + std::exp(1.0) + std::exp(-1.0);
  for (const double each : logits) law.push_back(std::exp(each) / mass);
  CHECK(test::as_often_as(law, wins, many));
}

TEST_CASE("below: any bound -> every number equally often, never the bound") {
  for (const std::uint64_t bound : {1u, 2u, 3u, 7u, 64u, 1000u}) {
    std::vector<double> counts(bound);
    for (std::uint64_t i = 0; i < many; ++i) {
      const std::uint64_t value = stream.below(bound, i, 5);
      if (value >= bound) FAIL("not below the bound: " << value);
      ++counts[value];
    }
    CHECK(test::as_often_as(std::vector<double>(bound, 1 / static_cast<double>(bound)), counts, many));
  }
  const std::uint64_t huge = (std::uint64_t{1} << 63) + 1;  // nearly half of all draws are taken again
  double mean = 0;
  for (std::uint64_t i = 0; i < 20000; ++i) {
    const std::uint64_t value = stream.below(huge, i, 0);
    REQUIRE(value < huge);
    mean += static_cast<double>(value) / static_cast<double>(huge) / 20000;
  }
  CHECK(std::abs(mean - 0.5) <= test::most_error(20000, 1 / 12.0, 0.5));
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
    CHECK(std::abs(sum / many) <= test::most_error(many, 1 / 144.0, 0.25));
}
