#include <doctest/doctest.h>

#include <stdexcept>

#include <milkit/nn/activation.hpp>
#include <milkit/nn/conv2d.hpp>
#include <milkit/nn/dropout.hpp>
#include <milkit/nn/flatten.hpp>
#include <milkit/nn/linear.hpp>
#include <milkit/nn/sequential.hpp>
#include <milkit/ops/activation_cpu.hpp>
#include <milkit/ops/conv2d_cpu.hpp>
#include <milkit/pooling/gated_attention.hpp>
#include <milkit/pooling/max.hpp>

#include <support/attention_check.hpp>

using namespace milkit;
using test::relative_error;

namespace {

using encoder = nn::sequential<nn::linear<9, 7>, nn::relu, nn::dropout>;
using network = pooling::bag_embedding<encoder, pooling::gated_attention<7, 5>>;

network make(std::int64_t chunk_rows = 0, std::size_t saved_bytes = std::size_t{40} << 20) {
  return {.encoder = encoder({}, {}, {.rate = 0.25}),
          .pooler = {.dropout = 0.25},
          .chunk_rows = chunk_rows,
          .saved_bytes = saved_bytes};
}

/// Forward and backward of any network on any source.
template <class T, class Network, class Source>
auto run(cpu& backend, const Network& net, const parameters<Network, T>& weights, const Source& source,
         const std::vector<std::int64_t>& offsets, const tensor<T, 2>& dembedding, const pass& how) {
  struct {
    tensor<T, 2> embedding;
    tensor<T, Source::rank> dx;
    tensor<T, 1> gradient;
  } out{tensor<T, 2>(dembedding.shape()), tensor<T, Source::rank>(source.shape()),
        tensor<T, 1>(weights.flat().shape())};
  const vector_view<const std::int64_t> bounds(offsets.data(), {static_cast<std::int64_t>(offsets.size())});
  typename Network::template saved<Source, cpu> kept;
  const auto scope = backend.workspace.scope();
  net.forward(backend, weights.flat(), source, bounds, out.embedding.view(), matrix_view<T>(), matrix_view<T>(), kept,
              how);
  net.backward(backend, weights.flat(), source, kept, dembedding.view(), matrix_view<const T>(), out.dx.view(),
               out.gradient.view(), how);
  return out;
}

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

const pass training{.training = true, .random = random_stream(7, 5, 3)};
const std::vector<std::int64_t> offsets = {0, 33, 34, 134, 150};

}  // namespace

TEST_CASE_TEMPLATE("bag_embedding: threads and saved values change no bit, chunks only rounding", T, float, double) {
  const auto weights = initial_parameters<T>(make(), {.seed = 1});
  const auto x = test::normals<T>(shape<2>{150, 9}, 5);
  const auto dembedding = test::normals<T>(shape<2>{4, 7}, 6);
  const bag_view<T, 2> source{x.view()};
  cpu one{.threads = 1};
  const auto whole = run(one, make(1000), weights, source, offsets, dembedding, training);
  for (const std::int64_t chunk_rows : {0, 16, 13}) {
    CAPTURE(chunk_rows);
    const auto want = run(one, make(chunk_rows), weights, source, offsets, dembedding, training);
    CHECK(relative_error(want.embedding, whole.embedding) <= test::tolerance_of<T>(1e-12, 1e-5));
    CHECK(relative_error(want.dx, whole.dx) <= test::tolerance_of<T>(1e-12, 1e-5));
    CHECK(relative_error(want.gradient, whole.gradient) <= test::tolerance_of<T>(1e-12, 1e-5));
    for (const int threads : {1, 2, 3, 8})
      for (const std::size_t saved_bytes : {std::size_t{0}, std::size_t{20000}, std::size_t{1} << 30}) {
        CAPTURE(threads);
        CAPTURE(saved_bytes);
        cpu backend{.threads = threads};
        for (int again = 0; again < 2; ++again) {
          const auto got = run(backend, make(chunk_rows, saved_bytes), weights, source, offsets, dembedding, training);
          CHECK(test::same_bits(got.embedding, want.embedding));
          CHECK(test::same_bits(got.dx, want.dx));
          CHECK(test::same_bits(got.gradient, want.gradient));
        }
      }
  }
}

TEST_CASE("bag_embedding: central differences through encoder, dropout and pooler") {
  const auto net = make(4, 1000);
  auto weights = initial_parameters<double>(net, {.seed = 2});
  auto x = test::normals<double>(shape<2>{10, 9}, 5);
  const auto dembedding = test::normals<double>(shape<2>{3, 7}, 6);
  const std::vector<std::int64_t> three = {0, 3, 4, 10};
  cpu backend{.threads = 1};
  const auto once = [&] {
    return run(backend, net, weights, bag_view<double, 2>{x.view()}, three, dembedding, training);
  };
  const auto got = once();
  const auto loss = [&] { return test::inner(once().embedding, dembedding); };
  CHECK(relative_error(got.dx, test::central_differences(x.view(), loss)) <= 1e-7);
  CHECK(relative_error(got.gradient, test::central_differences(weights.flat(), loss)) <= 1e-7);
}

TEST_CASE("bag_embedding: bags of images") {
  using images = pooling::bag_embedding<nn::sequential<nn::conv2d<2, 3, 3>, nn::relu, nn::flatten, nn::linear<27, 7>>,
                                        pooling::gated_attention<7, 5>>;
  const images net{.chunk_rows = 3};
  auto weights = initial_parameters<double>(net, {.seed = 2});
  auto x = test::normals<double>(shape<4>{7, 2, 5, 5}, 5);
  const auto dembedding = test::normals<double>(shape<2>{2, 7}, 6);
  const std::vector<std::int64_t> two = {0, 2, 7};
  cpu backend{.threads = 2};
  const auto once = [&] {
    return run(backend, net, weights, bag_view<double, 4>{x.view()}, two, dembedding, training);
  };
  const auto got = once();
  const auto loss = [&] { return test::inner(once().embedding, dembedding); };
  CHECK(relative_error(got.dx, test::central_differences(x.view(), loss)) <= 1e-7);
  CHECK(relative_error(got.gradient, test::central_differences(weights.flat(), loss)) <= 1e-7);
}

TEST_CASE("bag_embedding: instances that are read as they are needed") {
  const auto weights = initial_parameters<float>(make(), {.seed = 1});
  const auto x = test::normals<float>(shape<2>{150, 9}, 5);
  const auto dembedding = test::normals<float>(shape<2>{4, 7}, 6);
  cpu one{.threads = 1};
  const auto want = run(one, make(16), weights, bag_view<float, 2>{x.view()}, offsets, dembedding, training);
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
    return run(backend, net, weights, bag_view<float, 2>{x.view()}, bounds,
               tensor<float, 2>({static_cast<std::int64_t>(bounds.size()) - 1, 3}), pass{});
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
  CHECK_THROWS_WITH_AS(
      run(backend, net, weights, bag_view<float, 2>{none.view()}, {0, 0}, tensor<float, 2>({1, 3}), pass{}),
      "milkit::pooling::bag_embedding: bag 0 of 1 is empty, expected at least one instance", value_error);
}

TEST_CASE("bag_embedding refuses other widths") {
  const auto weights = initial_parameters<float>(make(), {.seed = 1});
  const auto x = test::normals<float>(shape<2>{5, 8}, 1);
  cpu backend{.threads = 1};
  CHECK_THROWS_WITH_AS(
      run(backend, make(), weights, bag_view<float, 2>{x.view()}, {0, 5}, tensor<float, 2>({1, 7}), pass{}),
      "milkit::nn::linear: features of the input is 8, expected 9", shape_error);
  using attention = pooling::gated_attention<7, 5>;
  const test::pooling_of<attention> bare;
  const auto bare_weights = initial_parameters<float>(bare, {.seed = 1});
  CHECK_THROWS_AS(
      run(backend, bare, bare_weights, bag_view<float, 2>{x.view()}, {0, 5}, tensor<float, 2>({1, 8}), pass{}),
      shape_error);
}
