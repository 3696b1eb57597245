#pragma once

#include <milkit/nn/activation.hpp>
#include <milkit/nn/dropout.hpp>
#include <milkit/nn/flatten.hpp>
#include <milkit/nn/identity.hpp>
#include <milkit/nn/linear.hpp>
#include <milkit/nn/sequential.hpp>

#include <support/layer_check.hpp>
#include <support/unoptimised.hpp>

MILKIT_UNOPTIMISED_BEGIN

namespace milkit::test::sequential_cases {

TEST_CASE("sequential keeps the contract of a layer, whatever works in place") {
  using nn::sequential;
  layer_check(sequential(nn::linear<5, 3>{}), shape<2>{9, 5}).all();
  layer_check(sequential(nn::linear<5, 7>{}, nn::tanh{}, nn::linear<7, 2>{}, nn::sigmoid{}), shape<2>{17, 5}).all();
  layer_check(sequential(nn::linear<5, 7>{}, nn::gelu{}, nn::dropout{0.3}, nn::linear<7, 3>{}, nn::dropout{0.3}),
              shape<2>{33, 5})
      .all();
  layer_check(sequential(nn::linear<5, 7>{}, nn::tanh{}, nn::dropout{0.3}, nn::identity{}), shape<2>{9, 5}).all();
  layer_check(sequential(nn::tanh{}, nn::sigmoid{}, nn::gelu{}), shape<2>{9, 5}).all();
  layer_check(sequential(nn::dropout{0.3}), shape<2>{9, 5}).all();
  layer_check(sequential(nn::tanh{}, nn::flatten{}, nn::dropout{0.5}, nn::linear<12, 3>{}, nn::tanh{}),
              shape<4>{5, 3, 2, 2})
      .all();
  layer_check(sequential(nn::flatten{}, nn::flatten{}), shape<4>{5, 3, 2, 2}).all();
  layer_check(sequential(sequential(nn::linear<4, 6>{}, nn::tanh{}), sequential(nn::dropout{0.2}),
                         sequential(nn::linear<6, 2>{}, nn::gelu{})),
              shape<2>{9, 4})
      .all();
}

TEST_CASE("sequential is its layers one after the other") {
  backend_type backend = make_backend(1);
  const nn::linear<5, 3> first;
  const nn::linear<3, 2> second;
  const nn::sequential chain(first, nn::relu{}, second);
  const auto weights = initial_parameters<double>(chain, {.seed = 1});
  tensor<double, 1> flat(weights.flat().shape());
  std::copy_n(weights.flat().data(), flat.size(), flat.data());
  const auto x = normals<double>(shape<2>{4, 5}, 1), dy = normals<double>(shape<2>{4, 2}, 2);
  const auto got = run_layer<double>(backend, chain, flat, x.view(), dy.view(), pass{});
  for (std::int64_t i = 0; i < 4; ++i)
    for (std::int64_t o = 0; o < 2; ++o) {
      double sum = weights["2.bias"](o);
      for (std::int64_t h = 0; h < 3; ++h) {
        double hidden = weights["0.bias"](h);
        for (std::int64_t j = 0; j < 5; ++j) hidden += weights["0.weight"](h * 5 + j) * x.view()(i, j);
        sum += weights["2.weight"](o * 3 + h) * (std::max)(hidden, 0.0);
      }
      CHECK(close(got.output.view()(i, o), sum, {1e-14, 1e-13}));
    }
}

}  // namespace milkit::test::sequential_cases

MILKIT_UNOPTIMISED_END
