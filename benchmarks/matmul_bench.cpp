// The matrix products of a gated attention training step, 1024 -> 512 -> 256, by each library: 512 rows are a chunk on
// one thread, 10,000 rows a whole bag on two.
#include <string>

#include <milkit/ops/products/matmul_cpu.hpp>

#include "measure.hpp"

namespace {

using namespace milkit;

/// c[m, n] = op(a) op(b), summed over k. `gap` elements lie between the rows of what milkit allocates; b comes as it
/// is.
struct product_case {
  const char* name;
  ops::matmul_options options;
  std::int64_t m, n, k;
};

struct padded {
  tensor<float, 2> memory;
  matrix_view<float> view;
  padded(std::int64_t rows, std::int64_t cols, std::int64_t gap, std::uint64_t seed)
      : memory(bench::uniform_tensor<float>(shape<2>{rows, cols + gap}, seed)), view(memory.view().columns(0, cols)) {}
};

/// Every 97th row of the product against plain loops.
bool right(const ops::matmul_options& options, matrix_view<const float> a, matrix_view<const float> b,
           matrix_view<const float> before, matrix_view<const float> got) {
  const std::int64_t k = options.transpose_a ? a.rows() : a.cols();
  std::vector<double> want, have;
  for (std::int64_t i = 0; i < got.rows(); i += 97)
    for (std::int64_t j = 0; j < got.cols(); ++j) {
      double sum = options.accumulate ? static_cast<double>(before(i, j)) : 0.0;
      for (std::int64_t p = 0; p < k; ++p)
        sum += static_cast<double>(options.transpose_a ? a(p, i) : a(i, p)) *
               static_cast<double>(options.transpose_b ? b(j, p) : b(p, j));
      want.push_back(sum);
      have.push_back(static_cast<double>(got(i, j)));
    }
  return test::relative_error(have, want) <= 1e-5;
}

void product(benchmark::State& state, const gemm_library& gemm, const product_case& p) {
  const auto threads = static_cast<int>(state.range(0));
  const std::int64_t gap = state.range(1);
  const bool ta = p.options.transpose_a, tb = p.options.transpose_b;
  cpu backend{.threads = threads, .gemm = gemm};
  const padded a(ta ? p.k : p.m, ta ? p.m : p.k, gap, 1), c(p.m, p.n, gap, 3);
  const padded b(tb ? p.n : p.k, tb ? p.k : p.n, 0, 2);
  const tensor<float, 2> before = c.memory.clone();
  ops::matmul(backend, a.view, b.view, c.view, p.options);
  if (!right(p.options, a.view, b.view, before.view(), c.view)) return state.SkipWithError("differs from plain loops");
  ops::matmul_options options = p.options;
  options.accumulate = false;  // so that c stays finite however often it is measured
  bench::measure(state, threads, 2.0 * static_cast<double>(p.m * p.n * p.k),
                 static_cast<double>(a.view.size() + b.view.size() + c.view.size()) * sizeof(float),
                 [&] { ops::matmul(backend, a.view, b.view, c.view, options); });
}

}  // namespace

int main(int argc, char** argv) {
  for (const auto& [library_name, library] : bench::products)
    for (const std::int64_t rows : {512, 10'000}) {
      const product_case cases[] = {{"project", {.transpose_b = true}, rows, 512, 1024},
                                    {"branches", {.transpose_b = true}, rows, 512, 512},
                                    {"dbranch_weights", {.transpose_a = true, .accumulate = true}, 512, 512, rows},
                                    {"dproject_weights", {.transpose_a = true, .accumulate = true}, 512, 1024, rows},
                                    {"dh", {.accumulate = true}, rows, 512, 512}};
      for (const product_case& each : cases)
        for (const std::int64_t gap : {0, 16})
          benchmark::RegisterBenchmark(
              (std::string(each.name) + "/" + library_name + "/rows:" + std::to_string(rows)).c_str(),
              [gemm = library, each](benchmark::State& state) { product(state, gemm, each); })
              ->ArgNames({"threads", "gap"})
              ->Args({rows > 512 ? 2 : 1, gap})
              ->MeasureProcessCPUTime()
              ->UseRealTime()
              ->Unit(benchmark::kMillisecond);
    }
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 1;
  benchmark::RunSpecifiedBenchmarks();
}
