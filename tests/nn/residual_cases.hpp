#pragma once

#include <milkit/nn/activation.hpp>
#include <milkit/nn/batch_norm2d.hpp>
#include <milkit/nn/conv2d_same.hpp>
#include <milkit/nn/dropout.hpp>
#include <milkit/nn/identity.hpp>
#include <milkit/nn/layer_norm.hpp>
#include <milkit/nn/linear.hpp>
#include <milkit/nn/residual.hpp>
#include <milkit/nn/sequential.hpp>

#include <support/golden.hpp>
#include <support/layer_check.hpp>
#include <support/unoptimised.hpp>

MILKIT_UNOPTIMISED_BEGIN

namespace milkit::test::residual_cases {

TEST_CASE("residual keeps the contract of a layer") {
  layer_check(nn::residual(nn::linear<5, 5>{}), shape<2>{9, 5}).all();
  layer_check(nn::residual(nn::tanh{}), shape<2>{31, 3}).all();  // keeps its output
  layer_check(nn::residual(nn::sigmoid{}), shape<4>{3, 2, 3, 5}).all();
  layer_check(nn::residual(nn::sequential(nn::layer_norm<7>{}, nn::linear<7, 3>{}, nn::gelu{}, nn::dropout{0.25},
                                          nn::linear<3, 7>{})),
              shape<2>{17, 7})
      .all();
  layer_check(
      nn::sequential(nn::linear<4, 6>{}, nn::residual(nn::sequential(nn::linear<6, 6>{}, nn::tanh{})), nn::relu{}),
      shape<2>{9, 4})
      .all();
}

TEST_CASE("residual adds its input to what the layer gives") {
  backend_type backend = make_backend(1);
  const auto x = normals<double>(shape<2>{4, 3}, 1);
  const auto got =
      run_layer<double>(backend, nn::residual(nn::identity{}), tensor<double, 1>(), x.view(), x.view(), pass{});
  for (std::int64_t i = 0; i < x.size(); ++i) {
    CHECK(got.output.data()[i] == 2 * x.data()[i]);
    CHECK(got.dinput.data()[i] == 2 * x.data()[i]);
  }
}

TEST_CASE("residual with a projection keeps the contract of a layer") {
  layer_check(nn::residual(nn::sequential(nn::linear<5, 3>{}, nn::tanh{}), nn::linear<5, 3>{}), shape<2>{9, 5}).all();
  layer_check(nn::residual(nn::tanh{}, nn::sigmoid{}), shape<2>{31, 3}).all();  // both keep their outputs
  layer_check(nn::residual(nn::sequential(nn::conv2d_same<2, 3, 3, true, 2>{}, nn::gelu{}, nn::conv2d_same<3, 3, 3>{}),
                           nn::conv2d_same<2, 3, 1, false, 2>{}),
              shape<4>{3, 2, 5, 4})
      .all();
}

TEST_CASE("residual adds what layer and shortcut give") {
  backend_type backend = make_backend(1);
  const auto x = normals<double>(shape<2>{4, 3}, 1), dy = normals<double>(shape<2>{4, 2}, 2);
  const nn::residual both(nn::linear<3, 2>{}, nn::linear<3, 2>{});
  const auto flat = normals<double>(shape<1>{parameter_stretch(both)}, 3);
  const auto got = run_layer<double>(backend, both, flat, x.view(), dy.view(), pass{});
  std::vector<double> output(8), dinput(12);
  for (const std::int64_t first : {0, 16}) {
    tensor<double, 1> own(shape<1>{16});
    std::copy_n(flat.data() + first, 16, own.data());
    const auto part = run_layer<double>(backend, nn::linear<3, 2>{}, own, x.view(), dy.view(), pass{});
    for (std::size_t i = 0; i < 8; ++i) output[i] += part.output.data()[i];
    for (std::size_t i = 0; i < 12; ++i) dinput[i] += part.dinput.data()[i];
    CHECK(same_bits(got.gradient.view().rows(first, 16), part.gradient));
  }
  CHECK(relative_error(got.output, output) <= 1e-14);
  CHECK(relative_error(got.dinput, dinput) <= 1e-14);
}

template <std::int64_t In, std::int64_t Out, std::int64_t Stride>
using basic_body = nn::sequential<nn::conv2d_same<In, Out, 3, false, Stride>, nn::batch_norm2d<Out>, nn::relu,
                                  nn::conv2d_same<Out, Out, 3, false>, nn::batch_norm2d<Out>>;

template <class T, class Block>
void agrees_with_golden_block(const char* name, const std::vector<std::pair<std::string, std::string>>& names) {
  const golden_case golden(name);
  Block block;
  auto& body = std::get<0>(block.layers).layer;
  std::get<1>(body.layers).frozen = std::get<4>(body.layers).frozen = true;
  if constexpr (!std::decay_t<decltype(std::get<0>(block.layers))>::plain)
    std::get<1>(std::get<0>(block.layers).shortcut.layers).frozen = true;
  parameters<Block, T> weights(block), gradient(block);
  for (const auto& [ours, theirs] : names)
    for (const auto& entry : weights.entries())
      if (entry.name.starts_with(ours + ".") && entry.what != role::statistic_count) {
        const auto values =
            golden.file().read<T>(theirs + entry.name.substr(ours.size()), data::conversion::nearest).values;
        REQUIRE(static_cast<std::int64_t>(values.size()) == entry.size());
        std::copy(values.begin(), values.end(), weights[entry.name].data());
      }
  const auto map = golden.get<T, 3>("input"), upstream = golden.get<T, 3>("grad_output");
  tensor<T, 4> x(shape<4>{1, map.extent(0), map.extent(1), map.extent(2)});
  tensor<T, 4> dy(shape<4>{1, upstream.extent(0), upstream.extent(1), upstream.extent(2)});
  std::copy_n(map.data(), map.size(), x.data());
  std::copy_n(upstream.data(), upstream.size(), dy.data());
  backend_type backend = make_backend();
  const auto got = run_layer<T>(backend, block, copied_to<host_space>(weights.flat()), std::as_const(x).view(),
                                std::as_const(dy).view(), pass{.training = true});
  CHECK(golden.error("output", got.output) <= golden_tolerance<T>);
  CHECK(golden.error("grad.input", got.dinput) <= tolerance_of<T>(1e-10, 1e-4));
  for (const auto& [ours, theirs] : names)
    for (const auto& entry : weights.entries())
      if (entry.name.starts_with(ours + ".") && !is_statistic(entry.what)) {
        CAPTURE(entry.name);
        CHECK(golden.error("grad." + theirs + entry.name.substr(ours.size()),
                           got.gradient.view().rows(entry.offset, entry.size())) <= tolerance_of<T>(1e-10, 1e-4));
      }
}

TEST_CASE_TEMPLATE("basic blocks of frozen statistics, with and without a projection, agree with the golden tensors", T,
                   float, double) {
  using same = nn::sequential<nn::residual<basic_body<6, 6, 1>>, nn::relu>;
  using projected = nn::sequential<
      nn::residual<basic_body<4, 8, 2>, nn::sequential<nn::conv2d_same<4, 8, 1, false, 2>, nn::batch_norm2d<8>>>,
      nn::relu>;
  const std::vector<std::pair<std::string, std::string>> names{
      {"0.0.0", "conv1"}, {"0.0.1", "bn1"}, {"0.0.3", "conv2"}, {"0.0.4", "bn2"}};
  auto more = names;
  more.insert(more.end(), {{"0.1.0", "downsample.0"}, {"0.1.1", "downsample.1"}});
  agrees_with_golden_block<T, same>("local_basic_block", names);
  agrees_with_golden_block<T, projected>("local_basic_block_strided", more);
}

}  // namespace milkit::test::residual_cases

MILKIT_UNOPTIMISED_END
