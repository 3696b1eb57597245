// labels: emulated nvcc
#include <doctest/doctest.h>

#include <milkit/milkit.hpp>
#include <milkit/milkit_cuda.cuh>
#include <milkit/train/cross_validation.hpp>

#include <support/emulation.hpp>
#include <support/paths.hpp>
#include <support/small_training.hpp>

using namespace milkit;

// A whole training on the CPU and on the card, by the backend argument alone.
namespace {

template <class Backend, class Loss = loss::cross_entropy, class Network = test::small_network>
auto train_on(Backend& backend, const train::fit_options& options, const Network& network = test::dropping_network(),
              const Loss& loss = {}) {
  const data::bag_table bags = test::needle_bags(20), others = test::needle_bags(10, 2);
  train::table_dataset training(bags), validation(others);
  auto weights = initial_parameters<float>(backend, network, {.seed = 5});
  train::trainer trainer(backend, network, train::adam{.learning_rate = 1e-2}, loss);
  const auto history = trainer.fit(weights, training, validation, options);
  return std::tuple(std::move(weights), history, trainer.evaluate(weights, validation));
}

}  // namespace

TEST_CASE("cuda: a training on the card gives the weights, figures and predictions of the CPU") {
  cpu host{.threads = 2};
  milkit::cuda gpu;
  const train::fit_options options{
      .epochs = 4, .seed = 3, .order = train::bag_order::balanced, .bags_per_step = 3, .clip_norm = 0.5};
  const auto [weights, history, result] = train_on(host, options);
  const auto [card_weights, card_history, card_result] = train_on(gpu, options);
  CHECK(test::relative_error(card_weights.template to<host_space>().flat(), weights.flat()) <= 1e-3);
  for (const auto& name : history.names())
    for (std::size_t e = 0; e < 4; ++e)
      CHECK(test::close(card_history.column(name)[e], history.column(name)[e], {.absolute = 1e-3}));
  CHECK(card_result.labels == result.labels);
  REQUIRE(card_result.probabilities.size() == result.probabilities.size());
  for (std::size_t i = 0; i < result.probabilities.size(); ++i)
    CHECK(test::close(card_result.probabilities[i], result.probabilities[i], {.absolute = 1e-3}));

  const data::bag_table bags = test::needle_bags(3);
  const auto seen = models::predict(gpu, test::dropping_network(), card_weights, bags_of(bags.bag(1)));
  const auto want = models::predict(host, test::dropping_network(), weights, bags_of(bags.bag(1)));
  CHECK(test::relative_error(seen.logits, want.logits) <= 1e-3);
  CHECK(test::relative_error(seen.probabilities, want.probabilities) <= 1e-3);
  CHECK(test::relative_error(seen.embedding, want.embedding) <= 1e-3);
  CHECK(test::relative_error(seen.attention_logits, want.attention_logits) <= 1e-3);
  CHECK(test::relative_error(seen.attention, want.attention) <= 1e-3);
}

TEST_CASE("cuda: a training on the card that stopped goes on from its checkpoint with the same bits, on the CPU too") {
  milkit::cuda gpu;
  cpu host;
  const test::temporary_directory temporary;
  const auto& folder = temporary.path();
  const auto whole = train_on(gpu, {.epochs = 4, .seed = 3});
  train_on(gpu, {.epochs = 2, .seed = 3, .checkpoint = folder / "c.safetensors"});
  std::filesystem::copy_file(folder / "c.safetensors", folder / "d.safetensors");
  const auto resumed = train_on(gpu, {.epochs = 4, .seed = 3, .checkpoint = folder / "c.safetensors"});
  CHECK(test::same_bits(std::get<0>(resumed).template to<host_space>().flat(),
                        std::get<0>(whole).template to<host_space>().flat()));
  CHECK(test::same_bits(std::get<1>(resumed).column("loss"), std::get<1>(whole).column("loss")));
  const auto elsewhere = train_on(host, {.epochs = 4, .seed = 3, .checkpoint = folder / "d.safetensors"});
  CHECK(test::relative_error(std::get<0>(elsewhere).flat(), std::get<0>(whole).template to<host_space>().flat()) <=
        1e-3);

  train::save_weights(folder / "w.safetensors", std::get<0>(whole));
  parameters<test::small_network, float> read;
  train::load_weights(folder / "w.safetensors", read);
  CHECK(test::same_bits(read.flat(), std::get<0>(whole).template to<host_space>().flat()));
  parameters<test::small_network, float, device_space> back;
  train::load_weights(folder / "w.safetensors", back);
  CHECK(test::same_bits(back.to<host_space>().flat(), read.flat()));
}

TEST_CASE("cuda: a gradient that is no number names its bag, and the weights are those before that step") {
  milkit::cuda gpu;
  data::bag_table bags = test::needle_bags(4);
  train::table_dataset training(bags);
  auto weights = initial_parameters<float>(gpu, test::dropping_network(), {.seed = 5});
  const auto before = weights.to<host_space>();
  bags.instances.view()(0, 0) = std::numeric_limits<float>::quiet_NaN();
  train::trainer trainer(gpu, test::dropping_network(), train::sgd{.learning_rate = 0});
  CHECK_THROWS_WITH_AS(trainer.fit(weights, training, {.epochs = 1}),
                       doctest::Contains("bag 0 in epoch 1 is nan, expected a finite number"), value_error);
  CHECK(test::same_bits(weights.to<host_space>().flat(), before.flat()));
  CHECK(gpu.workspace.bytes_in_use() == 0);
}

TEST_CASE("cuda: folds follow each other on the card") {
  milkit::cuda gpu;
  const data::bag_table bags = test::needle_bags(24);
  const auto result = train::cross_validate(
      gpu, bags.labels, {}, {.folds = 3, .seed = 1},
      [&](milkit::cuda& backend, const train::fold& fold, std::uint64_t seed) {
        train::table_dataset all(bags);
        train::subset training(all, fold.train), test(all, fold.test);
        auto weights = initial_parameters<float>(backend, test::dropping_network(), {.seed = seed});
        train::trainer trainer(backend, test::dropping_network(), train::adam{.learning_rate = 1e-2});
        const auto history = trainer.fit(weights, training, {.epochs = 10, .seed = seed});
        return std::pair(trainer.evaluate(weights, test), history);
      });
  CHECK(result.folds.size() == 3);
  CHECK(result.accuracy().mean >= 0.8);
}
