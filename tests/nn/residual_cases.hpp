#pragma once

#include <milkit/nn/activation.hpp>
#include <milkit/nn/dropout.hpp>
#include <milkit/nn/identity.hpp>
#include <milkit/nn/layer_norm.hpp>
#include <milkit/nn/linear.hpp>
#include <milkit/nn/residual.hpp>
#include <milkit/nn/sequential.hpp>

#include <support/layer_check.hpp>
#include <support/unoptimised.hpp>

MILKIT_UNOPTIMISED_BEGIN

namespace milkit::test::residual_cases {

TEST_CASE("residual keeps the contract of a layer") {
  layer_check(nn::residual(nn::linear<5, 5>{}), shape<2>{9, 5}).all();
  layer_check(nn::residual(nn::tanh{}), shape<2>{31, 3}).all();  // keeps its output
  layer_check(nn::residual(nn::sigmoid{}), shape<4>{3, 2, 3, 5}).all();
  layer_check(nn::residual(nn::sequential(nn::layer_norm<7>{}, nn::linear<7, 3>{}, nn::gelu{}, nn::dropout{0.25},
                                                nn::linear<3, 7>{})),
                    shape<2>{17, 7})
      .all();
  layer_check(
      nn::sequential(nn::linear<4, 6>{}, nn::residual(nn::sequential(nn::linear<6, 6>{}, nn::tanh{})), nn::relu{}),
      shape<2>{9, 4})
      .all();
}

TEST_CASE("residual adds its input to what the layer gives") {
  backend_type backend = make_backend(1);
  const auto x = normals<double>(shape<2>{4, 3}, 1);
  const auto got =
      run_layer<double>(backend, nn::residual(nn::identity{}), tensor<double, 1>(), x.view(), x.view(), pass{});
  for (std::int64_t i = 0; i < x.size(); ++i) {
    CHECK(got.output.data()[i] == 2 * x.data()[i]);
    CHECK(got.dinput.data()[i] == 2 * x.data()[i]);
  }
}

}  // namespace milkit::test::residual_cases

MILKIT_UNOPTIMISED_END
