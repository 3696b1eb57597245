#pragma once

#include <milkit/nn/flatten.hpp>

#include <support/layer_check.hpp>
#include <support/unoptimised.hpp>

MILKIT_UNOPTIMISED_BEGIN

namespace milkit::test::flatten_cases {

TEST_CASE("flatten keeps the contract of a layer") {
  layer_check(nn::flatten{}, shape<4>{5, 3, 2, 7}).all();
  layer_check(nn::flatten{}, shape<2>{5, 3}).all();
}

TEST_CASE("flatten keeps the elements in their order") {
  backend_type backend = make_backend();
  const auto x = normals<float>(shape<4>{2, 3, 4, 5}, 1);
  const auto dy = normals<float>(shape<2>{2, 60}, 2);
  const auto got = run_layer<float>(backend, nn::flatten{}, tensor<float, 1>(), x.view(), dy.view(), pass{});
  CHECK(got.output.shape() == shape<2>{2, 60});
  CHECK(same_bits(got.output, x));
  CHECK(same_bits(got.dinput, dy));
}

}  // namespace milkit::test::flatten_cases

MILKIT_UNOPTIMISED_END
