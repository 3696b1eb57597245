#pragma once

#include <milkit/loss/cross_entropy.hpp>
#include <milkit/models/zoom_in/attention.hpp>
#include <milkit/models/zoom_in/features.hpp>
#include <milkit/models/zoom_in/zoom_in.hpp>
#include <milkit/nn/linear.hpp>

#include <support/floats.hpp>
#include <support/golden.hpp>
#include <support/on_backend.hpp>
#include <support/unoptimised.hpp>

MILKIT_UNOPTIMISED_BEGIN

namespace milkit::test::zoom_in_cases {

template <class Activation>
using tile_attention = models::tile_attention<models::conv_attention_logits<Activation>>;
template <class Activation>
using cell_attention = models::cell_attention<models::conv_attention_logits<Activation>>;
using lenet8 = models::lenet_features<8>;

/// The draws of a file: of the image the first time that it is asked, of its complement the second time.
struct file_draws {
  std::vector<std::vector<std::int64_t>> values;  ///< of each branch
  std::size_t next = 0;
  const std::vector<std::int64_t>& take() { return values.at(next++); }
};
struct given_tiles {
  static constexpr bool repeats = true;
  file_draws* draws = nullptr;
  ops::draw_rule rule() const { return {}; }
  template <class Backend, class T, class Space>
  sampling::drawn<T, Space> draw(Backend& backend, const sampling::distributions<T, Space>& of,
                                 vector_view<const std::int64_t>, sampling::drawing, random_stream) const {
    const auto& counts = draws->take();
    return sampling::detail::with_counts(
        backend, of, [&](std::int64_t, std::int64_t i) -> std::int64_t { return counts[static_cast<std::size_t>(i)]; });
  }
};
struct given_cells {
  static constexpr bool repeats = false;
  file_draws* draws = nullptr;
  ops::draw_rule how = {};
  ops::draw_rule rule() const { return how; }
  template <class Backend, class T, class Space>
  sampling::drawn<T, Space> draw(Backend& backend, const sampling::distributions<T, Space>& of,
                                 vector_view<const std::int64_t> counts, sampling::drawing, random_stream) const {
    const auto& positions = draws->take();
    return sampling::detail::without_repeats(backend, of, counts, how, [&](const auto&, auto items) {
      std::vector<std::int32_t> narrow(positions.begin(), positions.end());
      const auto there = put(vector_view<const std::int32_t>(narrow.data(), items.shape()));
      ops::copy_rows(backend, constant(there), items);
    });
  }
};

/// attention1.0.2.bias is attention1.conv2.bias there, features.4.weight features.conv3.weight.
inline std::string golden_name(const std::string& ours) {
  std::string kind = ours.substr(0, ours.find('.')), what = ours.substr(ours.rfind('.') + 1);
  if (kind == "classifier") return ours;
  const std::string rest = ours.substr(0, ours.rfind('.'));
  return kind + ".conv" + std::to_string(std::stoi(rest.substr(rest.rfind('.') + 1)) / 2 + 1) + "." + what;
}

template <class Network, class T>
parameters<Network, T> weights_of(const golden_case& golden, const Network& network) {
  parameters<Network, T> weights(network);
  for (const auto& entry : weights.entries()) {
    const auto values = golden.file().template read<double>(golden_name(entry.name), data::conversion::nearest).values;
    if (static_cast<std::int64_t>(values.size()) != entry.size()) throw io_error("another size: " + entry.name);
    std::transform(values.begin(), values.end(), weights[entry.name].data(),
                   [](double each) { return static_cast<T>(each); });
  }
  return weights;
}
inline sampling::area<sampling::pixel_frame> pair_of(const golden_case& golden, const char* name) {
  return {golden.option<std::int64_t>(name, 0), golden.option<std::int64_t>(name, 1)};
}
template <class Network>
void set_views(Network& network, const golden_case& golden) {
  const auto tile = pair_of(golden, "tile_size"), first = pair_of(golden, "view1_size"),
             second = pair_of(golden, "view2_size");
  const auto scale = [&](auto view) {
    return sampling::view_scale(static_cast<double>(view.rows) / static_cast<double>(tile.rows),
                                static_cast<double>(view.columns) / static_cast<double>(tile.columns));
  };
  network.options.views = {tile, scale(first), scale(second), pair_of(golden, "subtile_size")};
}
inline std::vector<std::int64_t> integers(const golden_case& golden, const char* name) {
  return golden.file().read<std::int64_t>(name).values;
}

template <class T, class Activation>
void training_step(const char* name, ops::draw_rule rule) {
  CAPTURE(name);
  const golden_case golden(name);
  backend_type backend = make_backend();
  using network_type = models::zoom_in<tile_attention<Activation>, cell_attention<Activation>, lenet8, nn::linear<8, 2>,
                                       given_tiles, given_cells>;
  file_draws tiles{{integers(golden, "counts")}}, cells{{integers(golden, "positions")}};
  const bool contrast = golden.has("contrast_counts");
  if (contrast) {
    tiles.values.push_back(integers(golden, "contrast_counts"));
    cells.values.push_back(integers(golden, "contrast_positions"));
  }
  network_type network;
  network.tile_sampler = {&tiles};
  network.cell_sampler = {&cells, rule};
  set_views(network, golden);
  network.options.entropy = golden.option<double>("lambda");
  network.options.contrastive_from = 0;
  for (const std::int64_t draws : integers(golden, "counts")) network.options.draws += draws;
  const auto host = weights_of<network_type, T>(golden, network);
  const auto weights = host.template to<backend_space>();
  auto gradient = weights.zeros();
  const auto pixels = golden.get<T, 3>("image");
  const sampling::planar_image<T> image{pixels.view()};
  const auto label = integers(golden, "label");
  const auto loss =
      network.train_bags(backend, weights.flat(), image, vector_view<const std::int64_t>(label.data(), {1}),
                         loss::cross_entropy{}, 1.0, gradient.flat(), pass{.training = true});
  const double expected = golden.option<double>("loss");
  CHECK(std::abs(loss - expected) <= tolerance_of<T>(1e-10, 1e-5) * std::abs(expected) + tolerance_of<T>(1e-13, 1e-6));
  const auto back = gradient.template to<host_space>();
  for (const auto& entry : back.entries())
    CHECK(gradient_within<T>(golden, "grad." + golden_name(entry.name), back[entry.name]));

  // the parts
  tiles.next = cells.next = 0;
  const auto scope = backend.workspace.scope();
  typename network_type::template saved<T, backend_type> kept;
  const auto logits = backend.workspace.template allocate<T>(shape<2>{contrast ? 2 : 1, 2});
  network.forward(context{backend, weights.flat(), {}, {.training = true}}, image, contrast, models::looking::sampled,
                  logits, kept);
  const auto on_host = [&](const auto& values) { return copied_to<host_space>(values); };
  CHECK(output_within<T>(golden, "logits1", on_host(kept.tile_logits)));
  CHECK(output_within<T>(golden, "attention1", on_host(kept.tile_attention)));
  CHECK(output_within<T>(golden, "output", on_host(kept.embedding.rows(0, 1))));
  CHECK(output_within<T>(golden, "logits", on_host(logits.rows(0, 1))));
  CHECK(output_within<T>(golden, "draw_features", on_host(kept.attended.features)));
  if (contrast) CHECK(output_within<T>(golden, "contrast_logits", on_host(logits.rows(1, 1))));
}

TEST_CASE_TEMPLATE("zoom_in's training step agrees with the golden tensors", T, MILKIT_FLOATS) {
  using ops::draw_estimator;
  training_step<T, nn::relu>("zoom_in_two_stage", {draw_estimator::ordered});
  training_step<T, nn::tanh>("zoom_in_two_stage_negative", {draw_estimator::ordered, true});
  training_step<T, nn::relu>("zoom_in_two_stage_one_tile", {draw_estimator::ordered});
  training_step<T, nn::relu>("zoom_in_two_stage_one_draw", {draw_estimator::ordered});
  training_step<T, nn::relu>("zoom_in_two_stage_official_gradient", {draw_estimator::official_zoom_in});
}

TEST_CASE_TEMPLATE("zoom_in in full and without chance agrees with the golden tensors", T, MILKIT_FLOATS) {
  backend_type backend = make_backend();
  {
    const golden_case golden("zoom_in_two_stage_exact");
    using network_type = models::zoom_in<tile_attention<nn::relu>, cell_attention<nn::relu>, lenet8, nn::linear<8, 2>,
                                         sampling::exact, sampling::exact>;
    network_type network;
    set_views(network, golden);
    network.options.entropy = 0;
    network.options.contrastive = false;
    const auto weights = weights_of<network_type, T>(golden, network).template to<backend_space>();
    auto gradient = weights.zeros();
    const auto pixels = golden.get<T, 3>("image");
    const sampling::planar_image<T> image{pixels.view()};
    const auto label = integers(golden, "label");
    const auto loss =
        network.train_bags(backend, weights.flat(), image, vector_view<const std::int64_t>(label.data(), {1}),
                           loss::cross_entropy{}, 1.0, gradient.flat(), pass{.training = true});
    CHECK(std::abs(loss - golden.option<double>("loss")) <= tolerance_of<T>(1e-10, 1e-5));
    const auto back = gradient.template to<host_space>();
    for (const auto& entry : back.entries())
      CHECK(gradient_within<T>(golden, "grad." + golden_name(entry.name), back[entry.name]));
    network.options.inference = models::looking::exact;
    resident<T, 2> logits(shape<2>{1, 2});
    network.infer(backend, weights.flat(), image, logits.view());
    CHECK(output_within<T>(golden, "logits", fetch(logits)));
  }
  {
    const golden_case golden("zoom_in_two_stage_deterministic");
    using network_type = models::zoom_in<tile_attention<nn::relu>, cell_attention<nn::relu>, lenet8, nn::linear<8, 2>>;
    network_type network;
    set_views(network, golden);
    network.cell_sampler.estimator = ops::draw_estimator::ordered;
    network.options.draws = golden.option<std::int64_t>("draw_count");
    const auto weights = weights_of<network_type, T>(golden, network).template to<backend_space>();
    const auto pixels = golden.get<T, 3>("image");
    resident<T, 2> logits(shape<2>{1, 2});
    network.infer(backend, weights.flat(), sampling::planar_image<T>{pixels.view()}, logits.view());
    CHECK(output_within<T>(golden, "logits", fetch(logits)));
  }
}

}  // namespace milkit::test::zoom_in_cases

MILKIT_UNOPTIMISED_END
