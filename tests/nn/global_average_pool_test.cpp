#include <doctest/doctest.h>

#include <milkit/nn/global_average_pool.hpp>
#include <milkit/ops/pool2d_cpu.hpp>

#include <support/close.hpp>
#include <support/images.hpp>

using namespace milkit;

TEST_CASE_TEMPLATE("global_average_pool: the mean of each channel, and an equal share of its gradient", T, float,
                   double) {
  cpu backend{.threads = 2};
  using input = view<const T, 4>;
  const nn::global_average_pool layer;
  const auto x = test::normal_tensor<T>(shape<4>{3, 5, 33, 31}, 1);
  const auto dy = test::normal_tensor<T>(layer.output_shape(x.shape()), 2);
  tensor<T, 2> y(dy.shape());
  tensor<T, 4> dx(x.shape());
  nn::global_average_pool::saved<input> kept;
  layer.forward(backend, vector_view<const T>(), input(x.view()), y.view(), kept, {});
  layer.backward(backend, vector_view<const T>(), kept, dy.view(), view<T, 4>(), vector_view<T>(), {});
  layer.backward(backend, vector_view<const T>(), kept, dy.view(), dx.view(), vector_view<T>(), {});
  const auto pixels = test::elements(x);
  std::vector<double> means, shares;
  for (std::size_t plane = 0; plane < 15; ++plane) {
    double sum = 0;
    for (std::size_t i = 0; i < 33 * 31; ++i) sum += pixels[plane * 33 * 31 + i];
    means.push_back(sum / (33 * 31));
    shares.insert(shares.end(), 33 * 31, static_cast<double>(dy.data()[plane]) / (33 * 31));
  }
  CHECK(test::relative_error(y, means) <= (sizeof(T) == 8 ? 1e-12 : 1e-6));
  CHECK(test::relative_error(dx, shares) <= (sizeof(T) == 8 ? 1e-14 : 1e-6));
}

TEST_CASE("global_average_pool takes no images, and none without pixels") {
  cpu backend{.threads = 1};
  const nn::global_average_pool layer;
  CHECK(layer.output_shape({0, 5, 3, 3}) == shape<2>{0, 5});
  const tensor<float, 4> x(shape<4>{2, 3, 0, 4});
  tensor<float, 2> y(shape<2>{2, 3});
  nn::global_average_pool::saved<view<const float, 4>> kept;
  CHECK_THROWS_AS(layer.forward(backend, vector_view<const float>(), x.view(), y.view(), kept, {}), shape_error);
}
