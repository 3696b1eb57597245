#pragma once

#include <milkit/nn/batch_norm2d.hpp>
#include <milkit/train/statistics.hpp>

#include <reference/batch_norm.hpp>
#include <support/floats.hpp>
#include <support/golden.hpp>
#include <support/images.hpp>
#include <support/layer_check.hpp>
#include <support/unoptimised.hpp>

MILKIT_UNOPTIMISED_BEGIN

namespace milkit::test::batch_norm2d_cases {

template <std::int64_t Channels, class T>
std::vector<double> part(const vector_view<T>& flat, const char* name) {
  for (const auto& entry : parameter_entries(nn::batch_norm2d<Channels>{}))
    if (entry.name == name) return elements(flat.rows(entry.offset, entry.size()));
  return {};
}
template <std::int64_t Channels, class T>
std::vector<double> part(const tensor<T, 1>& flat, const char* name) {
  return part<Channels>(flat.view(), name);
}

/// Weights about 1, biases and means about 0, variances above 0.
template <std::int64_t Channels, class T>
tensor<T, 1> some_weights() {
  tensor<T, 1> flat = normals<T>(shape<1>{parameter_stretch(nn::batch_norm2d<Channels>{})}, 3, 0.3);
  for (std::int64_t c = 0; c < Channels; ++c) {
    flat.data()[c] += T(1);
    flat.data()[3 * Channels + c] = T(0.5) + flat.data()[3 * Channels + c] * flat.data()[3 * Channels + c];
  }
  flat.data()[4 * Channels] = 0;
  return flat;
}

TEST_CASE("batch_norm2d keeps the contract of a layer") {
  layer_check(nn::batch_norm2d<2>{}, shape<4>{3, 2, 3, 4}).all();
  layer_check(nn::batch_norm2d<3>{.eps = 0.1}, shape<4>{5, 3, 1, 1}).all();
  layer_check(nn::batch_norm2d<2>{.frozen = true}, shape<4>{3, 2, 3, 2}).all();
  layer_check(nn::batch_norm2d<dynamic_extent>{.channels = {2}}, shape<4>{2, 2, 3, 2}).all();
  layer_check inference(nn::batch_norm2d<2>{}, shape<4>{3, 2, 3, 2});
  inference.how.training = false;
  inference.all();
}

TEST_CASE_TEMPLATE("batch_norm2d agrees with plain loops at odd sizes, far from zero too", T, MILKIT_FLOATS) {
  constexpr std::int64_t channels = 3;
  const auto weights = some_weights<channels, T>();
  const auto scale = part<channels>(weights, "weight"), shift = part<channels>(weights, "bias");
  const std::vector running{part<channels>(weights, "running_mean"), part<channels>(weights, "running_var")};
  for (const shape<4>& size : {shape<4>{5, 3, 1, 1}, {1, 3, 5, 7}, {4, 3, 31, 33}, {300, 3, 3, 1}, {2, 3, 64, 80}})
    for (const double offset : {0.0, 300.0})
      for (const bool frozen : {false, true}) {
        CAPTURE(to_string(size));
        CAPTURE(offset);
        CAPTURE(frozen);
        const nn::batch_norm2d<channels> layer{.frozen = frozen};
        auto x = normals<T>(size, 1, 2);
        for (std::int64_t i = 0; i < x.size(); ++i) x.data()[i] += static_cast<T>(offset);
        const auto dy = normals<T>(size, 2);
        backend_type backend = make_backend();
        const auto got = run_layer<T>(backend, layer, weights, std::as_const(x).view(), std::as_const(dy).view(),
                                      pass{.training = true});
        const auto want = reference::batch_norm2d(plain(x), plain(dy), scale, shift, 1e-5,
                                                  frozen ? running : std::vector<std::vector<double>>());
        CHECK(relative_error(got.output, want.y.values) <= tolerance_of<T>(1e-11, 2e-6));
        CHECK(relative_error(got.dinput, want.dx.values) <= tolerance_of<T>(1e-10, 1e-5));
        CHECK(relative_error(part<channels>(got.gradient, "weight"), want.dweight) <= tolerance_of<T>(1e-11, 1e-5));
        CHECK(relative_error(part<channels>(got.gradient, "bias"), want.dbias) <= tolerance_of<T>(1e-12, 1e-5));
        std::vector<double> mean_step(channels), variance_step(channels);
        for (std::size_t c = 0; c < channels && !frozen; ++c) {
          mean_step[c] = 0.1 * (want.mean[c] - running[0][c]);
          variance_step[c] = 0.1 * (want.unbiased[c] - running[1][c]);
        }
        CHECK(relative_error(part<channels>(got.gradient, "running_mean"), mean_step) <= tolerance_of<T>(1e-12, 2e-6));
        CHECK(relative_error(part<channels>(got.gradient, "running_var"), variance_step) <=
              tolerance_of<T>(1e-11, 2e-6));
        CHECK(part<channels>(got.gradient, "num_batches_tracked") == std::vector<double>{frozen ? 0.0 : 1.0});
      }
}

TEST_CASE("batch_norm2d: running statistics move by the mean of a step's batches, others not at all") {
  backend_type backend = make_backend();
  const nn::batch_norm2d<2> layer{.momentum = 0.25};
  parameters<nn::batch_norm2d<2>, double> weights(layer);
  const auto start = some_weights<2, double>();
  std::copy_n(start.data(), start.size(), weights.flat().data());
  tensor<double, 1> sum(start.shape());
  std::vector<double> means(2), variances(2);
  for (const std::uint64_t seed : {1u, 2u, 3u}) {
    const auto x = normals<double>(shape<4>{static_cast<std::int64_t>(seed), 2, 3, 2}, seed);
    const auto got = run_layer<double>(backend, layer, start, x.view(), x.view(), pass{.training = true});
    const auto want = reference::batch_norm2d(plain(x), plain(x), {1, 1}, {0, 0}, 1e-5);
    for (std::int64_t i = 0; i < sum.size(); ++i) sum.data()[i] += got.gradient.data()[i];
    for (std::size_t c = 0; c < 2; ++c) means[c] += want.mean[c] / 3, variances[c] += want.unbiased[c] / 3;
  }
  auto moved = put(start);
  const auto steps = put(sum);
  train::move_statistics(backend, weights.entries(), moved.view(), constant(steps));
  const auto after = fetch(moved);
  for (std::size_t c = 0; c < 2; ++c) {
    CHECK(std::abs(part<2>(after, "running_mean")[c] - (0.75 * part<2>(start, "running_mean")[c] + 0.25 * means[c])) <=
          1e-14);
    CHECK(std::abs(part<2>(after, "running_var")[c] -
                   (0.75 * part<2>(start, "running_var")[c] + 0.25 * variances[c])) <= 1e-14);
  }
  CHECK(part<2>(after, "num_batches_tracked") == std::vector<double>{3});
  CHECK(part<2>(after, "weight") == part<2>(start, "weight"));
  const resident<double, 1> nothing(start.shape());
  train::move_statistics(backend, weights.entries(), moved.view(), constant(nothing));
  CHECK(same_bits(fetch(moved), after));
}

TEST_CASE(
    "batch_norm2d of a single value gives the bias, and leaves the running statistics alone; NaN stays in its "
    "channel") {
  backend_type backend = make_backend();
  const nn::batch_norm2d<2> layer;
  const auto weights = some_weights<2, double>();
  auto x = normals<double>(shape<4>{1, 2, 1, 1}, 1), dy = normals<double>(shape<4>{1, 2, 1, 1}, 2);
  const auto got = run_layer<double>(backend, layer, weights, std::as_const(x).view(), std::as_const(dy).view(),
                                     pass{.training = true});
  CHECK(same_bits(got.output, part<2>(weights, "bias")));
  for (const double each : elements(got.dinput)) CHECK(each == 0);
  CHECK(same_bits(part<2>(got.gradient, "bias"), dy));
  for (const char* name : {"weight", "running_mean", "running_var", "num_batches_tracked"})
    for (const double each : part<2>(got.gradient, name)) CHECK(each == 0);
  auto images = normals<double>(shape<4>{2, 2, 2, 2}, 1);
  images.view()(1, 0, 1, 1) = std::nan("");
  const auto odd = run_layer<double>(backend, layer, weights, std::as_const(images).view(),
                                     std::as_const(images).view(), pass{.training = true})
                       .output;
  for (std::int64_t n = 0; n < 2; ++n)
    for (std::int64_t p = 0; p < 8; ++p) CHECK(std::isnan(odd.view().row(n)[p]) == (p < 4));
}

TEST_CASE_TEMPLATE("batch_norm2d agrees with the golden tensors of a sparse one with every cell observed", T, float,
                   double) {
  const golden_case golden("dsnet_sparse_batch_norm_full");
  const nn::batch_norm2d<4> layer{.eps = golden.option<double>("eps"),
                                  .momentum = 1 - golden.option<double>("momentum")};
  parameters<nn::batch_norm2d<4>, T> weights(layer);
  for (const char* name : {"weight", "bias", "running_mean", "running_var"})
    golden.file().read_into(std::string("bn.") + name, weights[name], data::conversion::nearest);
  const auto maps = golden.get<T, 3>("input"), upstream = golden.get<T, 3>("grad_output");
  tensor<T, 4> x(shape<4>{1, maps.extent(0), maps.extent(1), maps.extent(2)}), dy(x.shape());
  std::copy_n(maps.data(), maps.size(), x.data());
  std::copy_n(upstream.data(), upstream.size(), dy.data());
  backend_type backend = make_backend();
  const auto got = run_layer<T>(backend, layer, copied_to<host_space>(weights.flat()), std::as_const(x).view(),
                                std::as_const(dy).view(), pass{.training = true});
  CHECK(golden.error("output", got.output) <= golden_tolerance<T>);
  CHECK(golden.error("grad.input", got.dinput) <= golden_tolerance<T>);
  CHECK(golden.error("grad.bn.weight", part<4>(got.gradient, "weight")) <= golden_tolerance<T>);
  CHECK(golden.error("grad.bn.bias", part<4>(got.gradient, "bias")) <= golden_tolerance<T>);
  std::vector<double> means = part<4>(weights.flat(), "running_mean"), step = part<4>(got.gradient, "running_mean");
  for (std::size_t c = 0; c < means.size(); ++c) means[c] += step[c];
  CHECK(golden.error("running_mean_after", means) <= golden_tolerance<T>);  // its variance is the biased one
}

}  // namespace milkit::test::batch_norm2d_cases

MILKIT_UNOPTIMISED_END
