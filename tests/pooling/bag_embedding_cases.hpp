#pragma once

#include <milkit/nn/activation.hpp>
#include <milkit/nn/conv2d.hpp>
#include <milkit/nn/dropout.hpp>
#include <milkit/nn/flatten.hpp>
#include <milkit/nn/linear.hpp>
#include <milkit/nn/sequential.hpp>
#include <milkit/pooling/gated_attention.hpp>

#include <support/attention_check.hpp>
#include <support/unoptimised.hpp>

MILKIT_UNOPTIMISED_BEGIN

namespace milkit::test::bag_embedding_cases {

using encoder = nn::sequential<nn::linear<9, 7>, nn::relu, nn::dropout>;
using network = pooling::bag_embedding<encoder, pooling::gated_attention<7, 5>>;

inline network make(std::int64_t chunk_rows = 0, std::size_t saved_bytes = std::size_t{40} << 20) {
  return {.encoder = encoder({}, {}, {.rate = 0.25}),
          .pooler = {.dropout = 0.25},
          .chunk_rows = chunk_rows,
          .saved_bytes = saved_bytes};
}

/// Forward and backward of any network on any source.
template <class T, class Network, class Source>
auto run(backend_type& backend, const Network& net, const parameters<Network, T>& weights, const Source& source,
         const std::vector<std::int64_t>& offsets, const tensor<T, 2>& dembedding, const pass& how,
         bool backward = true) {
  const auto w = put(weights.flat());
  const auto upstream = put(dembedding);
  resident<T, 2> embedding(dembedding.shape());
  resident<T, Source::rank> dx(source.shape());
  resident<T, 1> gradient(w.shape());
  const vector_view<const std::int64_t> bounds(offsets.data(), {static_cast<std::int64_t>(offsets.size())});
  typename Network::template saved<Source, backend_type> kept;
  const auto scope = backend.workspace.scope();
  using none = matrix_view<T, backend_space>;
  const context at{backend, w.view(), gradient.view(), how};
  net.forward(at, source, bounds, embedding.view(), none(), none(), kept);
  if (backward) net.backward(at, source, kept, upstream.view(), matrix_view<const T, backend_space>(), dx.view());
  struct {
    tensor<T, 2> embedding;
    tensor<T, Source::rank> dx;
    tensor<T, 1> gradient;
  } out{fetch(embedding), fetch(dx), fetch(gradient)};
  return out;
}
/// The same on instances of the host, which are put where the backend works.
template <class T, class Network, int Rank>
auto run(backend_type& backend, const Network& net, const parameters<Network, T>& weights, const tensor<T, Rank>& x,
         const std::vector<std::int64_t>& offsets, const tensor<T, 2>& dembedding, const pass& how,
         bool backward = true) {
  const auto instances = put(x);
  return run(backend, net, weights, bag_view<T, Rank, backend_space>{instances.view()}, offsets, dembedding, how,
             backward);
}

inline const pass training{.training = true, .random = random_stream(7, 5, 3)};
inline const std::vector<std::int64_t> offsets = {0, 33, 34, 134, 150};

TEST_CASE_TEMPLATE("bag_embedding: how it runs and saved values change no bit, chunks only rounding", T, float,
                   double) {
  const auto weights = initial_parameters<T>(make(), {.seed = 1});
  const auto x = normals<T>(shape<2>{150, 9}, 5);
  const auto dembedding = normals<T>(shape<2>{4, 7}, 6);
  backend_type one = make_backend(1);
  const auto whole = run(one, make(1000), weights, x, offsets, dembedding, training);
  for (const std::int64_t chunk_rows : {0, 16, 13}) {
    CAPTURE(chunk_rows);
    const auto want = run(one, make(chunk_rows), weights, x, offsets, dembedding, training);
    CHECK(relative_error(want.embedding, whole.embedding) <= tolerance_of<T>(1e-12, 1e-5));
    CHECK(relative_error(want.dx, whole.dx) <= tolerance_of<T>(1e-12, 1e-5));
    CHECK(relative_error(want.gradient, whole.gradient) <= tolerance_of<T>(1e-12, 1e-5));
    in_every_way([&](backend_type& backend) {
      for (const std::size_t saved_bytes : {std::size_t{0}, std::size_t{20000}, std::size_t{1} << 30}) {
        CAPTURE(saved_bytes);
        const auto got = run(backend, make(chunk_rows, saved_bytes), weights, x, offsets, dembedding, training);
        CHECK(same_bits(got.embedding, want.embedding));
        CHECK(same_bits(got.dx, want.dx));
        CHECK(same_bits(got.gradient, want.gradient));
      }
    });
  }
}

TEST_CASE("bag_embedding: central differences through encoder, dropout and pooler") {
  const auto net = make(4, 1000);
  auto weights = initial_parameters<double>(net, {.seed = 2});
  auto x = normals<double>(shape<2>{10, 9}, 5);
  const auto dembedding = normals<double>(shape<2>{3, 7}, 6);
  const std::vector<std::int64_t> three = {0, 3, 4, 10};
  backend_type backend = make_backend(1);
  const auto once = [&](bool backward) { return run(backend, net, weights, x, three, dembedding, training, backward); };
  const auto got = once(true);
  const auto loss = [&] { return inner(once(false).embedding, dembedding); };
  CHECK(relative_error(got.dx, central_differences(x.view(), loss)) <= 1e-7);
  CHECK(relative_error(got.gradient, central_differences(weights.flat(), loss)) <= 1e-7);
}

TEST_CASE("bag_embedding: bags of images") {
  using images = pooling::bag_embedding<nn::sequential<nn::conv2d<2, 3, 3>, nn::relu, nn::flatten, nn::linear<27, 7>>,
                                        pooling::gated_attention<7, 5>>;
  const images net{.chunk_rows = 3};
  auto weights = initial_parameters<double>(net, {.seed = 2});
  auto x = normals<double>(shape<4>{4, 2, 5, 5}, 5);
  const auto dembedding = normals<double>(shape<2>{2, 7}, 6);
  const std::vector<std::int64_t> two = {0, 1, 4};
  backend_type backend = make_backend(1);
  const auto once = [&](bool backward) { return run(backend, net, weights, x, two, dembedding, training, backward); };
  const auto got = once(true);
  const auto loss = [&] { return inner(once(false).embedding, dembedding); };
  CHECK(relative_error(got.dx, central_differences(x.view(), loss)) <= 1e-7);
  CHECK(relative_error(got.gradient, central_differences(weights.flat(), loss)) <= 1e-7);
}

}  // namespace milkit::test::bag_embedding_cases

MILKIT_UNOPTIMISED_END
