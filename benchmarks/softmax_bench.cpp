// Softmax of rows, and of the bags in one long column of scores, forward and backward.
#include <milkit/ops/rows/softmax_cpu.hpp>

#include <reference/softmax.hpp>

#include "measure.hpp"

namespace {

using namespace milkit;

constexpr int threads = 2;
constexpr double forward_flops = 3,
                 backward_flops = 4;  // an element: shift, exp, scale; product, sum, difference, product

/// Row by row, values and gradients, against plain loops in long double.
bool right(matrix_view<const float> x, matrix_view<const float> y, matrix_view<const float> dy,
           matrix_view<const float> dx) {
  for (std::int64_t i = 0; i < x.rows(); i += (std::max)(x.rows() / 3, std::int64_t{1})) {
    const auto want = reference::softmax(test::elements(x.rows(i, 1)));
    if (!(test::relative_error(y.rows(i, 1), want.y) <= 1e-5)) return false;
    const auto upstream = test::elements(dy.rows(i, 1));
    double dot = 0;
    for (std::size_t j = 0; j < upstream.size(); ++j) dot += upstream[j] * want.y[j];
    std::vector<double> gradient(upstream.size());
    for (std::size_t j = 0; j < upstream.size(); ++j) gradient[j] = want.y[j] * (upstream[j] - dot);
    if (!(test::relative_error(dx.rows(i, 1), gradient) <= 1e-4)) return false;
  }
  return true;
}

struct rows_case {
  cpu backend{.threads = threads};
  tensor<float, 2> x, dy, y, dx;

  rows_case(std::int64_t rows, std::int64_t cols)
      : x(bench::uniform_tensor<float>(shape<2>{rows, cols}, 1)),
        dy(bench::uniform_tensor<float>(shape<2>{rows, cols}, 2)),
        y(x.shape()),
        dx(x.shape()) {}

  void forward() { ops::softmax(backend, std::as_const(x).view(), y.view(), vector_view<float>()); }
  void backward() {
    using absent = vector_view<const float>;
    ops::softmax_backward(backend, std::as_const(y).view(), std::as_const(dy).view(), absent(), dx.view());
  }
};

/// The same elements, each row one bag of a ragged batch.
struct segments_case : rows_case {
  std::vector<std::int64_t> offsets;

  segments_case(std::int64_t rows, std::int64_t cols) : rows_case(rows, cols) {
    for (std::int64_t i = 0; i <= rows; ++i) offsets.push_back(i * cols);
  }

  static auto column(auto&& t) { return view<std::remove_pointer_t<decltype(t.data())>, 1>(t.data(), {t.size()}); }
  auto bags() const {
    return vector_view<const std::int64_t>(offsets.data(), {static_cast<std::int64_t>(offsets.size())});
  }

  void forward() { ops::segment_softmax(backend, bags(), column(std::as_const(x)), column(y), vector_view<float>()); }
  void backward() {
    using absent = vector_view<const float>;
    ops::segment_softmax_backward(backend, bags(), column(std::as_const(y)), column(std::as_const(dy)), absent(),
                                  column(dx));
  }
};

template <class Case, bool Backward>
void softmax(benchmark::State& state) {
  Case c(state.range(0), state.range(1));
  c.forward();
  c.backward();
  if (!right(c.x.view(), c.y.view(), c.dy.view(), c.dx.view())) return state.SkipWithError("differs from plain loops");
  const auto elements = static_cast<double>(c.x.size());
  if (Backward)
    bench::measure(state, threads, backward_flops * elements, 3 * elements * sizeof(float), [&] { c.backward(); });
  else bench::measure(state, threads, forward_flops * elements, 2 * elements * sizeof(float), [&] { c.forward(); });
}

void shapes(benchmark::internal::Benchmark* b) {
  b->ArgNames({"rows", "cols"})->MeasureProcessCPUTime()->UseRealTime()->Unit(benchmark::kMicrosecond);
  for (const auto& [rows, cols] : {std::pair{10'000, 256}, {1'000, 1'000}, {10, 10'000}, {1, 100'000}})
    b->Args({rows, cols});
}
BENCHMARK(softmax<rows_case, false>)->Name("rows/forward")->Apply(shapes);
BENCHMARK(softmax<rows_case, true>)->Name("rows/backward")->Apply(shapes);
BENCHMARK(softmax<segments_case, false>)->Name("segments/forward")->Apply(shapes);
BENCHMARK(softmax<segments_case, true>)->Name("segments/backward")->Apply(shapes);

}  // namespace

BENCHMARK_MAIN();
