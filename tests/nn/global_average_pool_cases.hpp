#pragma once

#include <milkit/nn/global_average_pool.hpp>

#include <support/layer_check.hpp>
#include <support/unoptimised.hpp>

MILKIT_UNOPTIMISED_BEGIN

namespace milkit::test::global_average_pool_cases {

TEST_CASE("global_average_pool keeps the contract of a layer") {
  layer_check(nn::global_average_pool{}, shape<4>{5, 2, 6, 7}).all();
  layer_check(nn::global_average_pool{}, shape<4>{2, 3, 1, 1}).all();
}

TEST_CASE_TEMPLATE("global_average_pool: the mean of each channel, and an equal share of its gradient", T, float,
                   double) {
  backend_type backend = make_backend();
  const nn::global_average_pool layer;
  const auto x = normals<T>(shape<4>{3, 5, 33, 31}, 1);
  const auto dy = normals<T>(layer.output_shape(x.shape()), 2);
  const auto got = run_layer<T>(backend, layer, tensor<T, 1>(), x.view(), dy.view(), pass{});
  const auto pixels = elements(x);
  std::vector<double> means, shares;
  for (std::size_t plane = 0; plane < 15; ++plane) {
    double sum = 0;
    for (std::size_t i = 0; i < 33 * 31; ++i) sum += pixels[plane * 33 * 31 + i];
    means.push_back(sum / (33 * 31));
    shares.insert(shares.end(), 33 * 31, static_cast<double>(dy.data()[plane]) / (33 * 31));
  }
  CHECK(relative_error(got.output, means) <= (sizeof(T) == 8 ? 1e-12 : 1e-6));
  CHECK(relative_error(got.dinput, shares) <= (sizeof(T) == 8 ? 1e-14 : 1e-6));
}

}  // namespace milkit::test::global_average_pool_cases

MILKIT_UNOPTIMISED_END
