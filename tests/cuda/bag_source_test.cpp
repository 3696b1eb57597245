// labels: emulated
#include <doctest/doctest.h>

#include <milkit/data/bag_source.hpp>
#include <milkit/milkit.hpp>
#include <milkit/milkit_cuda.cuh>

#include <support/emulation.hpp>
#include <support/gradient_check.hpp>
#include <support/paths.hpp>

using namespace milkit;

TEST_CASE("cuda: a bag in a file streams to the card and gives the bits of one that lies there") {
  using network = models::bag_classifier<nn::sequential<nn::linear<24, 8>, nn::relu>, pooling::gated_attention<8, 5>,
                                         nn::linear<8, 2>>;
  const test::temporary_directory folder;
  const auto bag = test::normals<float>(shape<2>{1001, 24}, 1);
  data::safetensors_writer file;
  file.add("features", bag.view());
  file.write(folder.path() / "bag.safetensors");
  const data::safetensors_source<float> source(folder.path() / "bag.safetensors", "features");

  milkit::cuda gpu;
  const auto weights = initial_parameters<network, float>(gpu, {.seed = 1});
  const auto resident = bag.to<device_space>();
  const std::int64_t label = 1;
  const auto trained = [&](const auto& bags, std::size_t saved_bytes) {
    network net;
    net.embedding.chunk_rows = 64;
    net.embedding.saved_bytes = saved_bytes;
    auto gradient = weights.zeros();
    const double loss = net.train_bags(gpu, weights.flat(), bags, vector_view<const std::int64_t>(&label, {1}),
                                       loss::cross_entropy{}, 1.0, gradient.flat(), {.training = true});
    return std::pair(loss, test::elements(gradient.to<host_space>().flat()));
  };
  for (const std::size_t saved_bytes : {std::size_t{0}, std::size_t{1} << 14, std::size_t{1} << 30})
    CHECK(trained(bag_batch(source), saved_bytes) == trained(bags_of(std::as_const(resident).view()), saved_bytes));
  const auto seen = models::predict(gpu, network{}, weights, bag_batch(source));
  const auto want = models::predict(gpu, network{}, weights, bags_of(std::as_const(resident).view()));
  CHECK(test::same_bits(seen.attention, want.attention));
  CHECK(test::same_bits(seen.probabilities, want.probabilities));
}
