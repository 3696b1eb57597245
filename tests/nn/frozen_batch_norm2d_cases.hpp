#pragma once

#include <milkit/nn/batch_norm2d.hpp>
#include <milkit/nn/frozen_batch_norm2d.hpp>

#include <support/layer_check.hpp>
#include <support/unoptimised.hpp>

MILKIT_UNOPTIMISED_BEGIN

namespace milkit::test::frozen_batch_norm2d_cases {

TEST_CASE("frozen_batch_norm2d: any use -> the contract of a layer, row by row") {
  layer_check(nn::frozen_batch_norm2d<2>{}, shape<4>{3, 2, 3, 4}).all();
  layer_check(nn::frozen_batch_norm2d<3>{.eps = 0.1, .rate = 0}, shape<4>{5, 3, 1, 1}).all();
  layer_check(nn::frozen_batch_norm2d<dynamic_extent>{.channels = {2}}, shape<4>{2, 2, 3, 2}).all();
}

TEST_CASE("frozen_batch_norm2d: weights of batch_norm2d -> the same bits as that one frozen") {
  const shape<4> size{3, 2, 5, 3};
  const nn::batch_norm2d<2> frozen{.frozen = true};
  REQUIRE(parameter_stretch(frozen) == parameter_stretch(nn::frozen_batch_norm2d<2>{}));
  auto weights = normals<double>(shape<1>{parameter_stretch(frozen)}, 3);
  for (const std::int64_t c : {6, 7}) weights.data()[c] = 0.5 + weights.data()[c] * weights.data()[c];
  const auto x = normals<double>(size, 1), dy = normals<double>(size, 2);
  backend_type backend = make_backend();
  const auto run = [&](const auto& layer) {
    return run_layer<double>(backend, layer, weights, x.view(), dy.view(), pass{.training = true});
  };
  const auto want = run(frozen), got = run(nn::frozen_batch_norm2d<2>{}),
             still = run(nn::frozen_batch_norm2d<2>{.rate = 0});
  CHECK(same_bits(got.output, want.output));
  CHECK(same_bits(got.dinput, want.dinput));
  CHECK(same_bits(got.gradient, want.gradient));
  CHECK(same_bits(still.dinput, want.dinput));
  for (const double each : elements(still.gradient)) CHECK(each == 0);
  CHECK(parameter_count(nn::frozen_batch_norm2d<2>{}) == 4);
  CHECK(parameter_count(nn::frozen_batch_norm2d<2>{.rate = 0}) == 0);
}

}  // namespace milkit::test::frozen_batch_norm2d_cases

MILKIT_UNOPTIMISED_END
