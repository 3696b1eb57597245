#include <milkit/ops/images/batch_norm2d_cpu.hpp>
#include <milkit/ops/images/conv2d_cpu.hpp>
#include <milkit/ops/images/pool2d_cpu.hpp>
#include <milkit/ops/rows/activation_cpu.hpp>
#include <milkit/ops/rows/fill_cpu.hpp>
#include <milkit/ops/rows/l2_normalise_cpu.hpp>
#include <milkit/ops/rows/softmax_cpu.hpp>

#include "zoom_in_parts_cases.hpp"

using namespace milkit;

TEST_CASE("zoom-in: the networks have as many parameters as the paper and its code") {
  CHECK(parameter_count(models::lenet_features<>{}) == 32480);
  CHECK(parameter_count(models::official_features<>{}) == 45984);
  CHECK(parameter_count(models::conv_attention_logits<>{}) == 881);
  CHECK(parameter_count(models::wide_attention_logits<>{}) == 6321);
  // stem, 8 convolutions, 3 projections, 9 batch norms
  CHECK(parameter_count(models::residual_features<>{}) == 27 * 32 + 8 * 9 * 32 * 32 + 3 * 32 * 32 + 9 * 64);
  CHECK(parameter_count(models::official_residual_features<>{}) == 27 * 48 + 6 * 9 * 48 * 48 + 2 * 48 * 48 + 7 * 96);
}

TEST_CASE("zoom-in: shapes of maps, logits and features") {
  CHECK(models::conv_attention_logits<>{}.output_shape(shape<4>{4, 3, 25, 20}) == shape<4>{4, 1, 25, 20});
  CHECK(models::tile_attention<>{}.output_shape(shape<4>{4, 3, 25, 20}) == shape<2>{4, 1});
  CHECK(models::cell_attention<>{}.output_shape(shape<4>{4, 3, 25, 20}) == shape<2>{4, 500});
  CHECK(models::residual_features<>{}.output_shape(shape<4>{7, 3, 27, 27}) == shape<2>{7, 32});
  CHECK(models::official_residual_features<>{}.output_shape(shape<4>{0, 3, 1, 1}) == shape<2>{0, 48});
  CHECK_THROWS_AS(models::official_features<>{}.output_shape(shape<4>{7, 3, 3, 3}), shape_error);
}
