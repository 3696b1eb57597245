#pragma once

#include <milkit/nn/avg_pool2d.hpp>

#include <support/floats.hpp>
#include <support/images.hpp>
#include <support/layer_check.hpp>
#include <support/unoptimised.hpp>

MILKIT_UNOPTIMISED_BEGIN

namespace milkit::test::avg_pool2d_cases {

TEST_CASE("avg_pool2d keeps the contract of a layer") {
  layer_check(nn::avg_pool2d{}, shape<4>{5, 2, 6, 7}).all();
  layer_check(nn::avg_pool2d{.kernel = 3, .stride = 2, .padding = 1}, shape<4>{3, 2, 7, 8}).all();
  layer_check(nn::avg_pool2d{.kernel = 2, .stride = 1, .padding = 0}, shape<4>{2, 3, 5, 4}).all();
}

TEST_CASE_TEMPLATE("avg_pool2d as a layer: values and gradient", T, MILKIT_FLOATS) {
  backend_type backend = make_backend();
  const nn::avg_pool2d layer{.kernel = 3, .stride = 2, .padding = 1};
  for (const std::int64_t images : {1, 3, 33}) {
    const auto x = normals<T>(shape<4>{images, 2, 7, 8}, 1);
    const auto dy = normals<T>(layer.output_shape(x.shape()), 2);
    const auto got = run_layer<T>(backend, layer, tensor<T, 1>(), x.view(), dy.view(), pass{});
    const auto want = reference::avg_pool2d(plain(x), plain(dy), 3, 2, 1);
    CHECK(relative_error(got.output, want.y.values) <= (sizeof(T) == 8 ? 1e-14 : 1e-6));
    CHECK(relative_error(got.dinput, want.dx.values) <= (sizeof(T) == 8 ? 1e-14 : 1e-6));
  }
}

}  // namespace milkit::test::avg_pool2d_cases

MILKIT_UNOPTIMISED_END
