#include <milkit/ops/products/linear_cpu.hpp>
#include <milkit/ops/rows/activation_cpu.hpp>
#include <milkit/ops/rows/dropout_cpu.hpp>
#include <milkit/ops/rows/fill_cpu.hpp>

#include <milkit/nn/max_pool2d.hpp>

#include "parallel_cases.hpp"

using namespace milkit;

TEST_CASE("parallel knows its widths and names its branches") {
  using both = nn::parallel<nn::linear<4, 3>, nn::identity, nn::linear<4, 2>>;
  static_assert(both::in_features == 4 && both::out_features == 9);
  static_assert(nn::parallel<nn::relu, nn::linear<dynamic_extent, 2>>::in_features == dynamic_extent);
  static_assert(nn::parallel<nn::relu, nn::relu>::out_features == dynamic_extent);
  static_assert(parameter_count(both{}) == 4 * 3 + 3 + 4 * 2 + 2);
  const auto entries = parameter_entries(both{});
  REQUIRE(entries.size() == 4);
  CHECK(entries[0].name == "0.weight");
  CHECK(entries[2].name == "2.weight");
  CHECK(entries[2].offset == 16);
  CHECK_THROWS_AS(both{}.output_shape(shape<2>{1, 5}), shape_error);
}

TEST_CASE("parallel: branches that give images of two sizes -> shape_error") {
  CHECK_THROWS_WITH_AS(nn::parallel(nn::relu{}, nn::max_pool2d{}).output_shape(shape<4>{1, 3, 8, 8}),
                       "milkit::nn::parallel: of [1, 3, 8, 8] branch 0 makes [1, 3, 8, 8], but branch 1 [1, 3, 4, 4]; "
                       "expected images of one size",
                       shape_error);
}
