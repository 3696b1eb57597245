// Convolutions by cuDNN against milkit's own kernels, by nvcc: compiled where there is a cudnn.h, and run where there
// is a card.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <vector>

#include <milkit/ops/conv2d_cudnn.cuh>

namespace {

using namespace milkit;
using images = tensor<float, 4, device_space>;

images numbers(const shape<4>& s, unsigned seed) {
  tensor<float, 4> host(s);
  for (std::int64_t i = 0; i < host.size(); ++i) {
    seed = seed * 1664525u + 1013904223u;
    host.data()[i] = static_cast<float>(seed >> 8) * 0x1p-23f - 1;
  }
  return host.to<device_space>();
}

/// The largest difference of two arrays over the largest number.
double difference(const images& a, const images& b) {
  const auto x = a.to<host_space>(), y = b.to<host_space>();
  double most = 0, scale = 0;
  for (std::int64_t i = 0; i < x.size(); ++i) {
    const double d = std::abs(static_cast<double>(x.data()[i]) - static_cast<double>(y.data()[i]));
    most = d > most || d != d ? d : most;
    scale = (std::max)(scale, std::abs(static_cast<double>(x.data()[i])));
  }
  return most / scale;
}

bool agree(const shape<4>& image, const shape<4>& filter, const ops::conv2d_options& options) {
  const shape<4> out = ops::conv2d_shape(image, filter, options);
  const images x = numbers(image, 1), w = numbers(filter, 2), dy = numbers(out, 3),
               bias = numbers({1, 1, 1, filter[0]}, 4);
  std::vector<images> results[2];
  for (const bool library : {false, true}) {
    milkit::cuda gpu;
    if (library) gpu.convolution = cudnn_convolution;
    images y(out), dx(image), dw(filter), db({1, 1, 1, filter[0]});
    ops::conv2d(gpu, x.view(), w.view(), device_vector<const float>(bias.data(), {filter[0]}), y.view(), options);
    ops::conv2d_backward(gpu, x.view(), w.view(), dy.view(), dx.view(), dw.view(),
                         device_vector<float>(db.data(), {filter[0]}), options);
    gpu.synchronize();
    for (images* each : {&y, &dx, &dw, &db}) results[library].push_back(std::move(*each));
  }
  double worst = 0;
  for (std::size_t i = 0; i < results[0].size(); ++i)
    worst = (std::max)(worst, difference(results[0][i], results[1][i]));
  std::printf("%s of %s: %g\n", to_string(filter).c_str(), to_string(image).c_str(), worst);
  return worst <= 1e-5;
}

}  // namespace

int main() {
  try {
    const bool good = agree({200, 3, 27, 27}, {36, 3, 4, 4}, {}) & agree({200, 36, 12, 12}, {48, 36, 3, 3}, {}) &
                      agree({3, 5, 33, 20}, {7, 5, 3, 2}, {.stride = {2, 3}, .padding = {1, 2}});
    std::printf("%s\n", good ? "passed" : "failed: cuDNN and milkit's kernels differ");
    return good ? 0 : 1;
  } catch (const milkit::cuda_error& error) {
    const bool no_card = error.code == cudaErrorNoDevice || error.code == cudaErrorInsufficientDriver;
    std::printf("%s: %s\n", no_card ? "skipped" : "failed", error.what());
    return no_card ? 77 : 1;
  }
}
