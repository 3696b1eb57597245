#include <doctest/doctest.h>

#include <milkit/encoders/resnet.hpp>
#include <milkit/ops/images/conv2d_cpu.hpp>
#include <milkit/ops/images/normalise_colours_cpu.hpp>
#include <milkit/ops/images/pool2d_cpu.hpp>

#include <support/close.hpp>
#include <support/paths.hpp>
#include <support/planned.hpp>
#include <support/resnet.hpp>

using namespace milkit;
using test::relative_error;

namespace {

static_assert(encoders::encoder<encoders::resnet<50, 3>>);
static_assert(encoders::encoder<encoders::resnet<34>>);

template <int Depth, int Stage>
encoders::resnet<Depth, Stage> read(const reference::stored_tensors& tensors) {
  const test::temporary_directory folder;
  test::write_tensors(folder.path() / "resnet.safetensors", tensors);
  return encoders::read_resnet<Depth, Stage>(folder.path() / "resnet.safetensors");
}

template <class Encoder>
tensor<float, 2> encode(const Encoder& encoder, cpu& backend, const tensor<std::uint8_t, 4>& tiles) {
  tensor<float, 2> y(shape<2>{tiles.view().rows(), encoder.features()});
  std::fill_n(y.data(), y.size(), -7.0f);
  encoder.encode(backend, tiles.view(), y.view());
  return y;
}
template <class Encoder>
tensor<float, 2> encode(const Encoder& encoder, const tensor<std::uint8_t, 4>& tiles, int threads = 2) {
  cpu backend{.threads = threads};
  return encode(encoder, backend, tiles);
}

template <int Depth, int Stage>
void agrees(const reference::stored_tensors& tensors, const tensor<std::uint8_t, 4>& tiles) {
  CAPTURE(Stage);
  const auto encoder = read<Depth, Stage>(tensors);
  CHECK(relative_error(encode(encoder, tiles), test::plain_features(tensors, Stage, tiles)) <= 2e-5);
}

/// The message of the io_error that reading gives.
template <int Depth, int Stage>
std::string refusal(const reference::stored_tensors& tensors) {
  try {
    read<Depth, Stage>(tensors);
  } catch (const io_error& error) {
    return error.what();
  }
  return "nothing was refused";
}

}  // namespace

TEST_CASE("resnet: features after each stage of depth 50 agree with plain loops that keep batch norms apart") {
  const auto tensors = test::random_resnet(50);
  const auto tiles = test::random_tiles(1, 33, 40);
  agrees<50, 1>(tensors, tiles);
  agrees<50, 2>(tensors, tiles);
  agrees<50, 3>(tensors, tiles);
  agrees<50, 4>(tensors, tiles);
}

TEST_CASE("resnet: features after each stage of depth 34 agree with plain loops that keep batch norms apart") {
  const auto tensors = test::random_resnet(34);
  const auto tiles = test::random_tiles(2, 40, 33);
  agrees<34, 1>(tensors, tiles);
  agrees<34, 2>(tensors, tiles);
  agrees<34, 3>(tensors, tiles);
  agrees<34, 4>(tensors, tiles);
}

TEST_CASE("resnet: tiles of several sizes, from 32 x 32 on") {
  const auto tensors = test::random_resnet(18, 3);
  for (const auto& [height, width] : {std::pair(32, 32), std::pair(64, 96), std::pair(35, 61)})
    agrees<18, 3>(tensors, test::random_tiles(2, height, width));
}

TEST_CASE("resnet: a tile's features are the same bits in any batch, at any thread count, with gaps or without") {
  const auto tensors = test::random_resnet(50, 2);
  auto encoder = read<50, 2>(tensors);
  const auto tiles = test::random_tiles(5, 64, 64);
  const auto want = encode(encoder, tiles, 1);
  for (const std::int64_t batch : {0, 1, 2, 5, 9})
    for (const int threads : {1, 2, 7}) {
      encoder.batch = batch;
      CHECK(test::elements(encode(encoder, tiles, threads)) == test::elements(want));
    }
  cpu backend{.threads = 2};
  const std::int64_t tile = tiles.view().row_size();
  tensor<std::uint8_t, 2> apart(shape<2>{5, tile + 11});
  tensor<float, 2> wide(shape<2>{5, 600});
  for (std::int64_t i = 0; i < 5; ++i) std::copy_n(tiles.view().row(i), tile, apart.view().row(i));
  encoder.encode(backend, encoders::tiles_view(apart.data(), tiles.shape(), tile + 11), wide.view().columns(7, 512));
  CHECK(test::elements(wide.view().columns(7, 512)) == test::elements(want));
  CHECK(backend.workspace.bytes_in_use() == 0);
}

TEST_CASE("resnet: the memory is a few activations for each thread, planned to the byte and taken once") {
  const encoders::resnet<50, 2> encoder(initial_parameters<float>(encoders::resnet_network<50, 2>(), {.seed = 1}));
  cpu two{.threads = 2}, planner = two.planner();
  encode(encoder, planner, test::random_tiles(2, 128, 128));
  encode(encoder, two, test::random_tiles(2, 128, 128));
  test::expect_as_planned(two, planner.peak_bytes());
  const std::size_t activation = 64 * 64 * 64 * sizeof(float);
  CHECK(planner.peak_bytes() <= 2 * 5 * activation);  // all layers' together would be ten for each thread
  encode(encoder, two, test::random_tiles(3, 128, 128));
  test::expect_as_planned(two, planner.peak_bytes());
}

TEST_CASE("resnet: no tiles are no work, and what cannot be encoded is refused") {
  const encoders::resnet<18, 1> encoder(initial_parameters<float>(encoders::resnet_network<18, 1>(), {.seed = 1}));
  cpu backend{.threads = 2};
  CHECK(encode(encoder, test::random_tiles(0, 32, 32)).size() == 0);
  CHECK(encode(encoder, test::random_tiles(0, 0, 0)).size() == 0);
  const auto tiles = test::random_tiles(2, 32, 32), flat = test::random_tiles(2, 31, 40);
  const tensor<std::uint8_t, 4> grey(shape<4>{2, 32, 32, 1});
  tensor<float, 2> y(shape<2>{2, 64}), narrow(shape<2>{2, 63}), more(shape<2>{3, 64});
  CHECK_THROWS_WITH_AS(encoder.encode(backend, tiles.view(), narrow.view()),
                       "milkit::encoders::resnet: features of the embeddings is 63, expected 64", shape_error);
  CHECK_THROWS_WITH_AS(encoder.encode(backend, tiles.view(), more.view()),
                       "milkit::encoders::resnet: rows of the embeddings is 3, expected 2", shape_error);
  CHECK_THROWS_WITH_AS(encoder.encode(backend, grey.view(), y.view()),
                       "milkit::encoders::resnet: colours of a tile is 1, expected 3", shape_error);
  CHECK_THROWS_WITH_AS(encoder.encode(backend, flat.view(), y.view()),
                       "milkit::encoders::resnet: tiles are 31 x 40, expected at least 32 x 32", shape_error);
  auto negative = encoder.to<host_space>();
  negative.batch = -1;
  CHECK_THROWS_AS(negative.encode(backend, tiles.view(), y.view()), value_error);
}

TEST_CASE("resnet: every missing and every misshapen tensor is named, with both shapes") {
  auto tensors = test::random_resnet(34, 2);
  tensors.erase("bn1.running_mean");
  tensors.erase("layer1.2.conv2.weight");
  tensors.erase("layer2.0.downsample.1.running_var");
  tensors["layer2.0.downsample.0.weight"] = {{128, 64}, std::vector<float>(128 * 64)};
  tensors["layer1.0.bn1.weight"] = {{63}, std::vector<float>(63)};
  const std::string all = refusal<34, 2>(tensors);
  CHECK(all.substr(all.find(": does")) ==
        ": does not hold the weights of this ResNet:"
        "\n  bn1.running_mean is missing"
        "\n  layer1.0.bn1.weight is [63], expected [64]"
        "\n  layer1.2.conv2.weight is missing"
        "\n  layer2.0.downsample.0.weight is [128, 64], expected [128, 64, 1, 1]"
        "\n  layer2.0.downsample.1.running_var is missing");
  CHECK(refusal<34, 1>(tensors).find("layer2") == std::string::npos);  // beyond the cut nothing is looked at
  const std::string another = refusal<50, 1>(test::random_resnet(34, 1));
  CHECK(another.find("layer1.0.conv1.weight is [64, 64, 3, 3], expected [64, 64, 1, 1]") != std::string::npos);
  CHECK(another.find("layer1.0.conv3.weight is missing") != std::string::npos);
}

TEST_CASE("resnet: a variance below zero is refused, and so are weights that are no floating numbers") {
  auto tensors = test::random_resnet(18, 1);
  tensors["layer1.1.bn2.running_var"].values[5] = -0.5f;
  CHECK(refusal<18, 1>(tensors).find("layer1.1.bn2.running_var[5] is -0.5, expected 0 or more") != std::string::npos);
}

TEST_CASE("resnet: bfloat16 and double are read as the numbers that they are") {
  auto tensors = test::random_resnet(18, 1);
  for (auto& [name, each] : tensors)
    for (float& value : each.values) value = std::bit_cast<float>(std::bit_cast<std::uint32_t>(value) & 0xFFFF0000u);
  const std::string want = read<18, 1>(tensors).name();
  const test::temporary_directory folder;
  for (const bool wide : {false, true}) {
    data::safetensors_writer file;
    std::map<std::string, std::vector<std::uint16_t>> halves;
    std::map<std::string, std::vector<double>> doubles;
    for (const auto& [name, each] : tensors) {
      for (const float value : each.values)
        halves[name].push_back(static_cast<std::uint16_t>(std::bit_cast<std::uint32_t>(value) >> 16));
      doubles[name].assign(each.values.begin(), each.values.end());
      if (wide) file.add_bytes(name, data::dtype::f64, each.shape, doubles[name].data());
      else file.add_bytes(name, data::dtype::bf16, each.shape, halves[name].data());
    }
    file.write(folder.path() / "other.safetensors");
    CHECK(encoders::read_resnet<18, 1>(folder.path() / "other.safetensors").name() == want);
  }
}

TEST_CASE("resnet: parameters as the papers count them") {
  CHECK(parameter_count(encoders::resnet_network<50>()) == 23'454'912 + 26'560);
  CHECK(parameter_count(encoders::resnet_network<18>()) == 11'166'912 + 4'800);
  CHECK(parameter_count(encoders::resnet_network<34>()) == 21'267'648 + 8'512);
  CHECK(parameter_count(encoders::resnet_network<50, 3>()) == 8'528'000);
  std::int64_t kernels = 0, biases = 0;
  for (const auto& entry : parameter_entries(encoders::resnet_network<50>()))
    (entry.what == role::weight ? kernels : biases) += entry.size();
  CHECK(kernels == 23'454'912);
  CHECK(biases == 26'560);
  CHECK(encoders::resnet_network<101>::out_features == 2048);
  CHECK(encoders::resnet_network<34, 2>::out_features == 128);
}

TEST_CASE("resnet: the name says depth, cut and weights") {
  auto weights = initial_parameters<float>(encoders::resnet_network<18, 1>(), {.seed = 1});
  const encoders::resnet<18, 1> encoder(weights.clone());
  CHECK(encoder.name().starts_with("resnet18-stage1 "));
  CHECK(encoder.name().size() == std::string("resnet18-stage1 ").size() + 16);
  CHECK(encoder.to<host_space>().name() == encoder.name());
  CHECK(encoders::resnet<18, 1>(weights.clone()).name() == encoder.name());
  weights.flat()(1000) += 1e-3f;
  CHECK(encoders::resnet<18, 1>(std::move(weights)).name() != encoder.name());
  const float ones[] = {1, 1};
  CHECK(encoders::digest_of(vector_view<const float>(ones, {0})) == "cbf29ce484222325");
  CHECK(encoders::digest_of(vector_view<const float>(ones, {2})) !=
        encoders::digest_of(vector_view<const float>(ones, {1})));
}
