#pragma once

#include <milkit/nn/identity.hpp>

#include <support/layer_check.hpp>
#include <support/unoptimised.hpp>

MILKIT_UNOPTIMISED_BEGIN

namespace milkit::test::identity_cases {

TEST_CASE("identity keeps the contract of a layer, and its input") {
  layer_check(nn::identity{}, shape<2>{9, 5}).all();
  layer_check(nn::identity{}, shape<4>{3, 2, 5, 3}).all();
  static_assert(parameter_count(nn::identity{}) == 0);
  backend_type backend = make_backend();
  const auto x = normals<float>(shape<2>{4, 3}, 1), dy = normals<float>(shape<2>{4, 3}, 2);
  const auto got = run_layer<float>(backend, nn::identity{}, tensor<float, 1>(), x.view(), dy.view(), pass{});
  CHECK(same_bits(got.output, x));
  CHECK(same_bits(got.dinput, dy));
}

}  // namespace milkit::test::identity_cases

MILKIT_UNOPTIMISED_END
