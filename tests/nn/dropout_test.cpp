#include <milkit/ops/rows/dropout_cpu.hpp>
#include <milkit/ops/rows/fill_cpu.hpp>

#include <support/chance.hpp>

#include "dropout_cases.hpp"

using namespace milkit;

namespace {

tensor<std::uint8_t, 2> mask_of(cpu& backend, random_stream stream, std::int64_t first_row, double rate,
                                shape<2> extents) {
  tensor<std::uint8_t, 2> mask(extents);
  ops::dropout_mask(backend, stream, first_row, rate, mask.view());
  return mask;
}

double kept_share(const tensor<std::uint8_t, 2>& mask) {
  double kept = 0;
  for (const double each : test::elements(mask)) kept += each;
  return kept / static_cast<double>(mask.size());
}

}  // namespace

TEST_CASE("dropout masks keep 1 - rate of all entries, each alike") {
  cpu backend{.threads = 2};
  const random_stream stream(17, 0, 0);
  for (const double rate : {0.1, 0.5, 0.9}) {
    const auto mask = mask_of(backend, stream, 0, rate, {4000, 25});
    const double keep = 1 - rate, both_keep = keep * keep;
    CHECK(std::abs(kept_share(mask) - keep) <= test::most_error(100000, keep * rate, 1));
    for (std::int64_t j = 0; j < 25; ++j) {
      double kept = 0, both = 0;
      for (std::int64_t i = 0; i < 4000; ++i)
        kept += mask.view()(i, j), both += mask.view()(i, j) * mask.view()(i, (j + 1) % 25);
      CHECK(std::abs(kept / 4000 - keep) <= test::most_error(4000, keep * rate, 1, 25));
      CHECK(std::abs(both / 4000 - both_keep) <= test::most_error(4000, both_keep * (1 - both_keep), 1, 25));
    }
  }
  CHECK(kept_share(mask_of(backend, stream, 0, 0, {100, 7})) == 1);
}

TEST_CASE("a dropout mask belongs to the instance, the stream and the rate alone") {
  cpu one{.threads = 1}, three{.threads = 3};
  const random_stream stream(5, 1, 2);
  const auto whole = mask_of(one, stream, 0, 0.3, {101, 33});
  CHECK(test::same_bits(mask_of(three, stream, 0, 0.3, {101, 33}), whole));
  for (const std::int64_t first : {1, 17, 100}) {
    const auto part = mask_of(one, stream, first, 0.3, {101 - first, 33});
    CHECK(test::same_bits(part, whole.view().rows(first, 101 - first)));
  }
  CHECK_FALSE(test::same_bits(mask_of(one, stream.child(1), 0, 0.3, {101, 33}), whole));
  CHECK_FALSE(test::same_bits(mask_of(one, random_stream(5, 2, 2), 0, 0.3, {101, 33}), whole));
  CHECK_FALSE(test::same_bits(mask_of(one, random_stream(6, 1, 2), 0, 0.3, {101, 33}), whole));
}

TEST_CASE("dropout refuses a rate outside [0, 1)") {
  cpu backend{.threads = 1};
  for (const double rate : {1.0, -0.1, 1.5, std::nan("")})
    CHECK_THROWS_AS(mask_of(backend, {}, 0, rate, {1, 1}), value_error);
  CHECK_THROWS_WITH_AS(mask_of(backend, {}, 0, 1, {1, 1}),
                       "milkit::ops::dropout_mask: the rate is 1, expected 0 <= rate < 1", value_error);
  test::layer_check wrong(nn::dropout{1.5}, shape<2>{2, 2});
  CHECK_THROWS_AS(wrong.gradients(), value_error);
}
