#include <doctest/doctest.h>

#include <milkit/ops/bags/segment_pool_cpu.hpp>

#include <support/gradient_check.hpp>

using namespace milkit;

// Values and gradients are tested with the poolers (tests/pooling); here is what the ops refuse.
namespace {

using matrix = tensor<float, 2>;
using states_matrix = tensor<double, 2>;

/// Rows 2 to 5 of three bags of 2, 3 and 1 instances: the chunk holds all of bag 1 and of bag 2.
struct example {
  std::vector<std::int64_t> offsets = {0, 2, 5, 6};
  ops::bag_chunk<> chunk{{2, 4}, {1, 2}, vector_view<const std::int64_t>(offsets.data(), {4})};
  cpu backend{.threads = 1};
};

}  // namespace

TEST_CASE("softmax pooling refuses views of other shapes") {
  example e;
  auto& backend = e.backend;
  const auto h = test::normals<float>(shape<2>{4, 5}, 1), z = test::normals<float>(shape<2>{4, 1}, 2);
  const auto few = test::normals<float>(shape<2>{3, 5}, 1), two = test::normals<float>(shape<2>{4, 2}, 2);
  states_matrix part({2, 7}), one({1, 7}), all({3, 7}), thin({3, 1});
  CHECK_NOTHROW(ops::softmax_pool(backend, e.chunk, h.view(), z.view(), part.view()));
  CHECK_THROWS_WITH_AS(ops::softmax_pool(backend, e.chunk, few.view(), z.view(), part.view()),
                       "milkit::ops::softmax_pool: rows of h is 3, expected 4", shape_error);
  CHECK_THROWS_WITH_AS(ops::softmax_pool(backend, e.chunk, h.view(), two.view(), part.view()),
                       "milkit::ops::softmax_pool: logits is [4, 2], expected [4, 1]", shape_error);
  CHECK_THROWS_WITH_AS(ops::softmax_pool(backend, e.chunk, h.view(), z.view(), one.view()),
                       "milkit::ops::softmax_pool: rows of the states is 1, expected 2", shape_error);
  CHECK_THROWS_WITH_AS(ops::softmax_pool(backend, e.chunk, h.view(), z.view(), thin.view()),
                       "milkit::ops::softmax_pool: columns of the states is 1, expected 7", shape_error);
  CHECK_THROWS_WITH_AS(ops::softmax_pool_merge(backend, one.view(), part.view()),
                       "milkit::ops::softmax_pool_merge: part is [1, 7], expected [2, 7]", shape_error);
  matrix embedding({3, 5}), other({2, 5}), attention({4, 1}), dh({4, 5}), dz({4, 1});
  CHECK_THROWS_WITH_AS(ops::softmax_pool_finish(backend, all.view(), other.view()),
                       "milkit::ops::softmax_pool_finish: embedding is [2, 5], expected [3, 5]", shape_error);
  CHECK_NOTHROW(ops::softmax_weights(backend, e.chunk, z.view(), all.view(), attention.view()));
  CHECK_THROWS_WITH_AS(ops::softmax_weights(backend, e.chunk, z.view(), part.view(), attention.view()),
                       "milkit::ops::softmax_weights: rows of the states is 2, expected 3", shape_error);
  CHECK_THROWS_WITH_AS(ops::softmax_weights(backend, e.chunk, z.view(), thin.view(), attention.view()),
                       "milkit::ops::softmax_weights: columns of the states is 1, expected 2 or more", shape_error);
  CHECK_THROWS_WITH_AS(ops::softmax_weights(backend, e.chunk, z.view(), all.view(), dh.view()),
                       "milkit::ops::softmax_weights: attention is [4, 5], expected [4, 1]", shape_error);
  tensor<double, 1> dots({3}), few_dots({2});
  CHECK_NOTHROW(ops::softmax_dots(backend, e.chunk, z.view(), all.view(), z.view(), dots.view()));
  CHECK_THROWS_WITH_AS(ops::softmax_dots(backend, e.chunk, z.view(), all.view(), z.view(), few_dots.view()),
                       "milkit::ops::softmax_dots: extent of dots is 2, expected 3", shape_error);
  const auto backward = [&](const matrix& bag, const matrix& dg, matrix& to, const tensor<double, 1>& sums) {
    tensor<double, 1> own({sums.size()});
    ops::softmax_pool_backward(backend, e.chunk, bag.view(), z.view(), all.view(), dg.view(), z.view(), own.view(),
                               dz.view(), to.view());
  };
  CHECK_NOTHROW(backward(h, embedding, dh, dots));
  CHECK_THROWS_WITH_AS(backward(few, embedding, dh, dots),
                       "milkit::ops::softmax_pool_backward: h is [3, 5], expected [4, 5]", shape_error);
  CHECK_THROWS_WITH_AS(backward(h, other, dh, dots),
                       "milkit::ops::softmax_pool_backward: dembedding is [2, 5], expected [3, 5]", shape_error);
  CHECK_THROWS_WITH_AS(backward(h, embedding, other, dots),
                       "milkit::ops::softmax_pool_backward: dh is [2, 5], expected [4, 5]", shape_error);
  CHECK_THROWS_WITH_AS(backward(h, embedding, dh, few_dots),
                       "milkit::ops::softmax_pool_backward: extent of dots is 2, expected 3", shape_error);
}

TEST_CASE("mean and max pooling refuse views of other shapes") {
  example e;
  auto& backend = e.backend;
  const auto h = test::normals<float>(shape<2>{4, 5}, 1), few = test::normals<float>(shape<2>{3, 5}, 1);
  states_matrix sums({2, 5}), largest({2, 10}), all_sums({3, 5}), all_largest({3, 10}), one({1, 10});
  matrix embedding({3, 5}), other({2, 5}), attention({4, 1}), dh({4, 5});
  CHECK_NOTHROW(ops::sum_pool(backend, e.chunk, h.view(), sums.view()));
  CHECK_NOTHROW(ops::max_pool(backend, e.chunk, h.view(), largest.view()));
  CHECK_THROWS_AS(ops::sum_pool(backend, e.chunk, few.view(), sums.view()), shape_error);
  CHECK_THROWS_AS(ops::sum_pool(backend, e.chunk, h.view(), all_sums.view()), shape_error);
  CHECK_THROWS_AS(ops::max_pool(backend, e.chunk, few.view(), largest.view()), shape_error);
  CHECK_THROWS_AS(ops::max_pool(backend, e.chunk, h.view(), sums.view()), shape_error);
  CHECK_THROWS_AS(ops::sum_pool_merge(backend, sums.view(), all_sums.view()), shape_error);
  CHECK_THROWS_AS(ops::max_pool_merge(backend, one.view(), largest.view()), shape_error);
  CHECK_THROWS_AS(ops::mean_pool_finish(backend, e.chunk.offsets, sums.view(), other.view()), shape_error);
  CHECK_THROWS_AS(ops::mean_pool_finish(backend, e.chunk.offsets, all_sums.view(), other.view()), shape_error);
  CHECK_THROWS_AS(ops::max_pool_finish(backend, all_largest.view(), other.view()), shape_error);
  CHECK_THROWS_AS(ops::max_pool_finish(backend, all_sums.view(), embedding.view()), shape_error);
  CHECK_THROWS_AS(ops::mean_weights(backend, e.chunk, dh.view()), shape_error);
  CHECK_THROWS_AS(ops::max_weights(backend, e.chunk, largest.view(), attention.view()), shape_error);
  CHECK_THROWS_AS(ops::max_weights(backend, e.chunk, all_largest.view(), dh.view()), shape_error);
  CHECK_THROWS_AS(ops::mean_pool_backward(backend, e.chunk, other.view(), dh.view()), shape_error);
  CHECK_THROWS_AS(ops::mean_pool_backward(backend, e.chunk, embedding.view(), other.view()), shape_error);
  CHECK_THROWS_AS(ops::max_pool_backward(backend, e.chunk, all_sums.view(), embedding.view(), dh.view()), shape_error);
  CHECK_THROWS_AS(ops::max_pool_backward(backend, e.chunk, all_largest.view(), other.view(), dh.view()), shape_error);
  CHECK_THROWS_AS(ops::max_pool_backward(backend, e.chunk, all_largest.view(), embedding.view(), other.view()),
                  shape_error);
}
