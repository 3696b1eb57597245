// labels: emulated unsanitized
#include <milkit/encoders/resnet.hpp>
#include <milkit/ops/images/conv2d_cpu.hpp>
#include <milkit/ops/images/conv2d_cuda.cuh>
#include <milkit/ops/images/normalise_colours_cpu.hpp>
#include <milkit/ops/images/normalise_colours_cuda.cuh>
#include <milkit/ops/images/pool2d_cpu.hpp>
#include <milkit/ops/images/pool2d_cuda.cuh>

#include <doctest/doctest.h>

#include <support/close.hpp>
#include <support/emulation.hpp>
#include <support/normals.hpp>

using namespace milkit;

namespace {

static_assert(encoders::encoder<encoders::resnet<50, 3, device_space>, milkit::cuda>);

tensor<std::uint8_t, 4> some_tiles(std::int64_t n) {
  tensor<std::uint8_t, 4> tiles(shape<4>{n, 33, 32, 3});
  for (std::int64_t i = 0; i < tiles.size(); ++i) tiles.data()[i] = static_cast<std::uint8_t>(i * 2654435761 >> 13);
  return tiles;
}

template <int Depth, int Stage>
std::vector<double> on_card(milkit::cuda& gpu, const encoders::resnet<Depth, Stage, device_space>& encoder,
                            const tensor<std::uint8_t, 4>& tiles) {
  device_tensor<float, 2> y(shape<2>{tiles.view().rows(), encoder.features()});
  encoder.encode(gpu, tiles.view(), y.view());
  tensor<float, 2> host(y.shape());
  copy(gpu, view<const float, 2, device_space>(y.view()), host.view());
  return test::elements(host);
}

template <int Depth, int Stage>
void agrees(std::int64_t n) {
  const encoders::resnet<Depth, Stage> encoder(
      initial_parameters<float>(encoders::resnet_network<Depth, Stage>(), {.seed = 3}));
  milkit::cuda gpu;
  cpu host{.threads = 2};
  auto card = encoder.template to<device_space>();
  CHECK(card.name() == encoder.name());
  const auto tiles = some_tiles(n);
  tensor<float, 2> want(shape<2>{n, encoder.features()});
  encoder.encode(host, tiles.view(), want.view());
  const auto got = on_card(gpu, card, tiles);
  CHECK(test::relative_error(got, want) <= 1e-5);
  for (const std::int64_t batch : {1, 2}) {
    card.batch = batch;
    CHECK(test::relative_error(on_card(gpu, card, tiles), want) <= 1e-5);
  }
  test::with_order(5, [&] { CHECK(on_card(gpu, card, tiles) == got); });
  CHECK(gpu.workspace.bytes_in_use() == 0);
}

}  // namespace

TEST_CASE("cuda: a ResNet of bottlenecks and one of basic blocks agree with the CPU, in any batch") {
  agrees<50, 1>(3);
  agrees<18, 2>(2);
}

TEST_CASE("cuda: no tiles are no work for a ResNet") {
  const auto encoder =
      encoders::resnet<18, 1>(initial_parameters<float>(encoders::resnet_network<18, 1>(), {.seed = 1}))
          .to<device_space>();
  milkit::cuda gpu;
  CHECK(on_card(gpu, encoder, some_tiles(0)).empty());
}
