// Tiles through ResNet-50, cut after stage 3: 256 x 256 pixels, float32, with the batch norms folded.
// benchmarks/peers/resnet.py runs the same beside PyTorch, in turns.
#include <filesystem>
#include <map>
#include <string>

#include <unistd.h>

#include <milkit/encoders/resnet.hpp>
#include <milkit/ops/images/conv2d_cpu.hpp>
#include <milkit/ops/images/normalise_colours_cpu.hpp>
#include <milkit/ops/images/pool2d_cpu.hpp>

#include <support/resnet.hpp>

#include "measure.hpp"

namespace {

using namespace milkit;

constexpr std::int64_t side = 256;
using encoder = encoders::resnet<50, 3>;

/// An encoder of random weights, read as those of torchvision are, and whether it agrees with plain loops in double.
struct checked_encoder {
  reference::stored_tensors stored = test::random_resnet(50, 3);
  encoder resnet = read();
  std::map<gemm_library::gemm, bool> known;

  encoder read() const {
    const auto path =
        std::filesystem::temp_directory_path() / ("milkit-resnet-" + std::to_string(getpid()) + ".safetensors");
    test::write_tensors(path, stored);
    encoder e = encoders::read_resnet<50, 3>(path);
    std::filesystem::remove(path);
    return e;
  }
  bool right(const gemm_library& gemm) {
    const auto [at, is_new] = known.try_emplace(gemm.single);
    if (is_new) {
      cpu backend{.threads = 2, .gemm = gemm};
      const auto tiles = test::random_tiles(2, 64, 48);
      tensor<float, 2> y(shape<2>{2, resnet.features()});
      resnet.encode(backend, tiles.view(), y.view());
      at->second = test::relative_error(y, test::plain_features(stored, 3, tiles)) <= 1e-4;
    }
    return at->second;
  }
};
checked_encoder& shared() {
  static checked_encoder one;
  return one;
}

/// Products of all convolutions for a tile of 256 x 256.
constexpr double flops = 2 * 4281335808.0;

void encode(benchmark::State& state, const gemm_library& gemm) {
  if (!shared().right(gemm)) return state.SkipWithError("differs from plain loops in double");
  const std::int64_t n = state.range(0);
  cpu backend{.threads = static_cast<int>(state.range(1)), .gemm = gemm};
  const auto tiles = test::random_tiles(n, side, side);
  tensor<float, 2> y(shape<2>{n, shared().resnet.features()});
  const auto count = static_cast<double>(n);
  bench::measure(state, backend.threads, count * flops, static_cast<double>(tiles.size()),
                 [&] { shared().resnet.encode(backend, tiles.view(), y.view()); });
  state.counters["tiles/s"] = benchmark::Counter(count, benchmark::Counter::kIsIterationInvariantRate);
  state.counters["workspace MB"] = static_cast<double>(backend.peak_bytes()) * 1e-6;
}

}  // namespace

int main(int argc, char** argv) {
  for (const auto& [name, library] : bench::products) {
    if (std::string(name) == "openblas") continue;
    const auto gemm = library;
    benchmark::RegisterBenchmark((std::string("encode/") + (gemm.single ? name : "own")).c_str(),
                                 [=](auto& state) { encode(state, gemm); })
        ->ArgNames({"tiles", "threads"})
        ->ArgsProduct({{8, 16}, {1, 2}})
        ->MeasureProcessCPUTime()
        ->UseRealTime()
        ->Unit(benchmark::kMillisecond);
  }
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 1;
  benchmark::RunSpecifiedBenchmarks();
}
