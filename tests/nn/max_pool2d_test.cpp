#include <doctest/doctest.h>

#include <milkit/nn/max_pool2d.hpp>
#include <milkit/ops/pool2d_cpu.hpp>

#include <support/close.hpp>
#include <support/images.hpp>

using namespace milkit;

TEST_CASE_TEMPLATE("max_pool2d as a layer: values, gradient, and none where it is not wanted", T, float, double) {
  cpu backend{.threads = 2};
  using input = view<const T, 4>;
  const nn::max_pool2d layer{.kernel = 3, .stride = 2, .padding = 1};
  const auto x = test::normal_tensor<T>(shape<4>{3, 2, 7, 8}, 1);
  const auto dy = test::normal_tensor<T>(layer.output_shape(x.shape()), 2);
  tensor<T, 4> y(dy.shape()), dx(x.shape());
  const auto scope = backend.workspace.scope();
  nn::max_pool2d::saved<input> kept;
  layer.forward(backend, vector_view<const T>(), input(x.view()), y.view(), kept, {});
  layer.backward(backend, vector_view<const T>(), kept, dy.view(), view<T, 4>(), vector_view<T>(), {});
  layer.backward(backend, vector_view<const T>(), kept, dy.view(), dx.view(), vector_view<T>(), {});
  const auto want = reference::max_pool2d(test::plain(x), test::plain(dy), 3, 2, 1);
  CHECK(test::relative_error(y, want.y.values) <= (sizeof(T) == 8 ? 1e-14 : 1e-6));
  CHECK(test::relative_error(dx, want.dx.values) <= (sizeof(T) == 8 ? 1e-14 : 1e-6));
}

TEST_CASE("max_pool2d halves by default, leaves the odd rest out, and refuses images without a window") {
  CHECK(nn::max_pool2d{}.output_shape({0, 5, 25, 24}) == shape<4>{0, 5, 12, 12});
  CHECK_THROWS_AS((nn::max_pool2d{}.output_shape({1, 5, 1, 24})), shape_error);
  CHECK_THROWS_AS((nn::max_pool2d{.kernel = 3, .padding = 2}.output_shape({1, 5, 9, 9})), value_error);
}
