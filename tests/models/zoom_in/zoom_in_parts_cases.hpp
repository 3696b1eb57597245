#pragma once

#include <milkit/models/zoom_in/attention.hpp>
#include <milkit/models/zoom_in/features.hpp>
#include <milkit/ops/rows/softmax.hpp>

#include <support/floats.hpp>
#include <support/golden.hpp>
#include <support/layer_check.hpp>
#include <support/unoptimised.hpp>

MILKIT_UNOPTIMISED_BEGIN

namespace milkit::test::zoom_in_parts_cases {

/// Names of the convolutions, in their order, as the golden files have them.
template <class Network>
std::vector<std::pair<parameter_entry, std::string>> golden_names() {
  std::vector<std::pair<parameter_entry, std::string>> names;
  int number = 0;
  for (const auto& entry : parameter_entries(Network{})) {
    const bool weight = entry.name.ends_with("weight");
    number += weight;
    names.push_back({entry, message("conv", number, weight ? ".weight" : ".bias")});
  }
  return names;
}

template <class T, class Network>
tensor<T, 1> golden_weights(const golden_case& golden) {
  parameters<Network, T> weights;
  for (const auto& [entry, name] : golden_names<Network>()) {
    const auto values = golden.file().read<T>(name, data::conversion::nearest).values;
    REQUIRE(static_cast<std::int64_t>(values.size()) == entry.size());
    std::copy(values.begin(), values.end(), weights.flat().data() + entry.offset);
  }
  return copied_to<host_space>(std::as_const(weights).flat());
}

/// Each gradient that the file has, as README_zoom_in.md bounds it: some vanish but for rounding.
template <class T, class Network>
void check_gradient(const golden_case& golden, const tensor<T, 1>& gradient) {
  for (const auto& each : golden_names<Network>()) {
    const auto& entry = each.first;
    const std::string& name = each.second;
    CAPTURE(name);
    if (!golden.has("grad." + name)) continue;
    const auto want = golden.file().read<double>("grad." + name, data::conversion::nearest).values;
    const auto got = elements(gradient.view().rows(entry.offset, entry.size()));
    REQUIRE(got.size() == want.size());
    double largest = 0;
    for (const double element : want) largest = (std::max)(largest, std::abs(element));
    bool all = true;
    for (std::size_t i = 0; i < want.size(); ++i)
      all = all && std::abs(got[i] - want[i]) <= tolerance_of<T>(1e-10, 1e-4) * largest + tolerance_of<T>(1e-13, 1e-6);
    CHECK(all);
  }
}

template <class T, class Network>
void features_agree(const char* name) {
  CAPTURE(name);
  const golden_case golden(name);
  backend_type backend = make_backend();
  const auto weights = golden_weights<T, Network>(golden);
  const auto x = golden.get<T, 4>("input");
  const auto dy = golden.get<T, 2>("grad_output");
  const auto got = run_layer<T>(backend, Network{}, weights, x.view(), dy.view(), pass{.training = true});
  CHECK(golden.error("output", got.output) <= golden_tolerance<T>);
  CHECK(golden.error("grad.input", got.dinput) <= tolerance_of<T>(1e-10, 1e-4));
  check_gradient<T, Network>(golden, got.gradient);
}

TEST_CASE_TEMPLATE("zoom-in: the feature networks agree with the golden tensors", T, MILKIT_FLOATS) {
  features_agree<T, models::lenet_features<8>>("zoom_in_lenet");
  features_agree<T, models::lenet_features<8>>("zoom_in_lenet_tiny");
  features_agree<T, models::lenet_features<>>("zoom_in_lenet_table5");
  features_agree<T, models::official_features<6, 8>>("zoom_in_official_features");
}

/// Logits of all images, one softmax over them, and back from the gradient of the attention.
template <class T, class Network>
void attention_agrees(const char* name, bool cells) {
  CAPTURE(name);
  const golden_case golden(name);
  backend_type backend = make_backend();
  const Network network;
  const auto weights = golden_weights<T, Network>(golden);
  tensor<T, 4> x;
  if (cells) {
    const auto view = golden.get<T, 3>("view");
    x = tensor<T, 4>(shape<4>{1, view.extent(0), view.extent(1), view.extent(2)});
    std::copy_n(view.data(), view.size(), x.data());
  } else {
    x = golden.get<T, 4>("views");
  }
  const auto logits = layer_output<T>(backend, network, weights, x, pass{});
  CHECK(golden.error("logits", logits) <= golden_tolerance<T>);
  const auto upstream = golden.file().read<T>("grad_output", data::conversion::nearest).values;
  const shape<2> row{1, static_cast<std::int64_t>(upstream.size())};
  const auto z = put(logits);
  const auto dy = put(matrix_view<const T>(upstream.data(), row));
  resident<T, 2> attention(row), dlogits(row);
  using none = vector_view<T, backend_space>;
  ops::softmax(backend, matrix_view<const T, backend_space>(z.data(), row), attention.view(), none());
  ops::softmax_backward(backend, attention.view(), constant(dy), none(), dlogits.view());
  CHECK(golden.error("attention", fetch(attention)) <= golden_tolerance<T>);
  tensor<T, 2> back(logits.shape());
  const auto from = fetch(dlogits);
  std::copy_n(from.data(), from.size(), back.data());
  const auto got = run_layer<T>(backend, network, weights, std::as_const(x).view(), std::as_const(back).view(),
                                pass{.training = true});
  CHECK(golden.error(cells ? "grad.view" : "grad.views", got.dinput) <= tolerance_of<T>(1e-10, 1e-4));
  check_gradient<T, Network>(golden, got.gradient);
}

TEST_CASE_TEMPLATE("zoom-in: the attention of both stages agrees with the golden tensors", T, MILKIT_FLOATS) {
  using tanh_map = models::conv_attention_logits<nn::tanh>;
  using last_tanh_map = models::conv_attention_logits<nn::relu, nn::tanh>;
  attention_agrees<T, models::tile_attention<>>("zoom_in_attention_stage1", false);
  attention_agrees<T, models::tile_attention<>>("zoom_in_attention_stage1_tiny", false);
  attention_agrees<T, models::tile_attention<tanh_map>>("zoom_in_attention_stage1_tanh", false);
  attention_agrees<T, models::tile_attention<last_tanh_map>>("zoom_in_attention_stage1_last_tanh", false);
  attention_agrees<T, models::tile_attention<models::wide_attention_logits<>>>("zoom_in_attention_stage1_wide", false);
  attention_agrees<T, models::cell_attention<>>("zoom_in_attention_stage2", true);
  attention_agrees<T, models::cell_attention<>>("zoom_in_attention_stage2_row", true);
  attention_agrees<T, models::cell_attention<tanh_map>>("zoom_in_attention_stage2_tanh", true);
  attention_agrees<T, models::cell_attention<last_tanh_map>>("zoom_in_attention_stage2_last_tanh", true);
}

TEST_CASE("zoom-in: attention and feature networks keep the contract of a layer, where they can") {
  layer_check tiles(models::tile_attention<models::conv_attention_logits<nn::tanh>>{}, shape<4>{3, 3, 3, 2});
  tiles.gradients();
  tiles.rows_are_independent();
  tiles.zero_rows();
  tiles.memory();
  layer_check cells(models::cell_attention<models::conv_attention_logits<nn::tanh, nn::tanh>>{}, shape<4>{2, 3, 3, 2});
  cells.gradients();
  cells.absent_dinput();
  cells.memory();
  layer_check residual(models::preactivation_block<2, 3, 2>{}, shape<4>{3, 2, 5, 4});
  residual.gradients();
  residual.adds_to_gradient();
  residual.zero_rows();
  residual.memory();
}

TEST_CASE("zoom-in: the residual features in training and inference, of the published widths") {
  backend_type backend = make_backend();
  const auto check = [&](const auto& network, bool unit) {
    const auto weights = initial_parameters<float>(network, {.seed = 1});
    const auto flat = copied_to<host_space>(weights.flat());
    const auto x = normals<float>(shape<4>{2, 3, 13, 11}, 1);
    for (const bool training : {true, false}) {
      const auto y = layer_output<float>(backend, network, flat, x, pass{.training = training});
      for (std::int64_t i = 0; i < 2; ++i) {
        double squares = 0;
        for (const double each : elements(y.view().rows(i, 1))) squares += each * each;
        CHECK(std::isfinite(squares));
        CHECK(squares > 0);
        if (unit) CHECK(std::abs(squares - 1) <= 1e-5);
      }
    }
  };
  check(models::residual_features<>{}, false);
  check(models::official_residual_features<>{}, true);
  check(models::official_residual_features<48, 2>{}, true);
}

}  // namespace milkit::test::zoom_in_parts_cases

MILKIT_UNOPTIMISED_END
