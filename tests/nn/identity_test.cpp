#include <doctest/doctest.h>

#include <milkit/nn/identity.hpp>
#include <milkit/ops/fill_cpu.hpp>

#include <support/layer_check.hpp>

using namespace milkit;

TEST_CASE("identity keeps the contract of a layer, and its input") {
  test::layer_check(nn::identity{}, shape<2>{9, 5}).all();
  test::layer_check(nn::identity{}, shape<4>{3, 2, 5, 3}).all();
  static_assert(parameter_count(nn::identity{}) == 0);
  cpu backend{.threads = 1};
  const auto x = test::normals<float>(shape<2>{4, 3}, 1), dy = test::normals<float>(shape<2>{4, 3}, 2);
  const auto got = test::run_layer<float>(backend, nn::identity{}, tensor<float, 1>(), x.view(), dy.view(), pass{});
  CHECK(test::same_bits(got.output, x));
  CHECK(test::same_bits(got.dinput, dy));
}
