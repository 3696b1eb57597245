#pragma once

#include <milkit/loss/cross_entropy.hpp>
#include <milkit/models/zoom_mil/prediction.hpp>
#include <milkit/nn/activation.hpp>
#include <milkit/nn/dropout.hpp>
#include <milkit/nn/linear.hpp>
#include <milkit/nn/sequential.hpp>
#include <milkit/pooling/dual_gated_attention.hpp>
#include <milkit/pooling/gated_attention.hpp>
#include <milkit/topk/perturbed.hpp>

#include <support/floats.hpp>
#include <support/golden.hpp>
#include <support/on_backend.hpp>
#include <support/unoptimised.hpp>

MILKIT_UNOPTIMISED_BEGIN

namespace milkit::test::zoom_mil_cases {

using models::aggregation;
constexpr auto any = dynamic_extent;

using projection = nn::sequential<nn::linear<any, any>, nn::relu>;
template <class T>
using from_table = topk::basic_perturbed<topk::noise_of_table<T, backend_space>>;
template <class T>
using dual = models::zoom_level<projection, pooling::dual_gated_attention<any, any>, from_table<T>>;
template <class T>
using single = models::zoom_level<projection, pooling::gated_attention<any, any>, from_table<T>>;
using highest = models::zoom_level<projection, pooling::gated_attention<any, any>>;
using linear_classifier = nn::linear<any, any>;
using mlp = nn::sequential<nn::linear<any, any>, nn::relu, nn::linear<any, any>>;

template <class T>
using two_levels = models::zoom_mil<linear_classifier, dual<T>, highest>;
template <class T>
using three_levels = models::zoom_mil<linear_classifier, dual<T>, dual<T>, highest>;
template <class T>
using four_levels = models::zoom_mil<linear_classifier, dual<T>, dual<T>, dual<T>, highest>;

/// Our names of parameters, as the golden files have them.
inline std::string golden_name(std::string ours) {
  for (const auto& [from, to] : {std::pair("encoder.0.", "projection."), std::pair("pooler.zoom.", "zoom."),
                                 std::pair("pooler.", "attention."), std::pair("classifier.2.", "classifier.1.")})
    if (const auto at = ours.find(from); at != std::string::npos) return ours.replace(at, std::string(from).size(), to);
  return ours;
}
inline std::string level_of(std::size_t m, const std::string& name) { return message("level", m + 1, ".", name); }

/// A golden case: the network with every size and option of the file, its weights and its slide, where the backend works.
template <class Network, class T>
struct zoom_case {
  static constexpr std::size_t levels = Network::levels;

  golden_case golden;
  std::vector<resident<T, 2>> features, noise;
  std::vector<std::vector<std::int64_t>> offsets, rows;  ///< the same children, spelled out
  std::vector<resident<std::int64_t, 1>> resident_offsets, resident_rows;
  Network net = {};

  explicit zoom_case(const char* name, topk::jacobian jacobian) : golden(name) {
    REQUIRE(golden.has(message("features", levels)));
    REQUIRE(!golden.has(message("features", levels + 1)));
    [&]<std::size_t... M>(std::index_sequence<M...>) { (set_level<M>(jacobian), ...); }
    (std::make_index_sequence<levels>());
    set_classifier(net.classifier);
  }

  pyramid<T, levels, backend_space> slide(bool spelled_out = false) const {
    pyramid<T, levels, backend_space> made;
    for (std::size_t m = 0; m < levels; ++m) made.features[m] = features[m].view();
    for (std::size_t m = 0; m + 1 < levels; ++m) {
      made.children[m].width = golden.option<std::int64_t>("ratio", m);
      if (!spelled_out) continue;
      made.children[m].offsets = resident_offsets[m].view();
      made.children[m].rows = resident_rows[m].view();
    }
    return made;
  }

  parameters<Network, T> weights() const {
    parameters<Network, T> all(net);
    for (const auto& entry : all.entries()) {
      const auto values = golden.file().template read<T>(golden_name(entry.name), data::conversion::nearest).values;
      REQUIRE(static_cast<std::int64_t>(values.size()) == entry.size());
      std::copy(values.begin(), values.end(), all.flat().data() + entry.offset);
    }
    return all;
  }

 private:
  std::int64_t extent_of(const std::string& name, int i) const {
    return static_cast<std::int64_t>(golden.file().info(name).shape.at(static_cast<std::size_t>(i)));
  }
  template <std::size_t M>
  void set_level(topk::jacobian jacobian) {
    features.push_back(put(golden.template get<T, 2>(message("features", M + 1))));
    auto& level = std::get<M>(net.magnifications);
    const std::string weight = level_of(M, "projection.weight");
    const std::int64_t d0 = extent_of(weight, 1), d = extent_of(weight, 0);
    level.embedding.encoder = projection(nn::linear<any, any>{.in = {d0}, .out = {d}}, nn::relu{});
    level.embedding.pooler.in = {d};
    level.embedding.pooler.width = {extent_of(level_of(M, "attention.v.weight"), 0)};
    if constexpr (M + 1 < levels) {
      level.zoom.k = golden.template option<std::int64_t>("k");
      level.zoom.jacobian = jacobian;
      if (const std::string table = message("noise", M + 1); golden.has(table)) {
        noise.push_back(put(golden.template get<T, 2>(table)));
        level.zoom.samples = noise.back().rows();
        level.zoom.sigma = golden.template option<double>("sigma");
        level.zoom.noise.values = constant(noise.back());
      }
      const auto ratio = golden.template option<std::int64_t>("ratio", M);
      auto& starts = offsets.emplace_back();
      auto& listed = rows.emplace_back();
      for (std::int64_t n = 0; n <= features[M].rows(); ++n) starts.push_back(n * ratio);
      for (std::int64_t q = 0; q < starts.back(); ++q) listed.push_back(q);
      const auto vector = [](const auto& v) {
        return vector_view<const std::int64_t>(v.data(), {static_cast<std::int64_t>(v.size())});
      };
      resident_offsets.push_back(put(vector(starts)));
      resident_rows.push_back(put(vector(listed)));
    }
  }
  void set_classifier(linear_classifier& layer) const {
    layer.in = {extent_of("classifier.weight", 1)};
    layer.out = {extent_of("classifier.weight", 0)};
  }
  void set_classifier(mlp& layers) const {
    const auto layer = [&](const char* name) {
      return nn::linear<any, any>{.in = {extent_of(name, 1)}, .out = {extent_of(name, 0)}};
    };
    layers = mlp(layer("classifier.0.weight"), nn::relu{}, layer("classifier.1.weight"));
  }
};

/// The selection as the golden files have it, [K, N].
template <class T, class Selection>
std::vector<double> indicator(backend_type& backend, const Selection& selected) {
  const auto scope = backend.workspace.scope();
  const auto host = [&](auto values) {
    using U = typename decltype(values)::value_type;
    const auto read = to_host(backend, vector_view<const U, backend_space>(values));
    return std::vector<U>(read.data(), read.data() + read.extent(0));
  };
  const auto offsets = host(selected.offsets);
  const auto columns = host(selected.columns);
  const auto weights = host(selected.weights);
  std::vector<double> dense(static_cast<std::size_t>(selected.rows() * selected.instances), 0.0);
  for (std::size_t k = 0; k + 1 < offsets.size(); ++k)
    for (auto e = static_cast<std::size_t>(offsets[k]); e < static_cast<std::size_t>(offsets[k + 1]); ++e)
      dense[k * static_cast<std::size_t>(selected.instances) + static_cast<std::size_t>(columns[e])] +=
          static_cast<double>(weights[e]);
  return dense;
}
template <class T>
tensor<T, 2> values_of(backend_type& backend, matrix_view<T, backend_space> values) {
  resident<T, 2> own(values.shape());
  ops::copy_rows(backend, values, own.view());
  return fetch(own);
}

template <class Network, class T>
void golden_training(const char* name, topk::jacobian jacobian = topk::jacobian::full) {
  CAPTURE(name);
  const zoom_case<Network, T> given(name, jacobian);
  const auto& golden = given.golden;
  const auto weights = given.weights();
  const auto w = put(weights.flat());
  const auto label = golden.file().template read<std::int64_t>("label").values;
  const vector_view<const std::int64_t> labels(label.data(), {1});
  const double tolerance = tolerance_of<T>(1e-9, 1e-4);
  typename Network::template saved<T, backend_type> kept;  // the same for all of them
  for (const bool spelled_out : {true, false})
    in_every_way([&](backend_type& backend) {
      CAPTURE(spelled_out);
      const auto scope = backend.workspace.scope();
      resident<T, 2> logits(given.net.output_shape(given.slide())), dlogits(logits.shape());
      resident<T, 1> gradient(w.shape());
      resident<double, 1> losses(shape<1>{1});
      const context at{backend, w.view(), gradient.view(), pass{.training = true}};
      given.net.forward(at, given.slide(spelled_out), logits.view(), kept);
      CHECK(golden.error("logits", fetch(logits)) <= tolerance_of<T>(1e-9, 1e-5));
      const double total =
          loss::cross_entropy{}.evaluate(backend, constant(logits), labels, 1.0, losses.view(), dlogits.view());
      CHECK(golden.error("loss", std::vector<double>{elements(fetch(losses))[0] / total}) <=
            tolerance_of<T>(1e-9, 1e-5));
      [&]<std::size_t... M>(std::index_sequence<M...>) {
        (
            [&] {
              CAPTURE(M);
              const auto& own = std::get<M>(kept.level);
              const double rounding = tolerance_of<T>(1e-9, 1e-5);
              const auto attention = values_of(backend, own.attention);
              CHECK(golden.error(level_of(M, "embedding"), values_of(backend, own.embedding)) <= rounding);
              CHECK(golden.error(level_of(M, "attention"), values_of(backend, own.attention.columns(0, 1))) <=
                    rounding);
              CHECK(golden.error(level_of(M, "logits"), values_of(backend, own.attention_logits.columns(0, 1))) <=
                    rounding);
              if constexpr (M + 1 < Network::levels) {
                const auto column = own.attention.columns(own.attention.cols() - 1, 1);
                CHECK(golden.error(level_of(M, "zoom_attention"), values_of(backend, column)) <= rounding);
                CHECK(golden.error(level_of(M, "indicator"), indicator<T>(backend, own.selected)) <= 1e-6);
              }
            }(),
            ...);
      }
      (std::make_index_sequence<Network::levels>());
      given.net.backward(at, kept, dlogits.view());
      const auto got = fetch(gradient);
      for (const auto& entry : weights.entries()) {
        CAPTURE(entry.name);
        const auto own = got.view().rows(entry.offset, entry.size());
        // softmax is blind to its scores' bias, so the gradient is 0 but for rounding
        if (entry.name.ends_with("w.bias"))
          CHECK(std::abs(static_cast<double>(own(0))) <= tolerance_of<T>(1e-12, 1e-4));
        else if (golden.has("grad." + golden_name(entry.name)))
          CHECK(golden.error("grad." + golden_name(entry.name), own) <= tolerance);
      }
    });
}

template <class Network, class T>
void golden_inference(const char* name) {
  CAPTURE(name);
  const zoom_case<Network, T> given(name, topk::jacobian::full);
  const auto& golden = given.golden;
  const auto weights = given.weights();
  const double rounding = tolerance_of<T>(1e-9, 1e-5);
  for (const bool spelled_out : {false, true})
    in_every_way([&](backend_type& backend) {
      CAPTURE(spelled_out);
      const auto said =
          models::predict(backend, given.net, weights.template to<backend_space>(), given.slide(spelled_out));
      CHECK(golden.error("logits", said.logits) <= rounding);
      std::int64_t instances = 0;
      for (std::size_t m = 0; m < Network::levels; ++m) {
        CAPTURE(m);
        const auto& level = said.levels.at(m);
        instances += level.attention.rows();
        if (m > 0) CHECK(golden.equal(level_of(m, "rows"), level.rows));
        if (m + 1 < Network::levels) CHECK(golden.equal(level_of(m, "selected"), level.selected));
        CHECK(golden.error(level_of(m, "embedding"), level.embedding) <= rounding);
        const auto column = [](const auto& all, std::int64_t c) {
          std::vector<double> own;
          for (std::int64_t i = 0; i < all.rows(); ++i) own.push_back(static_cast<double>(all.view()(i, c)));
          return own;
        };
        CHECK(golden.error(level_of(m, "attention"), column(level.attention, 0)) <= rounding);
        CHECK(golden.error(level_of(m, "logits"), column(level.attention_logits, 0)) <= rounding);
        if (m + 1 < Network::levels)
          CHECK(golden.error(level_of(m, "zoom_attention"), column(level.attention, level.attention.extent(1) - 1)) <=
                rounding);
      }
      CHECK(said.instances() == instances);
      CHECK(backend.workspace.bytes_in_use() == 0);
    });
}

TEST_CASE("zoom_mil agrees with the golden training steps") {
  golden_training<two_levels<double>, double>("zoommil_train_2");
  golden_training<three_levels<double>, double>("zoommil_train_3");
  golden_training<four_levels<double>, double>("zoommil_train_4");
  golden_training<three_levels<double>, double>("zoommil_train_wide");
  golden_training<three_levels<double>, double>("zoommil_train_few");
  golden_training<three_levels<double>, double>("zoommil_train_one");
  golden_training<three_levels<double>, double>("zoommil_train_diagonal", topk::jacobian::diagonal);
  golden_training<three_levels<double>, double>("zoommil_train_plain", topk::jacobian::full_without_baseline);
}
TEST_CASE("zoom_mil agrees with the golden training steps of its ablations") {
  using T = double;
  golden_training<models::zoom_mil<mlp, dual<T>, dual<T>, highest>, T>("zoommil_train_mlp");
  golden_training<models::zoom_mil<linear_classifier, single<T>, single<T>, highest>, T>("zoommil_train_single");
  golden_training<models::basic_zoom_mil<aggregation::last, linear_classifier, dual<T>, dual<T>, highest>, T>(
      "zoommil_train_last");
  golden_training<models::basic_zoom_mil<aggregation::concatenation, linear_classifier, dual<T>, dual<T>, highest>, T>(
      "zoommil_train_concat");
}
TEST_CASE("zoom_mil in float agrees with the golden training steps") {
  golden_training<three_levels<float>, float>("zoommil_train_3");
  golden_training<three_levels<float>, float>("zoommil_train_wide");
}

TEST_CASE("zoom_mil: a slide in the host's memory trains and predicts with the bits of one where the backend works") {
  const zoom_case<three_levels<double>, double> given("zoommil_train_3", topk::jacobian::full);
  const auto weights = given.weights().template to<backend_space>();
  const std::int64_t label[] = {1};
  for (const bool spelled_out : {false, true}) {
    CAPTURE(spelled_out);
    const auto there = given.slide(spelled_out);
    std::vector<tensor<double, 2>> features;
    pyramid<double, 3> here;
    for (std::size_t m = 0; m < 3; ++m) features.push_back(fetch(given.features[m]));
    for (std::size_t m = 0; m < 3; ++m) here.features[m] = features[m].view();
    for (std::size_t m = 0; m < 2; ++m) {
      here.children[m].width = there.children[m].width;
      if (!spelled_out) continue;
      here.children[m].offsets = {given.offsets[m].data(), {static_cast<std::int64_t>(given.offsets[m].size())}};
      here.children[m].rows = {given.rows[m].data(), {static_cast<std::int64_t>(given.rows[m].size())}};
    }
    backend_type backend = make_backend();
    const auto step = [&](const auto& slide) {
      auto gradient = weights.zeros();
      given.net.train_bags(backend, weights.flat(), slide, vector_view<const std::int64_t>(label, {1}),
                           loss::cross_entropy{}, 1.0, gradient.flat(), pass{.training = true});
      return gradient.template to<host_space>();
    };
    CHECK(same_bits(step(here).flat(), step(there).flat()));
    CHECK(same_bits(models::predict(backend, given.net, weights, here).logits,
                    models::predict(backend, given.net, weights, there).logits));
  }
}

TEST_CASE_TEMPLATE("zoom_mil agrees with the golden inference", T, MILKIT_FLOATS) {
  golden_inference<three_levels<T>, T>("zoommil_eval_3");
  golden_inference<three_levels<T>, T>("zoommil_eval_few");
  golden_inference<three_levels<T>, T>("zoommil_eval_one");
  golden_inference<three_levels<T>, T>("zoommil_eval_wide");
}
TEST_CASE("zoom_mil agrees with the golden inference at two magnifications") {
  golden_inference<two_levels<double>, double>("zoommil_eval_2");
}

}  // namespace milkit::test::zoom_mil_cases

MILKIT_UNOPTIMISED_END
