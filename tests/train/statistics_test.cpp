#include <doctest/doctest.h>

#include <milkit/loss/cross_entropy.hpp>
#include <milkit/nn/activation.hpp>
#include <milkit/nn/batch_norm2d.hpp>
#include <milkit/nn/conv2d_same.hpp>
#include <milkit/nn/global_average_pool.hpp>
#include <milkit/nn/linear.hpp>
#include <milkit/nn/sequential.hpp>
#include <milkit/ops/images/batch_norm2d_cpu.hpp>
#include <milkit/ops/images/conv2d_cpu.hpp>
#include <milkit/ops/images/pool2d_cpu.hpp>
#include <milkit/ops/products/linear_cpu.hpp>
#include <milkit/ops/rows/activation_cpu.hpp>
#include <milkit/ops/rows/fill_cpu.hpp>
#include <milkit/ops/rows/reduce_cpu.hpp>
#include <milkit/ops/training/cross_entropy_cpu.hpp>
#include <milkit/ops/training/optimizer_step_cpu.hpp>
#include <milkit/train/trainer.hpp>

#include <reference/batch_norm.hpp>
#include <support/gradient_check.hpp>
#include <support/images.hpp>
#include <support/paths.hpp>

using namespace milkit;

namespace {

/// Images of one size; those with an odd number have a bright pixel, and are positive.
struct pictures {
  std::int64_t count = 4;
  std::int64_t size() const { return count; }
  std::int64_t classes() const { return 2; }
  std::int64_t label(std::int64_t i) const { return i % 2; }
  image_view<const float> bag(std::int64_t i) const {
    image = test::normals<float>(shape<4>{1, 2, 4, 3}, static_cast<std::uint64_t>(i) + 1);
    if (i % 2 == 1) image.data()[5] = 9;
    return std::as_const(image).view();
  }
  mutable tensor<float, 4> image{};
};

/// The last layers of a small network on images, with batch norm as its first layer and in its middle.
struct network {
  using layers_type = nn::sequential<nn::batch_norm2d<2>, nn::conv2d_same<2, 3, 3, false>, nn::batch_norm2d<3>,
                                     nn::relu, nn::global_average_pool, nn::linear<3, 2>>;
  layers_type layers = {};

  constexpr auto list(auto& l) const { return layers.list(l); }
  template <class Weights, class Loss, class Gradient>
  double train_bags(cpu& backend, Weights weights, image_view<const float> image,
                    vector_view<const std::int64_t> labels, const Loss& loss, double scale, Gradient gradient,
                    const pass& pass) const {
    const auto scope = backend.workspace.scope();
    layers_type::saved<image_view<const float>> kept;
    const auto logits = backend.workspace.allocate<float>(shape<2>{1, 2}),
               dlogits = backend.workspace.allocate<float>(shape<2>{1, 2});
    const context at{backend, weights, gradient, pass};
    layers.forward(at, image, logits, kept);
    const double value = loss::value_and_gradient(loss, backend, logits, labels, scale, dlogits);
    layers.backward(at, kept, dlogits, image_view<float>());
    return value;
  }
  template <class Weights, class Logits>
  void infer(cpu& backend, Weights weights, image_view<const float> image, Logits logits) const {
    const auto scope = backend.workspace.scope();
    layers_type::saved<image_view<const float>> kept;
    layers.forward(context{backend, weights}, image, logits, kept);
  }
};

auto first_weights() { return initial_parameters<float>(network{}, {.seed = 3}); }

template <class Optimizer>
auto trained(Optimizer optimizer, const train::fit_options& options, std::int64_t count = 4) {
  cpu backend{.threads = 1};
  auto weights = first_weights();
  pictures bags{count};
  train::trainer trainer{backend, network{}, optimizer};
  trainer.fit(weights, bags, options);
  return weights;
}

}  // namespace

TEST_CASE("trainable stretches are all but the statistics, and one where there are none") {
  const auto with = parameter_entries(network{});
  const auto stretches = train::trainable_stretches(with, parameter_stretch(network{}));
  REQUIRE(stretches.size() == 3);
  CHECK(stretches[0] == train::trainable_stretch{{0, 4}, 1});
  CHECK(stretches[1].rows.first == 16);  // the convolution, and the weight and bias of the second batch norm
  std::int64_t covered = 0;
  for (const auto& each : stretches) covered += each.rows.count;
  std::int64_t statistics = 0;
  for (const auto& each : with) statistics += is_statistic(each.what) ? each.size() : 0;
  CHECK(statistics == 2 * 2 + 1 + 2 * 3 + 1);
  CHECK(covered >= parameter_count(network{}));
  CHECK(covered <= parameter_stretch(network{}) - statistics);
  const nn::linear<5, 3> plain;
  CHECK(train::trainable_stretches(parameter_entries(plain), parameter_stretch(plain)) ==
        std::vector<train::trainable_stretch>{{{0, parameter_stretch(plain)}, 1}});
}

namespace {

/// One number a bag; the logits are those of two layers whose weights learn at rates of their own.
struct numbers {
  std::int64_t size() const { return 3; }
  std::int64_t classes() const { return 2; }
  std::int64_t label(std::int64_t i) const { return i % 2; }
  matrix_view<const float> bag(std::int64_t i) const {
    value = static_cast<float>(i) + 0.5F;
    return {&value, {1, 1}};
  }
  mutable float value = 0;
};
struct two_rates {
  nn::linear<1, 3> first = {};
  nn::linear<3, 2> second = {};
  double first_rate = 1, second_rate = 1;

  constexpr auto list(auto& l) const {
    return std::tuple{l.child("first", first, first_rate), l.child("second", second, second_rate)};
  }
  template <class Weights, class Loss, class Gradient>
  double train_bags(cpu& backend, Weights weights, matrix_view<const float> bag, vector_view<const std::int64_t> labels,
                    const Loss& loss, double scale, Gradient gradient, const pass& pass) const {
    const auto scope = backend.workspace.scope();
    const auto h = backend.workspace.allocate<float>(shape<2>{1, 3}),
               dh = backend.workspace.allocate<float>(shape<2>{1, 3});
    const auto logits = backend.workspace.allocate<float>(shape<2>{1, 2}),
               dlogits = backend.workspace.allocate<float>(shape<2>{1, 2});
    const context at{backend, weights, gradient, pass};
    saved_of<nn::linear<1, 3>, matrix_view<const float>> kept;
    saved_of<nn::linear<3, 2>, matrix_view<const float>> kept_second;
    first.forward(at.template child<0>(*this), bag, h, kept);
    second.forward(at.template child<1>(*this), matrix_view<const float>(h), logits, kept_second);
    const double value = loss::value_and_gradient(loss, backend, logits, labels, scale, dlogits);
    second.backward(at.template child<1>(*this), kept_second, dlogits, dh);
    first.backward(at.template child<0>(*this), kept, dh, matrix_view<float>());
    return value;
  }
  template <class Weights, class Logits>
  void infer(cpu& backend, Weights, matrix_view<const float>, Logits logits) const {
    ops::fill(backend, logits, 0.0F);
  }
};

/// How far one step of SGD over all bags moves the weights of each child.
std::array<std::vector<double>, 2> moves_of(const two_rates& net, double weight_decay) {
  cpu backend{.threads = 1};
  auto weights = initial_parameters<float>(net, {.seed = 2});
  const auto before = weights.clone();
  numbers bags;
  train::trainer trainer{backend, net, train::sgd{.learning_rate = 0.5, .weight_decay = weight_decay}};
  trainer.fit(weights, bags, {.epochs = 1, .bags_per_step = 3});
  std::array<std::vector<double>, 2> moves;
  const char* names[] = {"first.weight", "second.weight"};
  for (std::size_t c = 0; c < 2; ++c)
    for (std::int64_t i = 0; i < weights[names[c]].extent(0); ++i)
      moves[c].push_back(static_cast<double>(weights[names[c]](i)) - static_cast<double>(before[names[c]](i)));
  return moves;
}

}  // namespace

TEST_CASE("trainer: rates of children -> steps of that share, weight decay included") {
  for (const double weight_decay : {0.0, 0.2}) {
    const auto plain = moves_of({}, weight_decay), slow = moves_of({.second_rate = 0.25}, weight_decay),
               frozen = moves_of({.first_rate = 0}, weight_decay);
    for (std::size_t i = 0; i < plain[0].size(); ++i) {
      CHECK(plain[0][i] != 0);
      CHECK(slow[0][i] == plain[0][i]);
      CHECK(frozen[0][i] == 0);
    }
    for (std::size_t i = 0; i < plain[1].size(); ++i) {
      CHECK(std::abs(slow[1][i] - 0.25 * plain[1][i]) <= 1e-6);
      CHECK(frozen[1][i] == plain[1][i]);
    }
  }
}

TEST_CASE("trainer: running statistics -> the mean of a step's bags, whatever else is set") {
  const pictures bags;
  double mean[2] = {}, variance[2] = {};
  for (std::int64_t i = 0; i < 4; ++i) {
    const auto image = bags.bag(i);
    const reference::images x = test::plain(image);
    const auto want = reference::batch_norm2d(x, x, {1, 1}, {0, 0}, 1e-5);
    for (std::size_t c = 0; c < 2; ++c) mean[c] += want.mean[c] / 4, variance[c] += want.unbiased[c] / 4;
  }
  const auto check = [&](const auto& weights) {
    for (std::int64_t c = 0; c < 2; ++c) {
      CHECK(std::abs(static_cast<double>(weights["0.running_mean"](c)) - 0.1 * mean[c]) <= 1e-6);
      CHECK(std::abs(static_cast<double>(weights["0.running_var"](c)) - (0.9 + 0.1 * variance[c])) <= 1e-6);
    }
    CHECK(weights["0.num_batches_tracked"](0) == 4);
    CHECK(weights["2.num_batches_tracked"](0) == 4);
  };
  const train::fit_options one_step{.epochs = 1, .bags_per_step = 4, .clip_norm = 1e-3};
  check(trained(train::adam{.weight_decay = 0.5}, one_step));
  check(trained(train::adamw{.learning_rate = 0.1, .weight_decay = 0.5}, one_step));
  check(trained(train::sgd{.momentum = 0.9, .weight_decay = 0.5}, one_step));
}

TEST_CASE("trainer: statistics are no part of the gradient's norm") {
  const auto start = first_weights();
  const auto step = [&](double limit) {
    const auto moved = trained(train::sgd{.learning_rate = 1}, {.epochs = 1, .bags_per_step = 4, .clip_norm = limit});
    double squares = 0;
    for (const auto& entry : moved.entries())
      for (std::int64_t i = entry.offset; i < entry.offset + entry.size() && !is_statistic(entry.what); ++i)
        squares += std::pow(static_cast<double>(moved.flat()(i)) - static_cast<double>(start.flat()(i)), 2);
    return std::sqrt(squares);
  };
  CHECK(std::abs(step(1e-3) - 1e-3) <= 1e-6);
  CHECK(step(0) > 1e-2);
}

TEST_CASE("trainer: batch norm learns, and resumes with its statistics") {
  const test::temporary_directory folder;
  const train::fit_options options{.epochs = 80, .bags_per_step = 2};
  const auto whole = trained(train::adam{.learning_rate = 0.03}, options, 8);
  train::fit_options half = options;
  half.epochs = 11;
  half.checkpoint = folder.path() / "half.safetensors";
  trained(train::adam{.learning_rate = 0.03}, half, 8);
  half.epochs = 80;
  CHECK(test::same_bits(trained(train::adam{.learning_rate = 0.03}, half, 8).flat(), whole.flat()));
  cpu backend{.threads = 1};
  pictures bags{8};
  train::trainer trainer{backend, network{}, train::adam{}};
  CHECK(trainer.evaluate(whole, bags).loss < 0.7 * trainer.evaluate(first_weights(), bags).loss);
  CHECK(whole["0.num_batches_tracked"](0) == 8 * 80);
}
