#pragma once

#include <milkit/loss/cross_entropy.hpp>
#include <milkit/models/bag_classifier/bag_classifier.hpp>
#include <milkit/nn/activation.hpp>
#include <milkit/nn/dropout.hpp>
#include <milkit/nn/linear.hpp>
#include <milkit/nn/sequential.hpp>
#include <milkit/pooling/gated_attention.hpp>
#include <milkit/train/optimizer.hpp>

#include <support/floats.hpp>
#include <support/golden.hpp>
#include <support/on_backend.hpp>
#include <support/unoptimised.hpp>

MILKIT_UNOPTIMISED_BEGIN

namespace milkit::test::bag_classifier_cases {

template <std::int64_t D0, std::int64_t D, std::int64_t L>
using abmil = models::bag_classifier<nn::sequential<nn::linear<D0, D>, nn::relu>, pooling::gated_attention<D, L>,
                                     nn::linear<D, 2>>;
using golden_network = abmil<24, 16, 8>;
using relu_network =
    models::bag_classifier<nn::sequential<nn::linear<24, 16>, nn::relu>,
                           pooling::gated_attention<16, 8, ops::relu_function, false>, nn::linear<16, 2>>;
using small_network = models::bag_classifier<nn::sequential<nn::linear<9, 7>, nn::relu, nn::dropout>,
                                             pooling::gated_attention<7, 5>, nn::linear<7, 3>>;

inline small_network small(std::int64_t chunk_rows = 0) {
  small_network net;
  net.embedding.encoder = nn::sequential<nn::linear<9, 7>, nn::relu, nn::dropout>({}, {}, {.rate = 0.25});
  net.embedding.pooler.dropout = 0.25;
  net.embedding.chunk_rows = chunk_rows;
  return net;
}

/// Our names of parameters, as the golden files have them.
inline std::string golden_name(const golden_case& golden, std::string ours) {
  for (const auto& [from, to] : {std::pair("encoder.0.", "projection."), std::pair("pooler.", "attention.")})
    if (ours.starts_with(from)) ours.replace(0, std::string(from).size(), to);
  if (!golden.has("attention.score.weight")) return ours;
  for (const auto& [from, to] : {std::pair(".v.", ".a."), std::pair(".u.", ".b."), std::pair(".w.", ".score.")})
    if (const auto at = ours.find(from); at != std::string::npos) ours.replace(at, 3, to);
  return ours;
}
template <class Network, class T>
parameters<Network, T> golden_weights(const golden_case& golden) {
  parameters<Network, T> weights;
  for (const auto& entry : weights.entries()) {
    const auto values = golden.file().read<T>(golden_name(golden, entry.name), data::conversion::nearest).values;
    REQUIRE(static_cast<std::int64_t>(values.size()) == entry.size());
    std::copy(values.begin(), values.end(), weights.flat().data() + entry.offset);
  }
  return weights;
}
inline std::vector<std::int64_t> golden_offsets(const golden_case& golden, std::int64_t rows) {
  return golden.has("offsets") ? golden.file().read<std::int64_t>("offsets").values
                               : std::vector<std::int64_t>{0, rows};
}
template <class Values>
vector_view<const std::int64_t> vector_of(const Values& values) {
  return {values.data(), {static_cast<std::int64_t>(values.size())}};
}

template <class T>
struct step_result {
  tensor<T, 2> logits, dx;
  tensor<T, 1> gradient;
  tensor<double, 1> losses;  ///< of each bag
  double loss = 0;           ///< their mean
};

/// Loss, logits and all gradients.
template <class T, class Network>
step_result<T> step(backend_type& backend, const Network& net, const parameters<Network, T>& weights,
                    const tensor<T, 2>& x, const std::vector<std::int64_t>& offsets,
                    const std::vector<std::int64_t>& labels, const pass& how, bool backward = true) {
  const auto w = put(weights.flat());
  const auto instances = put(x);
  const auto bags = bags_of(instances.view(), vector_of(offsets));
  resident<T, 2> logits(net.output_shape(bags)), dlogits(logits.shape()), dx(x.shape());
  resident<T, 1> gradient(w.shape());
  resident<double, 1> losses(shape<1>{bags.bags()});
  typename Network::template saved<bag_view<T, 2, backend_space>, backend_type> kept;
  const auto scope = backend.workspace.scope();
  const context at{backend, w.view(), gradient.view(), how};
  net.forward(at, bags, {.logits = logits.view()}, kept);
  const loss::cross_entropy loss;
  const double total = loss.evaluate(backend, constant(logits), vector_of(labels), 1.0, losses.view(), dlogits.view());
  if (backward) net.backward(at, bags, kept, dlogits.view(), matrix_view<const T, backend_space>(), dx.view());
  step_result<T> out{fetch(logits), fetch(dx), fetch(gradient), fetch(losses)};
  for (const double each : elements(out.losses)) out.loss += each / total;
  return out;
}
template <class T, class Network>
step_result<T> step(const Network& net, const parameters<Network, T>& weights, const tensor<T, 2>& x,
                    const std::vector<std::int64_t>& offsets, const std::vector<std::int64_t>& labels,
                    const pass& how) {
  backend_type backend = make_backend();
  return step<T>(backend, net, weights, x, offsets, labels, how);
}

template <class T, class Network>
void golden_step(const char* name) {
  CAPTURE(name);
  const golden_case golden(name);
  const double tolerance = tolerance_of<T>(1e-9, 1e-5);
  const auto weights = golden_weights<Network, T>(golden);
  const auto x = golden.get<T, 2>("x");
  const auto offsets = golden_offsets(golden, x.rows());
  const auto labels = golden.file().read<std::int64_t>("label").values;
  const auto got = step<T>(Network{}, weights, x, offsets, labels, {.training = true});
  CHECK(golden.error("logits", got.logits) <= tolerance);
  CHECK(golden.error("loss", std::vector<double>{got.loss}) <= tolerance);
  if (golden.has("losses")) CHECK(golden.error("losses", got.losses) <= tolerance);
  CHECK(golden.error("grad.x", got.dx) <= tolerance);
  for (const auto& entry : weights.entries()) {
    CAPTURE(entry.name);
    CHECK(golden.error("grad." + golden_name(golden, entry.name),
                       got.gradient.view().rows(entry.offset, entry.size())) <= tolerance);
  }
  backend_type backend = make_backend();
  const auto instances = put(x);
  const auto said = models::predict(backend, Network{}, weights.template to<backend_space>(),
                                    bags_of(instances.view(), vector_of(offsets)));
  CHECK(same_bits(said.logits, got.logits));
  CHECK(golden.error("embedding", said.embedding) <= tolerance);
  CHECK(golden.error("attention", said.attention) <= tolerance);
  if (golden.has("attention_logits")) CHECK(golden.error("attention_logits", said.attention_logits) <= tolerance);
  for (std::int64_t b = 0; b < said.logits.rows(); ++b) {
    const double difference =
        static_cast<double>(said.logits.view()(b, 1)) - static_cast<double>(said.logits.view()(b, 0));
    CHECK(close(static_cast<double>(said.probabilities.view()(b, 1)), 1 / (1 + std::exp(-difference)),
                {.absolute = 1e-6}));
  }
}

/// Steps of Adam; step k trains on bag k of the batch, or always on the one bag. One loss more than steps is stored: that
/// of the weights after the last.
template <class T>
void golden_adam(const char* name) {
  CAPTURE(name);
  const golden_case golden(name);
  auto weights = golden_weights<golden_network, T>(golden).template to<backend_space>();
  const auto x = golden.get<T, 2>("x");
  const auto offsets = golden_offsets(golden, x.rows());
  const auto instances = put(x);
  const auto labels = golden.file().read<std::int64_t>("label").values;
  const auto losses = golden.file().read<double>("losses").values;
  const train::adam adam{.learning_rate = golden.option<double>("learning_rate"),
                         .beta1 = golden.option<double>("beta1"),
                         .beta2 = golden.option<double>("beta2"),
                         .eps = golden.option<double>("eps"),
                         .weight_decay = golden.option<double>("weight_decay")};
  auto gradient = weights.zeros(), first = weights.zeros(), second = weights.zeros();
  backend_type backend = make_backend();
  const double tolerance = tolerance_of<T>(1e-9, 1e-5);
  REQUIRE(losses.size() > 1);
  for (std::size_t k = 0; k < losses.size(); ++k) {
    CAPTURE(k);
    const std::size_t bag = k % labels.size();
    const auto rows = instances.view().rows(offsets[bag], offsets[bag + 1] - offsets[bag]);
    ops::fill(backend, gradient.flat(), T(0));
    const double loss = golden_network{}.train_bags(backend, weights.flat(), bags_of(rows),
                                                    vector_view<const std::int64_t>(&labels[bag], {1}),
                                                    loss::cross_entropy{}, 1.0, gradient.flat(), {.training = true});
    CHECK(close(loss, losses[k], {.relative = tolerance}));
    if (k + 1 == losses.size()) break;
    const auto step = static_cast<std::int64_t>(k) + 1;
    adam.step(backend, weights.flat(), std::as_const(gradient).flat(),
              std::array<vector_view<T, backend_space>, 2>{first.flat(), second.flat()},
              {.step = step, .learning_rate = adam.learning_rate});
    const auto now = weights.template to<host_space>();
    for (const auto& entry : now.entries()) {
      CAPTURE(entry.name);
      CHECK(golden.error(message("step", step, ".") + golden_name(golden, entry.name), now[entry.name]) <= tolerance);
    }
  }
}

TEST_CASE_TEMPLATE("bag_classifier agrees with the golden tensors", T, MILKIT_FLOATS) {
  golden_step<T, golden_network>("bag_classifier");
  golden_step<T, golden_network>("bag_classifier_one");
  golden_step<T, golden_network>("bag_classifier_batch");
  golden_step<T, relu_network>("bag_classifier_abmil");
}

TEST_CASE_TEMPLATE("bag_classifier: the weights after golden steps of Adam", T, MILKIT_FLOATS) {
  golden_adam<T>("bag_classifier_adam");
  golden_adam<T>("bag_classifier_adam_bags");
}

TEST_CASE("bag_classifier: central differences, with dropout, in chunks") {
  const auto net = small(4);
  auto weights = initial_parameters<double>(net, {.seed = 2});
  auto x = normals<double>(shape<2>{10, 9}, 5);
  const std::vector<std::int64_t> offsets = {0, 3, 4, 10}, labels = {2, 0, 1};
  const pass how{.training = true, .random = random_stream(7, 5, 3)};
  backend_type backend = make_backend(1);
  const auto once = [&](bool backward) {
    return step<double>(backend, net, weights, x, offsets, labels, how, backward);
  };
  const auto got = once(true);
  const auto loss = [&] { return once(false).loss; };
  CHECK(relative_error(got.dx, central_differences(x.view(), loss)) <= 1e-7);
  CHECK(relative_error(got.gradient, central_differences(weights.flat(), loss)) <= 1e-7);
}

}  // namespace milkit::test::bag_classifier_cases

MILKIT_UNOPTIMISED_END
