#pragma once

#include <milkit/nn/activation.hpp>
#include <milkit/nn/dropout.hpp>
#include <milkit/nn/flatten.hpp>
#include <milkit/nn/identity.hpp>
#include <milkit/nn/linear.hpp>
#include <milkit/nn/parallel.hpp>
#include <milkit/nn/sequential.hpp>

#include <support/layer_check.hpp>
#include <support/unoptimised.hpp>

MILKIT_UNOPTIMISED_BEGIN

namespace milkit::test::parallel_cases {

TEST_CASE("parallel keeps the contract of a layer") {
  layer_check(nn::parallel(nn::linear<5, 3>{}, nn::identity{}, nn::linear<5, 2, false>{}), shape<2>{9, 5}).all();
  layer_check(
      nn::parallel(nn::sequential(nn::linear<4, 3>{}, nn::tanh{}), nn::sequential(nn::gelu{}, nn::dropout{0.5})),
      shape<2>{17, 4})
      .all();
  layer_check(nn::parallel(nn::flatten{}, nn::sequential(nn::flatten{}, nn::linear<12, 2>{})), shape<4>{5, 3, 2, 2})
      .all();
  layer_check(nn::sequential(nn::parallel(nn::linear<4, 3>{}, nn::identity{}), nn::linear<7, 2>{}), shape<2>{5, 4})
      .all();
  layer_check(nn::parallel(nn::tanh{}), shape<2>{5, 4}).all();
}

TEST_CASE("parallel: branches that give images -> their channels one behind the other") {
  layer_check(nn::parallel(nn::tanh{}, nn::identity{}, nn::sequential(nn::gelu{}, nn::dropout{0.5})),
              shape<4>{7, 2, 3, 2})
      .all();
  const nn::parallel both(nn::identity{}, nn::relu{});
  CHECK(both.output_shape(shape<4>{3, 2, 5, 4}) == shape<4>{3, 4, 5, 4});
  backend_type backend = make_backend(1);
  const auto x = normals<double>(shape<4>{2, 3, 2, 2}, 1), dy = normals<double>(shape<4>{2, 6, 2, 2}, 2);
  const auto got = run_layer<double>(backend, both, tensor<double, 1>(), x.view(), dy.view(), pass{});
  for (std::int64_t i = 0; i < 2; ++i)
    for (std::int64_t c = 0; c < 3; ++c)
      for (std::int64_t p = 0; p < 4; ++p) {
        const double value = x.view()(i, c, p / 2, p % 2);
        CHECK(got.output.view()(i, c, p / 2, p % 2) == value);
        CHECK(got.output.view()(i, 3 + c, p / 2, p % 2) == (value > 0 ? value : 0));
        CHECK(got.dinput.view()(i, c, p / 2, p % 2) ==
              dy.view()(i, c, p / 2, p % 2) + (value > 0 ? dy.view()(i, 3 + c, p / 2, p % 2) : 0));
      }
}

TEST_CASE("parallel puts outputs side by side and adds gradients") {
  backend_type backend = make_backend(1);
  const auto x = normals<double>(shape<2>{2, 2}, 1);
  const auto dy = normals<double>(shape<2>{2, 4}, 2);
  const auto got = run_layer<double>(backend, nn::parallel(nn::identity{}, nn::relu{}), tensor<double, 1>(), x.view(),
                                     dy.view(), pass{});
  for (std::int64_t i = 0; i < 2; ++i)
    for (std::int64_t j = 0; j < 2; ++j) {
      const double value = x.view()(i, j);
      CHECK(got.output.view()(i, j) == value);
      CHECK(got.output.view()(i, 2 + j) == (value > 0 ? value : 0));
      CHECK(got.dinput.view()(i, j) == dy.view()(i, j) + (value > 0 ? dy.view()(i, 2 + j) : 0));
    }
}

}  // namespace milkit::test::parallel_cases

MILKIT_UNOPTIMISED_END
