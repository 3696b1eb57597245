#include <stdexcept>

#include <milkit/ops/bags/gate_cpu.hpp>
#include <milkit/ops/bags/segment_pool_cpu.hpp>
#include <milkit/ops/images/conv2d_cpu.hpp>
#include <milkit/ops/products/linear_cpu.hpp>
#include <milkit/ops/products/matmul_cpu.hpp>
#include <milkit/ops/rows/activation_cpu.hpp>
#include <milkit/ops/rows/dropout_cpu.hpp>
#include <milkit/ops/rows/fill_cpu.hpp>
#include <milkit/pooling/max.hpp>

#include "bag_embedding_cases.hpp"

using namespace milkit;
using namespace milkit::test::bag_embedding_cases;

namespace {

/// Instances that are made as they are read; the `fails_at`-th row cannot be.
struct made_source {
  using value_type = float;
  static constexpr int rank = 2;
  const tensor<float, 2>* rows;
  std::int64_t fails_at = -1;

  milkit::shape<2> shape() const { return rows->shape(); }
  matrix_view<const float> read(cpu& backend, row_range range) const {
    const auto chunk = backend.kept_memory().allocate<float>(milkit::shape<2>{range.count, rows->extent(1)});
    if (backend.workspace.planning()) return chunk;
    if (fails_at >= range.first && fails_at < range.first + range.count)
      throw io_error(message("row ", fails_at, " cannot be read"));
    std::copy_n(rows->view().row(range.first), chunk.size(), chunk.data());
    return chunk;
  }
};

}  // namespace

TEST_CASE("bag_embedding: instances that are read as they are needed") {
  const auto weights = initial_parameters<float>(make(), {.seed = 1});
  const auto x = test::normals<float>(shape<2>{150, 9}, 5);
  const auto dembedding = test::normals<float>(shape<2>{4, 7}, 6);
  cpu one{.threads = 1};
  const auto want = run(one, make(16), weights, x, offsets, dembedding, training);
  for (const std::size_t saved_bytes : {std::size_t{0}, std::size_t{20000}, std::size_t{1} << 30}) {
    cpu backend{.threads = 2};
    const auto got = run(backend, make(16, saved_bytes), weights, made_source{&x}, offsets, dembedding, training);
    CHECK(test::same_bits(got.embedding, want.embedding));
    CHECK(test::same_bits(got.gradient, want.gradient));
  }
}

TEST_CASE("bag_embedding: after a source that failed the backend works on") {
  const auto weights = initial_parameters<float>(make(), {.seed = 1});
  const auto x = test::normals<float>(shape<2>{150, 9}, 5);
  const auto dembedding = test::normals<float>(shape<2>{4, 7}, 6);
  for (const int threads : {1, 2})
    for (const std::size_t saved_bytes : {std::size_t{0}, std::size_t{20000}, std::size_t{1} << 30}) {
      cpu fresh{.threads = threads}, backend{.threads = threads};
      const auto want = run(fresh, make(16, 0), weights, made_source{&x}, offsets, dembedding, training);
      CHECK_THROWS_WITH_AS(
          run(backend, make(16, saved_bytes), weights, made_source{&x, 70}, offsets, dembedding, training),
          "row 70 cannot be read", io_error);
      CHECK(backend.workspace.bytes_in_use() == 0);
      for (const auto& worker : backend.workers) {
        CHECK(worker->workspace.bytes_in_use() == 0);
        CHECK(worker->store == nullptr);
      }
      const auto got = run(backend, make(16, 0), weights, made_source{&x}, offsets, dembedding, training);
      CHECK(test::same_bits(got.gradient, want.gradient));
    }
}

TEST_CASE("bag_embedding refuses empty bags and offsets that do not fit") {
  const test::pooling_of<pooling::max> net;
  const parameters<test::pooling_of<pooling::max>, float> weights(net);
  const auto x = test::normals<float>(shape<2>{5, 3}, 1);
  cpu backend{.threads = 1};
  const auto with = [&](const std::vector<std::int64_t>& bounds) {
    return run(backend, net, weights, x, bounds, tensor<float, 2>({static_cast<std::int64_t>(bounds.size()) - 1, 3}),
               pass{});
  };
  CHECK_NOTHROW(with({0, 5}));
  CHECK_THROWS_WITH_AS(with({0, 2, 2, 5}),
                       "milkit::pooling::bag_embedding: bag 1 of 3 is empty, expected at least one instance",
                       value_error);
  CHECK_THROWS_WITH_AS(with({0}),
                       "milkit::pooling::bag_embedding: there is no bag; offsets has 1 entries, expected at least 2",
                       value_error);
  CHECK_THROWS_WITH_AS(with({1, 5}), "milkit::pooling::bag_embedding: offsets[0] is 1, expected 0", shape_error);
  CHECK_THROWS_WITH_AS(with({0, 3, 2, 5}),
                       "milkit::pooling::bag_embedding: offsets[2] is 2, expected more than offsets[1] = 3",
                       shape_error);
  CHECK_THROWS_WITH_AS(with({0, 4}), "milkit::pooling::bag_embedding: offsets end at 4, but there are 5 instances",
                       shape_error);
  const tensor<float, 2> none({0, 3});
  CHECK_THROWS_WITH_AS(run(backend, net, weights, none, {0, 0}, tensor<float, 2>({1, 3}), pass{}),
                       "milkit::pooling::bag_embedding: bag 0 of 1 is empty, expected at least one instance",
                       value_error);
}

TEST_CASE("bag_embedding refuses other widths") {
  const auto weights = initial_parameters<float>(make(), {.seed = 1});
  const auto x = test::normals<float>(shape<2>{5, 8}, 1);
  cpu backend{.threads = 1};
  CHECK_THROWS_WITH_AS(run(backend, make(), weights, x, {0, 5}, tensor<float, 2>({1, 7}), pass{}),
                       "milkit::nn::linear: features of the input is 8, expected 9", shape_error);
  using attention = pooling::gated_attention<7, 5>;
  const test::pooling_of<attention> bare;
  const auto bare_weights = initial_parameters<float>(bare, {.seed = 1});
  CHECK_THROWS_AS(run(backend, bare, bare_weights, x, {0, 5}, tensor<float, 2>({1, 8}), pass{}), shape_error);
}
