#pragma once

#include <milkit/nn/dropout.hpp>

#include <support/floats.hpp>
#include <support/golden.hpp>
#include <support/layer_check.hpp>
#include <support/unoptimised.hpp>

MILKIT_UNOPTIMISED_BEGIN

namespace milkit::test::dropout_cases {

TEST_CASE("dropout keeps the contract of a layer, on rows and images") {
  layer_check(nn::dropout{0.25}, shape<2>{33, 7}).all();
  layer_check(nn::dropout{0}, shape<2>{3, 5}).all();
  layer_check(nn::dropout{0.9}, shape<4>{3, 2, 3, 5}).all();
  layer_check inference(nn::dropout{0.5}, shape<2>{9, 5});
  inference.how.training = false;
  inference.all();
}

TEST_CASE("dropout is the identity in inference, and scales what it keeps in training") {
  backend_type backend = make_backend(1);
  const auto x = normals<double>(shape<2>{64, 33}, 1);
  const nn::dropout layer{0.75};
  const auto run = [&](const pass& how) {
    return run_layer<double>(backend, layer, tensor<double, 1>(), x.view(), x.view(), how);
  };
  CHECK(same_bits(run({.training = false}).output, x));
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

TEST_CASE_TEMPLATE("apply_mask agrees with the golden tensors", T, MILKIT_FLOATS) {
  backend_type backend = make_backend();
  const golden_case golden("core_dropout");
  const auto x = golden.get<T, 2>("x"), dy = golden.get<T, 2>("grad_output");
  const auto stored = golden.file().read<std::int64_t>("mask").values;
  tensor<std::uint8_t, 2> mask(x.shape());
  for (std::int64_t i = 0; i < mask.size(); ++i) mask.data()[i] = stored[static_cast<std::size_t>(i)] != 0;
  const auto kept = put(mask);
  const auto apply = [&](const tensor<T, 2>& values) {
    const auto in = put(values);
    resident<T, 2> out(values.shape());
    ops::apply_mask(backend, in.view(), kept.view(), golden.option<double>("p"), out.view());
    return fetch(out);
  };
  CHECK(golden.error("output", apply(x)) <= golden_tolerance<T>);
  CHECK(golden.error("grad.x", apply(dy)) <= golden_tolerance<T>);
}

}  // namespace milkit::test::dropout_cases

MILKIT_UNOPTIMISED_END
