#include <milkit/ops/products/linear_cpu.hpp>
#include <milkit/ops/rows/activation_cpu.hpp>
#include <milkit/ops/rows/dropout_cpu.hpp>
#include <milkit/ops/rows/fill_cpu.hpp>

#include <milkit/nn/repeat.hpp>

#include "sequential_cases.hpp"

using namespace milkit;

TEST_CASE("sequential knows its widths, and checks those of run time") {
  using chain = nn::sequential<nn::relu, nn::linear<4, 3>, nn::dropout, nn::linear<3, 2>, nn::identity>;
  static_assert(chain::in_features == any_features && chain::out_features == 2);
  static_assert(chain::row_wise && !chain::in_place);
  static_assert(parameter_count(chain{}) == 4 * 3 + 3 + 3 * 2 + 2);
  CHECK(chain{}.output_shape(shape<2>{7, 4}) == shape<2>{7, 2});
  const nn::sequential wrong(nn::linear<4, dynamic_extent>{.out = {3}}, nn::linear<dynamic_extent, 2>{.in = {5}});
  CHECK_THROWS_WITH_AS(wrong.output_shape(shape<2>{1, 4}), "milkit::nn::linear: features of the input is 3, expected 5",
                       shape_error);
}

TEST_CASE("sequential works in place where it may: memory of what backward needs alone") {
  cpu planner = cpu{.threads = 1}.planner();
  const auto saved_bytes = [&](const auto& chain) {
    using type = std::remove_cvref_t<decltype(chain)>;
    planner.workspace.reset_peak();
    const auto scope = planner.workspace.scope();
    saved_of<type, matrix_view<const float>> kept{};
    const tensor<float, 1> weights(shape<1>{parameter_stretch(chain)});
    const tensor<float, 2> x(shape<2>{16, 64});
    tensor<float, 2> y(shape<2>{16, 64});
    const std::size_t before = planner.workspace.bytes_in_use();
    chain.forward(context{planner, weights.view()}, matrix_view<const float>(x.view()), y.view(), kept);
    return planner.workspace.bytes_in_use() - before;
  };
  using linear = nn::linear<64, 64>;
  const std::size_t one = 16 * 64 * sizeof(float);
  CHECK(saved_bytes(nn::sequential(linear{}, nn::relu{})) == 0);              // all in the output
  CHECK(saved_bytes(nn::sequential(linear{}, nn::relu{}, linear{})) == one);  // relu over the product
  CHECK(saved_bytes(nn::sequential(linear{}, nn::relu{}, nn::relu{}, linear{})) ==
        2 * one);                                                                 // the first relu's output is kept
  CHECK(saved_bytes(nn::sequential(linear{}, nn::gelu{}, linear{})) == 2 * one);  // gelu needs its input
}

TEST_CASE("repeat: a block N times -> the sequential of N of them") {
  using block = nn::sequential<nn::linear<4, 4>, nn::tanh>;
  static_assert(std::is_same_v<nn::repeat<block, 3>, nn::sequential<block, block, block>>);
  CHECK(parameter_count(nn::repeat<block, 3>{}) == 60);
}

namespace {
/// Gives another number of features, in memory of its own, and takes none beside.
template <std::int64_t In, std::int64_t Out>
struct resize {
  static constexpr std::int64_t in_features = In, out_features = Out;
  shape<2> output_shape(shape<2> input) const { return {input[0], Out}; }
  void forward(const auto&, auto, auto, auto&) const {}
  void backward(const auto&, const auto&, auto, auto) const {}
};
}  // namespace

TEST_CASE("sequential: infer -> memory of two buffers, the largest that each holds") {
  const auto peak = [](const auto& chain, std::int64_t width) {
    cpu planner = cpu{.threads = 1}.planner();
    const tensor<float, 2> x(shape<2>{16, 64});
    tensor<float, 2> y(shape<2>{16, width});
    nn::infer(chain, context{planner, vector_view<float>()}, x.view(), y.view());
    CHECK(planner.workspace.bytes_in_use() == 0);
    return planner.peak_bytes();
  };
  const auto bytes = [](std::size_t features) { return 16 * features * sizeof(float); };
  CHECK(peak(nn::sequential(resize<64, 32>{}, nn::relu{}, nn::dropout{}), 32) == 0);
  CHECK(peak(nn::sequential(resize<64, 48>{}, nn::relu{}, resize<48, 16>{}), 16) == bytes(48));
  CHECK(peak(nn::sequential(resize<64, 32>{}, nn::relu{}, resize<32, 48>{}, nn::tanh{}, nn::dropout{}, resize<48, 16>{},
                            nn::gelu{}, resize<16, 80>{}, nn::relu{}, resize<80, 16>{}),
             16) == bytes(80) + bytes(48));
  using block = nn::sequential<resize<64, 64>, nn::relu>;
  CHECK(peak(nn::sequential<block, block, block, block, block, block>(), 64) == 2 * bytes(64));
}
