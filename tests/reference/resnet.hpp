#pragma once

#include <cmath>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include <reference/images.hpp>

namespace milkit::reference {

/// The tensors of a network, by torchvision's names.
struct stored_tensor {
  std::vector<std::int64_t> shape;
  std::vector<float> values;
};
using stored_tensors = std::map<std::string, stored_tensor>;

/// A convolution with zeros around the image, then batch norm: (z - mean) / sqrt(variance + 1e-5) gamma + beta.
inline images normed_convolution(const stored_tensors& t, const images& x, const std::string& conv,
                                 const std::string& norm, int stride) {
  const stored_tensor& stored = t.at(conv + ".weight");
  const auto extent = [&](std::size_t i) { return static_cast<int>(stored.shape[i]); };
  images weight(extent(0), extent(1), extent(2), extent(3));
  weight.values.assign(stored.values.begin(), stored.values.end());
  images y = conv2d(x, weight, {}, {stride, stride, weight.h / 2, weight.w / 2});
  const auto of = [&](const char* what, int c) {
    return static_cast<double>(t.at(norm + what).values[static_cast<std::size_t>(c)]);
  };
  for (int n = 0; n < y.n; ++n)
    for (int c = 0; c < y.c; ++c) {
      const double gamma = of(".weight", c), beta = of(".bias", c), mean = of(".running_mean", c),
                   deviation = std::sqrt(of(".running_var", c) + 1e-5);
      for (int i = 0; i < y.h; ++i)
        for (int j = 0; j < y.w; ++j) y.at(n, c, i, j) = (y.at(n, c, i, j) - mean) / deviation * gamma + beta;
    }
  return y;
}

inline images relu(images x) {
  for (double& each : x.values) each = each < 0 ? 0 : each;
  return x;
}

/// Features [n, channels] after `stages` stages of a ResNet, of 8-bit tiles [n, h, w, 3].
inline std::vector<double> resnet_features(const stored_tensors& t, int stages, const std::vector<std::uint8_t>& tiles,
                                           int n, int h, int w) {
  const double mean[] = {0.485, 0.456, 0.406}, deviation[] = {0.229, 0.224, 0.225};
  images x(n, 3, h, w);
  for (int i = 0; i < n; ++i)
    for (int c = 0; c < 3; ++c)
      for (int y = 0; y < h; ++y)
        for (int z = 0; z < w; ++z)
          x.at(i, c, y, z) =
              (tiles[static_cast<std::size_t>(((i * h + y) * w + z) * 3 + c)] / 255.0 - mean[c]) / deviation[c];
  x = relu(normed_convolution(t, x, "conv1", "bn1", 2));
  x = max_pool2d(x, images(n, x.c, windows(x.h, 3, 2, 1), windows(x.w, 3, 2, 1)), 3, 2, 1).y;
  for (int stage = 1; stage <= stages; ++stage)
    for (int block = 0;; ++block) {
      const std::string at = "layer" + std::to_string(stage) + "." + std::to_string(block) + ".";
      if (!t.count(at + "conv1.weight")) break;
      const int stride = stage > 1 && block == 0 ? 2 : 1;
      const bool bottleneck = t.count(at + "conv3.weight") != 0;
      images y = relu(normed_convolution(t, x, at + "conv1", at + "bn1", bottleneck ? 1 : stride));
      y = normed_convolution(t, y, at + "conv2", at + "bn2", bottleneck ? stride : 1);
      if (bottleneck) y = normed_convolution(t, relu(y), at + "conv3", at + "bn3", 1);
      const images shortcut = t.count(at + "downsample.0.weight")
                                  ? normed_convolution(t, x, at + "downsample.0", at + "downsample.1", stride)
                                  : x;
      for (std::size_t i = 0; i < y.values.size(); ++i) y.values[i] += shortcut.values[i];
      x = relu(y);
    }
  std::vector<double> features;
  for (int i = 0; i < n; ++i)
    for (int c = 0; c < x.c; ++c) {
      double sum = 0;
      for (int y = 0; y < x.h; ++y)
        for (int z = 0; z < x.w; ++z) sum += x.at(i, c, y, z);
      features.push_back(sum / (x.h * x.w));
    }
  return features;
}

}  // namespace milkit::reference
