#pragma once

#include <milkit/nn/conv2d_same.hpp>

#include <support/layer_check.hpp>
#include <support/unoptimised.hpp>

MILKIT_UNOPTIMISED_BEGIN

namespace milkit::test::conv2d_same_cases {

TEST_CASE("conv2d_same keeps the contract of a layer") {
  layer_check(nn::conv2d_same<2, 3, 3>{}, shape<4>{3, 2, 5, 4}).all();
  layer_check(nn::conv2d_same<2, 3, 5, false, 2>{}, shape<4>{2, 2, 7, 6}).all();
}

TEST_CASE("conv2d_same is conv2d with half a kernel of zeros around the image") {
  backend_type backend = make_backend();
  const auto x = normals<double>(shape<4>{2, 3, 7, 6}, 1);
  const auto same = [&](const auto& layer, const auto& plain) {
    const auto flat = normals<double>(shape<1>{parameter_stretch(layer)}, 2);
    CHECK(same_bits(layer_output(backend, layer, flat, x, {}), layer_output(backend, plain, flat, x, {})));
  };
  same(nn::conv2d_same<3, 4, 7>{}, nn::conv2d<3, 4, 7>{.padding = {3, 3}});
  same(nn::conv2d_same<3, 4, 3, true, 2>{}, nn::conv2d<3, 4, 3>{.stride = {2, 2}, .padding = {1, 1}});
  same(nn::conv2d_same<3, 4, 3>({2, 3}), nn::conv2d<3, 4, 3>{.stride = {2, 3}, .padding = {1, 1}});
  same(nn::conv2d_same<3, 4, 1, false>{}, nn::conv2d<3, 4, 1, 1, false>{});
}

}  // namespace milkit::test::conv2d_same_cases

MILKIT_UNOPTIMISED_END
