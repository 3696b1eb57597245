#include <doctest/doctest.h>

#include <milkit/nn/dropout.hpp>
#include <milkit/ops/dropout_cpu.hpp>
#include <milkit/ops/fill_cpu.hpp>

#include <support/golden.hpp>
#include <support/layer_check.hpp>

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

TEST_CASE("dropout keeps the contract of a layer, on rows and images") {
  test::layer_check(nn::dropout{0.25}, shape<2>{33, 7}).all();
  test::layer_check(nn::dropout{0}, shape<2>{3, 5}).all();
  test::layer_check(nn::dropout{0.9}, shape<4>{3, 2, 3, 5}).all();
  test::layer_check inference(nn::dropout{0.5}, shape<2>{9, 5});
  inference.how.training = false;
  inference.all();
}

TEST_CASE("dropout is the identity in inference, and scales what it keeps in training") {
  cpu backend{.threads = 1};
  const auto x = test::normals<double>(shape<2>{64, 33}, 1);
  const nn::dropout layer{0.75};
  const auto run = [&](const pass& how) {
    return test::run_layer<double>(backend, layer, tensor<double, 1>(), x.view(), x.view(), how);
  };
  CHECK(test::same_bits(run({.training = false}).output, x));
  const auto got = run({.training = true, .random = random_stream(1, 2, 3)});
  std::int64_t kept = 0;
  for (std::int64_t i = 0; i < x.size(); ++i) {
    const double y = got.output.data()[i];
    CHECK((y == 0 || y == 4 * x.data()[i]));
    CHECK(got.dinput.data()[i] == y);  // the upstream gradient was x too
    kept += y != 0;
  }
  CHECK(kept > 64 * 33 / 5);
  CHECK(kept < 64 * 33 / 3);
}

TEST_CASE("dropout masks keep 1 - rate of all entries, each alike") {
  cpu backend{.threads = 2};
  const random_stream stream(17, 0, 0);
  for (const double rate : {0.1, 0.5, 0.9}) {
    const auto mask = mask_of(backend, stream, 0, rate, {4000, 25});
    const double deviation = std::sqrt(rate * (1 - rate));
    CHECK(std::abs(kept_share(mask) - (1 - rate)) < 4 * deviation / std::sqrt(100000.0));
    for (std::int64_t j = 0; j < 25; ++j) {
      double kept = 0, both = 0;
      for (std::int64_t i = 0; i < 4000; ++i)
        kept += mask.view()(i, j), both += mask.view()(i, j) * mask.view()(i, (j + 1) % 25);
      CHECK(std::abs(kept / 4000 - (1 - rate)) < 5 * deviation / std::sqrt(4000.0));
      CHECK(std::abs(both / 4000 - (1 - rate) * (1 - rate)) < 5 * 0.5 / std::sqrt(4000.0));
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

TEST_CASE_TEMPLATE("apply_mask agrees with the golden tensors", T, float, double) {
  cpu backend{.threads = 2};
  const test::golden_case golden("core_dropout");
  const auto x = golden.get<T, 2>("x"), dy = golden.get<T, 2>("grad_output");
  const auto stored = golden.file().read<std::int64_t>("mask").values;
  tensor<std::uint8_t, 2> mask(x.shape());
  for (std::int64_t i = 0; i < mask.size(); ++i) mask.data()[i] = stored[static_cast<std::size_t>(i)] != 0;
  tensor<T, 2> y(x.shape()), dx(x.shape());
  const auto p = golden.option<double>("p");
  ops::apply_mask(backend, x.view(), mask.view(), p, y.view());
  ops::apply_mask(backend, dy.view(), mask.view(), p, dx.view());
  CHECK(golden.error("output", y) <= test::golden_tolerance<T>);
  CHECK(golden.error("grad.x", dx) <= test::golden_tolerance<T>);
}
