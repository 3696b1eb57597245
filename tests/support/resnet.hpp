#pragma once

#include <filesystem>

#include <milkit/core/random.hpp>
#include <milkit/data/safetensors.hpp>

#include <reference/resnet.hpp>

namespace milkit::test {

/// A ResNet of random numbers as torchvision stores one, up to `stages`: with `fc` and the counters that nobody reads.
inline reference::stored_tensors random_resnet(int depth, int stages = 4, std::uint64_t seed = 1) {
  reference::stored_tensors t;
  std::uint64_t count = 0;
  const auto add = [&](const std::string& name, std::vector<std::int64_t> shape, double centre, double spread) {
    std::size_t size = 1;
    for (const std::int64_t each : shape) size *= static_cast<std::size_t>(each);
    std::vector<float> values(size);
    const random_stream numbers(seed, count++, 0);
    for (std::size_t i = 0; i < size; ++i)
      values[i] = static_cast<float>(centre + spread * (2 * numbers.uniform<double>(i, 0) - 1));
    t[name] = {std::move(shape), std::move(values)};
  };
  const auto convolution = [&](const std::string& conv, const std::string& norm, std::int64_t out, std::int64_t in,
                               std::int64_t kernel, double gain) {
    add(conv + ".weight", {out, in, kernel, kernel}, 0, std::sqrt(6.0 / static_cast<double>(in * kernel * kernel)));
    add(norm + ".weight", {out}, gain, gain / 2);
    add(norm + ".bias", {out}, 0, 0.2);
    add(norm + ".running_mean", {out}, 0, 0.2);
    add(norm + ".running_var", {out}, 1, 0.5);
    t[norm + ".num_batches_tracked"] = {{}, {1}};
  };
  const bool bottleneck = depth >= 50;
  const int blocks[] = {3, 4, 6, 3};  // of depths 34 and 50
  convolution("conv1", "bn1", 64, 3, 7, 1);
  std::int64_t in = 64;
  for (int stage = 0; stage < stages; ++stage)
    for (int block = 0; block < (depth == 18 ? 2 : blocks[stage]); ++block) {
      const std::string at = "layer" + std::to_string(stage + 1) + "." + std::to_string(block) + ".";
      const std::int64_t width = 64 << stage, out = bottleneck ? 4 * width : width;
      convolution(at + "conv1", at + "bn1", width, in, bottleneck ? 1 : 3, 1);
      convolution(at + "conv2", at + "bn2", width, width, 3, bottleneck ? 1 : 0.3);
      if (bottleneck) convolution(at + "conv3", at + "bn3", out, width, 1, 0.3);
      if (block == 0 && (stage > 0 || bottleneck))
        convolution(at + "downsample.0", at + "downsample.1", out, in, 1, 0.7);
      in = out;
    }
  add("fc.weight", {10, in}, 0, 1);
  add("fc.bias", {10}, 0, 1);
  return t;
}

inline void write_tensors(const std::filesystem::path& path, const reference::stored_tensors& tensors) {
  data::safetensors_writer file;
  for (const auto& [name, each] : tensors) file.add_bytes(name, data::dtype::f32, each.shape, each.values.data());
  file.write(path);
}

/// 8-bit tiles [n, height, width, 3] of random numbers.
inline tensor<std::uint8_t, 4> random_tiles(std::int64_t n, std::int64_t height, std::int64_t width,
                                            std::uint64_t seed = 1) {
  tensor<std::uint8_t, 4> tiles(shape<4>{n, height, width, 3});
  const random_stream numbers(seed, 0, 0);
  for (std::int64_t i = 0; i < tiles.size(); ++i)
    tiles.data()[i] = static_cast<std::uint8_t>(256 * numbers.uniform<double>(static_cast<std::uint64_t>(i), 0));
  return tiles;
}

/// The features of the reference for all tiles, which lie side by side.
inline std::vector<double> plain_features(const reference::stored_tensors& tensors, int stages,
                                          const tensor<std::uint8_t, 4>& tiles) {
  const auto extent = [&](int i) { return static_cast<int>(tiles.view().extent(i)); };
  return reference::resnet_features(tensors, stages, {tiles.data(), tiles.data() + tiles.size()}, extent(0), extent(1),
                                    extent(2));
}

}  // namespace milkit::test
