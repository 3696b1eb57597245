// labels: card
#include <doctest/doctest.h>

#include <milkit/milkit_cuda.cuh>
#include <milkit/pooling/bag_embedding.hpp>
#include <milkit/pooling/gated_attention.hpp>
#include <milkit/pooling/max.hpp>
#include <milkit/pooling/mean.hpp>

#include <support/emulation.hpp>
#include <support/gradient_check.hpp>
#include <support/paths.hpp>

using namespace milkit;

// A bag with more than 2^31 elements: what counts them in 32 bits reads and writes the wrong rows. The same few rows stand at its
// beginning, around element 2^31 and at its end, among rows that are all alike; wherever they stand they must mean the same.
namespace {

constexpr std::int64_t rows = 3'000'000, features = 1024, special = 4;
constexpr std::int64_t places[] = {3, (std::int64_t{1} << 31) / features - 2, rows - special};

void expect_room() {
  std::size_t free = 0, total = 0;
  expect_cuda(cudaMemGetInfo(&free, &total), "cudaMemGetInfo");
  const std::size_t needed = 3 * static_cast<std::size_t>(rows * features) * sizeof(float);
  if (free < needed)
    throw test::skipped(message("it takes ", needed >> 30, " GB of a card's memory, ", free >> 30, " are free"));
}

struct big_bag {
  milkit::cuda gpu;
  tensor<float, 2> few = test::normals<float>(shape<2>{special, features}, 1);
  device_tensor<float, 2> x, dx;

  big_bag() : x((expect_room(), shape<2>{rows, features})), dx(shape<2>{rows, features}) {
    ops::fill(gpu, x.view(), 0.125f);
    for (const std::int64_t place : places) copy(gpu, few.view(), x.view().rows(place, special));
  }

  std::vector<double> host(device_matrix<const float> values) {
    tensor<float, 2> copied(values.shape());
    copy(gpu, values, copied.view());
    return test::elements(copied);
  }

  struct result {
    device_tensor<float, 2> embedding, attention;
    tensor<float, 2> dembedding;
  };
  /// Forward and backward; `dx` holds the gradient of the instances.
  template <class Pooler>
  result run(const Pooler& pooler) {
    using network_type = pooling::bag_embedding<nn::identity, Pooler>;
    const network_type network{.pooler = pooler};
    const auto weights = initial_parameters<float>(gpu, network, {.seed = 1});
    auto gradient = weights.zeros();
    result out{device_tensor<float, 2>(shape<2>{1, features}),
               device_tensor<float, 2>(shape<2>{rows, Pooler::attentions}),
               test::normals<float>(shape<2>{1, features}, 2)};
    const auto upstream = out.dembedding.to<device_space>();
    const bag_view<float, 2, device_space> source{std::as_const(x).view()};
    const std::int64_t offsets[] = {0, rows};
    typename network_type::template saved<bag_view<float, 2, device_space>, milkit::cuda> kept;
    const auto scope = gpu.workspace.scope();
    const context at{gpu, weights.flat(), gradient.flat(), {.training = true}};
    network.forward(at, source, vector_view<const std::int64_t>(offsets, {2}), out.embedding.view(),
                    device_matrix<float>(), out.attention.view(), kept);
    network.backward(at, source, kept, upstream.view(), device_matrix<const float>(), dx.view());
    gpu.synchronize();
    return out;
  }

  /// The special rows have the same values wherever they stand, and so have all the others.
  template <class Values>
  void alike_in_all_places(const Values& values, double bound) {
    const auto first = host(values.view().rows(places[0], special)), other = host(values.view().rows(0, 1));
    for (const std::int64_t place : places) {
      CHECK(test::relative_error(host(values.view().rows(place, special)), first) <= bound);
      CHECK(test::relative_error(host(values.view().rows(place - 1, 1)), other) <= bound);
    }
  }
};

}  // namespace

TEST_CASE("cuda: mean of a bag of 3,000,000 x 1024") {
  big_bag bag;
  const auto got = bag.run(pooling::mean{});
  std::vector<double> mean, share;
  for (std::int64_t j = 0; j < features; ++j) {
    double sum = 0.125 * (rows - 3 * special);
    for (std::int64_t i = 0; i < special; ++i) sum += 3 * static_cast<double>(bag.few.view()(i, j));
    mean.push_back(sum / rows);
    share.push_back(static_cast<double>(got.dembedding.data()[j]) / rows);
  }
  CHECK(test::relative_error(bag.host(got.embedding.view()), mean) <= 1e-6);
  for (const std::int64_t row : {std::int64_t{0}, places[1], places[1] + 2, rows - 1})
    CHECK(test::relative_error(bag.host(std::as_const(bag.dx).view().rows(row, 1)), share) <= 1e-6);
  bag.alike_in_all_places(std::as_const(got.attention), 1e-6);
}

TEST_CASE("cuda: max of a bag of 3,000,000 x 1024") {
  big_bag bag;
  // Larger than all others, in the last row alone.
  tensor<float, 2> top(shape<2>{1, features});
  for (std::int64_t j = 0; j < features; ++j) top.data()[j] = 10 + static_cast<float>(j % 7);
  copy(bag.gpu, top.view(), bag.x.view().rows(rows - 1, 1));
  const auto got = bag.run(pooling::max{});
  CHECK(test::same_bits(bag.host(got.embedding.view()), top));
  CHECK(test::same_bits(bag.host(std::as_const(bag.dx).view().rows(rows - 1, 1)), got.dembedding));
  for (const std::int64_t row : {std::int64_t{0}, places[0], places[1], rows - 2})
    for (const double each : bag.host(std::as_const(bag.dx).view().rows(row, 1))) CHECK(each == 0);
  CHECK(bag.host(std::as_const(got.attention).view().rows(rows - 1, 1)) == std::vector<double>{1});
}

TEST_CASE("cuda: gated attention over a bag of 3,000,000 x 1024") {
  big_bag bag;
  const auto got = bag.run(pooling::gated_attention<features, 128>{});
  bag.alike_in_all_places(std::as_const(got.attention), 1e-4);
  bag.alike_in_all_places(std::as_const(bag.dx), 1e-4);
  const auto of_few = bag.host(std::as_const(got.attention).view().rows(places[2], special));
  const double of_others = bag.host(std::as_const(got.attention).view().rows(0, 1))[0];
  double sum = of_others * (rows - 3 * special);
  for (const double each : of_few) sum += 3 * each;
  CHECK(test::close(sum, 1, {.absolute = 1e-4}));
  std::vector<double> embedding;
  for (std::int64_t j = 0; j < features; ++j) {
    double value = 0.125 * of_others * (rows - 3 * special);
    for (std::int64_t i = 0; i < special; ++i)
      value += 3 * of_few[static_cast<std::size_t>(i)] * static_cast<double>(bag.few.view()(i, j));
    embedding.push_back(value);
  }
  CHECK(test::relative_error(bag.host(got.embedding.view()), embedding) <= 1e-4);
}
