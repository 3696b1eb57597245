// With Eigen 5's headers before all others: every header compiles, without a warning; and what uses the inside of Eigen, which no
// version promises (packets in convolutions, blocks in products), gives what plain loops give.
#include <doctest/doctest.h>

#include <milkit/milkit.hpp>

#include <reference/matmul.hpp>
#include <support/close.hpp>
#include <support/floats.hpp>
#include <support/images.hpp>

static_assert(EIGEN_MAJOR_VERSION >= 5, "the headers are not Eigen 5's");

using namespace milkit;
using test::relative_error;

TEST_CASE("Eigen 5: convolutions along rows and channels -> what plain loops give") {
  struct geometry {
    shape<4> x, weight;
    int stride, padding;
  };
  cpu backend{.threads = 2};
  for (const geometry& g : {geometry{{2, 3, 27, 27}, {36, 3, 4, 4}, 1, 0},
                            {{2, 32, 27, 27}, {32, 32, 3, 3}, 1, 1},
                            {{1, 3, 63, 95}, {8, 3, 7, 7}, 2, 3},
                            {{1, 70, 16, 16}, {13, 70, 3, 3}, 1, 1},
                            {{2, 5, 31, 64}, {6, 5, 1, 1}, 2, 0}}) {
    const std::string example = to_string(g.weight);
    CAPTURE(example);
    const ops::conv2d_options options{.stride = {g.stride, g.stride}, .padding = {g.padding, g.padding}};
    const auto x = test::normals<float>(g.x, 1), weight = test::normals<float>(g.weight, 2);
    const auto bias = test::normals<float>(shape<1>{g.weight[0]}, 3);
    const auto dy = test::normals<float>(ops::conv2d_shape(g.x, g.weight, options), 4);
    tensor<float, 4> y(dy.shape()), dx(g.x), dweight(g.weight);
    tensor<float, 1> dbias(bias.shape());
    ops::conv2d(backend, x.view(), weight.view(), bias.view(), y.view(), options);
    ops::conv2d_backward(backend, x.view(), weight.view(), dy.view(), dx.view(), dweight.view(), dbias.view(), options);

    const reference::steps steps{g.stride, g.stride, g.padding, g.padding};
    const auto px = test::plain(x), pw = test::plain(weight);
    CHECK(relative_error(y, reference::conv2d(px, pw, test::elements(bias), steps).values) <= 1e-5);
    const auto want = reference::conv2d_backward(px, pw, test::plain(dy), steps);
    CHECK(relative_error(dx, want.x.values) <= 1e-5);
    CHECK(relative_error(dweight, want.weight.values) <= 1e-5);
    CHECK(relative_error(dbias, want.bias) <= 1e-5);
  }
}

TEST_CASE_TEMPLATE("Eigen 5: products, transposed or not -> what plain loops give", T, MILKIT_FLOATS) {
  cpu backend{.threads = 2};
  const std::int64_t m = 257, n = 33, k = 301;
  for (const bool transpose_a : {false, true})
    for (const bool transpose_b : {false, true}) {
      const auto a = test::normals<T>(transpose_a ? shape<2>{k, m} : shape<2>{m, k}, 1);
      const auto b = test::normals<T>(transpose_b ? shape<2>{n, k} : shape<2>{k, n}, 2);
      tensor<T, 2> c(shape<2>{m, n});
      ops::matmul(backend, a.view(), b.view(), c.view(), {.transpose_a = transpose_a, .transpose_b = transpose_b});
      const auto want = reference::matmul(test::elements(a), test::elements(b), test::elements(c), m, n, k, transpose_a,
                                          transpose_b, 0);
      CHECK(relative_error(c, want) <= (sizeof(T) == 8 ? 1e-13 : 2e-6));
    }
}
