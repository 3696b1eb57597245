#include <milkit/ops/bags/gate_cpu.hpp>
#include <milkit/ops/bags/segment_pool_cpu.hpp>
#include <milkit/ops/products/linear_cpu.hpp>
#include <milkit/ops/products/matmul_cpu.hpp>
#include <milkit/ops/rows/dropout_cpu.hpp>
#include <milkit/ops/rows/fill_cpu.hpp>

#include "attention_cases.hpp"

using namespace milkit;

TEST_CASE("softmax pooling: logits of -infinity have no mass, wherever the chunks begin") {
  constexpr double none = -std::numeric_limits<double>::infinity();
  cpu backend{.threads = 1};
  const auto h = test::normals<double>(shape<2>{6, 3}, 1);
  const std::vector<std::int64_t> offsets = {0, 4, 6};
  const vector_view<const std::int64_t> bounds(offsets.data(), {3});
  std::vector<double> z = {none, none, 0.5, 1.5, none, none};
  const matrix_view<const double> logits(z.data(), {6, 1});
  for (const std::int64_t cut : {1, 2, 3, 5}) {
    tensor<double, 2> states({2, 5}), embedding({2, 3}), attention({6, 1});
    for (const row_range rows : {row_range{0, cut}, row_range{cut, 6 - cut}}) {
      const row_range bags =
          rows.first == 0 ? row_range{0, cut > 4 ? 2 : 1} : row_range{cut < 4 ? 0 : 1, cut < 4 ? 2 : 1};
      tensor<double, 2> part({bags.count, 5});
      const auto own_h = h.view().rows(rows.first, rows.count);
      ops::softmax_pool(backend, {rows, bags, bounds}, own_h, logits.rows(rows.first, rows.count), part.view());
      ops::softmax_pool_merge(backend, part.view(), states.view().rows(bags.first, bags.count));
    }
    ops::softmax_pool_finish(backend, states.view(), embedding.view());
    ops::softmax_weights(backend, {{0, 6}, {0, 2}, bounds}, logits, states.view(), attention.view());
    const auto want = reference::softmax_of({0.5, 1.5});
    CHECK(test::relative_error(attention.view().rows(0, 4), std::vector<double>{0, 0, want[0], want[1]}) <= 1e-15);
    CHECK(test::relative_error(
              embedding.view().rows(0, 1),
              reference::weighted_sum({4, 3, test::elements(h.view().rows(0, 4))}, {0, 0, want[0], want[1]})) <= 1e-14);
    for (const double each : test::elements(embedding.view().rows(1, 1))) CHECK(std::isnan(each));
    for (const double each : test::elements(attention.view().rows(4, 2))) CHECK(std::isnan(each));
  }
}
