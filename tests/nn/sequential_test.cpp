#include <doctest/doctest.h>

#include <milkit/nn/activation.hpp>
#include <milkit/nn/dropout.hpp>
#include <milkit/nn/flatten.hpp>
#include <milkit/nn/identity.hpp>
#include <milkit/nn/linear.hpp>
#include <milkit/nn/sequential.hpp>
#include <milkit/ops/activation_cpu.hpp>
#include <milkit/ops/dropout_cpu.hpp>
#include <milkit/ops/fill_cpu.hpp>
#include <milkit/ops/linear_cpu.hpp>

#include <support/layer_check.hpp>

using namespace milkit;

TEST_CASE("sequential keeps the contract of a layer, whatever works in place") {
  using nn::sequential;
  test::layer_check(sequential(nn::linear<5, 3>{}), shape<2>{9, 5}).all();
  test::layer_check(sequential(nn::linear<5, 7>{}, nn::tanh{}, nn::linear<7, 2>{}, nn::sigmoid{}), shape<2>{17, 5})
      .all();
  test::layer_check(sequential(nn::linear<5, 7>{}, nn::gelu{}, nn::dropout{0.3}, nn::linear<7, 3>{}, nn::dropout{0.3}),
                    shape<2>{33, 5})
      .all();
  test::layer_check(sequential(nn::linear<5, 7>{}, nn::tanh{}, nn::dropout{0.3}, nn::identity{}), shape<2>{9, 5}).all();
  test::layer_check(sequential(nn::tanh{}, nn::sigmoid{}, nn::gelu{}), shape<2>{9, 5}).all();
  test::layer_check(sequential(nn::dropout{0.3}), shape<2>{9, 5}).all();
  test::layer_check(sequential(nn::tanh{}, nn::flatten{}, nn::dropout{0.5}, nn::linear<12, 3>{}, nn::tanh{}),
                    shape<4>{5, 3, 2, 2})
      .all();
  test::layer_check(sequential(nn::flatten{}, nn::flatten{}), shape<4>{5, 3, 2, 2}).all();
  test::layer_check(sequential(sequential(nn::linear<4, 6>{}, nn::tanh{}), sequential(nn::dropout{0.2}),
                               sequential(nn::linear<6, 2>{}, nn::gelu{})),
                    shape<2>{9, 4})
      .all();
}

TEST_CASE("sequential is its layers one after the other") {
  cpu backend{.threads = 1};
  const nn::linear<5, 3> first;
  const nn::linear<3, 2> second;
  const nn::sequential chain(first, nn::relu{}, second);
  const auto weights = initial_parameters<double>(chain, {.seed = 1});
  tensor<double, 1> flat(weights.flat().shape());
  std::copy_n(weights.flat().data(), flat.size(), flat.data());
  const auto x = test::normals<double>(shape<2>{4, 5}, 1), dy = test::normals<double>(shape<2>{4, 2}, 2);
  const auto got = test::run_layer<double>(backend, chain, flat, x.view(), dy.view(), pass{});
  for (std::int64_t i = 0; i < 4; ++i)
    for (std::int64_t o = 0; o < 2; ++o) {
      double sum = weights["2.bias"](o);
      for (std::int64_t h = 0; h < 3; ++h) {
        double hidden = weights["0.bias"](h);
        for (std::int64_t j = 0; j < 5; ++j) hidden += weights["0.weight"](h * 5 + j) * x.view()(i, j);
        sum += weights["2.weight"](o * 3 + h) * (std::max)(hidden, 0.0);
      }
      CHECK(test::close(got.output.view()(i, o), sum, {1e-14, 1e-13}));
    }
}

TEST_CASE("sequential knows its widths, and checks those of run time") {
  using chain = nn::sequential<nn::relu, nn::linear<4, 3>, nn::dropout, nn::linear<3, 2>, nn::identity>;
  static_assert(chain::in_features == any_features && chain::out_features == 2);
  static_assert(chain::row_wise && !chain::in_place);
  static_assert(parameter_count(chain{}) == 4 * 3 + 3 + 3 * 2 + 2);
  CHECK(chain{}.output_shape(shape<2>{7, 4}) == shape<2>{7, 2});
  const nn::sequential wrong(nn::linear<4, dynamic_extent>{.out = {3}}, nn::linear<dynamic_extent, 2>{.in = {5}});
  CHECK_THROWS_WITH_AS(wrong.output_shape(shape<2>{1, 4}), "milkit::nn::linear: features of the input is 3, expected 5",
                       shape_error);
}

TEST_CASE("sequential works in place where it may: memory of what backward needs alone") {
  cpu planner = cpu{.threads = 1}.planner();
  const auto saved_bytes = [&](const auto& chain) {
    using type = std::remove_cvref_t<decltype(chain)>;
    planner.workspace.reset_peak();
    const auto scope = planner.workspace.scope();
    typename type::template saved<matrix_view<const float>> kept{};
    const tensor<float, 1> weights(shape<1>{parameter_stretch(chain)});
    const tensor<float, 2> x(shape<2>{16, 64});
    tensor<float, 2> y(shape<2>{16, 64});
    const std::size_t before = planner.workspace.bytes_in_use();
    chain.forward(planner, weights.view(), matrix_view<const float>(x.view()), y.view(), kept, pass{});
    return planner.workspace.bytes_in_use() - before;
  };
  using linear = nn::linear<64, 64>;
  const std::size_t one = 16 * 64 * sizeof(float);
  CHECK(saved_bytes(nn::sequential(linear{}, nn::relu{})) == 0);              // all in the output
  CHECK(saved_bytes(nn::sequential(linear{}, nn::relu{}, linear{})) == one);  // relu over the product
  CHECK(saved_bytes(nn::sequential(linear{}, nn::relu{}, nn::relu{}, linear{})) ==
        2 * one);                                                                 // the first relu's output is kept
  CHECK(saved_bytes(nn::sequential(linear{}, nn::gelu{}, linear{})) == 2 * one);  // gelu needs its input
}
