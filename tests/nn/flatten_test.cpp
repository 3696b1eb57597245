#include <doctest/doctest.h>

#include <milkit/nn/flatten.hpp>
#include <milkit/ops/fill_cpu.hpp>

#include <support/layer_check.hpp>

using namespace milkit;

TEST_CASE("flatten keeps the contract of a layer") {
  test::layer_check(nn::flatten{}, shape<4>{5, 3, 2, 7}).all();
  test::layer_check(nn::flatten{}, shape<2>{5, 3}).all();
}

TEST_CASE("flatten keeps the elements in their order") {
  cpu backend{.threads = 1};
  const auto x = test::normals<float>(shape<4>{2, 3, 4, 5}, 1);
  const auto dy = test::normals<float>(shape<2>{2, 60}, 2);
  const auto got = test::run_layer<float>(backend, nn::flatten{}, tensor<float, 1>(), x.view(), dy.view(), pass{});
  CHECK(got.output.shape() == shape<2>{2, 60});
  CHECK(test::same_bits(got.output, x));
  CHECK(test::same_bits(got.dinput, dy));
}
