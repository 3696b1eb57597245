// labels: emulated
#include <milkit/core/to_backend.cuh>
#include <milkit/ops/rows/fill_cpu.hpp>
#include <milkit/ops/selection/topk_cpu.hpp>
#include <milkit/ops/selection/topk_cuda.cuh>
#include <milkit/ops/selection/zoom_cpu.hpp>
#include <milkit/ops/selection/zoom_cuda.cuh>
#include <milkit/topk/hard.hpp>
#include <milkit/topk/perturbed.hpp>
#include <milkit/topk/random.hpp>
#include <milkit/topk/straight_through.hpp>
#include <milkit/topk/zoom_chain.hpp>

#include <support/backends.hpp>
#include <support/floats.hpp>

using namespace milkit;
using test::agree, test::normals, test::relative_error;

// Top-K operators and zoom on the CPU and on the emulated card: the same selections, bit by bit.
namespace {

constexpr pass training{.training = true, .random = random_stream(5, 6, 7)};
template <class T>
constexpr double bound = sizeof(T) == 4 ? 5e-6 : 1e-13;

/// A selection and the gradient of its scores, in memory of the host.
template <class T>
struct outcome {
  std::vector<std::int64_t> offsets;
  std::vector<std::int32_t> columns, draws;
  std::vector<T> weights, dscores;
};

template <class Backend, class U, int Rank>
std::vector<std::remove_const_t<U>> values(Backend& b, view<U, Rank, typename Backend::space> v, std::int64_t count) {
  std::vector<std::remove_const_t<U>> host(static_cast<std::size_t>(count));
  if (count == 0) return host;
  const view<std::remove_const_t<U>, 1> to(host.data(), {count});
  if constexpr (is_cpu<Backend>) std::copy_n(v.data(), count, host.data());
  else copy(b, vector_view<const U, device_space>(v.data(), {count}), to);
  return host;
}

/// dL/dT as a function of the non-zero's place, on any backend.
template <class T, class Backend>
auto gradient_of(Backend& b, std::int64_t count) {
  const auto g = normals<T>(shape<1>{count}, 9);
  const auto memory = b.workspace.template allocate<T>(count);
  if constexpr (is_cpu<Backend>) std::copy_n(g.data(), count, memory.data());
  else copy(b, g.view(), memory);
  return memory;
}

template <class T, class Operator, class Backend>
outcome<T> run(Backend& b, const Operator& op, vector_view<const T, typename Backend::space> scores) {
  const auto scope = b.workspace.scope();
  const auto selected = op.select(b, scores, training);
  const auto dweights = gradient_of<T>(b, selected.weights.extent(0));
  const auto dscores = b.workspace.template allocate<T>(scores.extent(0));
  op.select_backward(b, scores, selected, dweights, dscores, training);
  outcome<T> got;
  got.offsets = values(b, selected.offsets, selected.offsets.extent(0));
  got.columns = values(b, selected.columns, got.offsets.back());
  got.weights = values(b, selected.weights, got.offsets.back());
  got.draws = values(b, selected.draws, selected.draws.size());
  got.dscores = values(b, dscores, scores.extent(0));
  return got;
}

template <class T, class Operator>
void same_on_both(const Operator& op, const tensor<T, 1>& scores) {
  cpu host{.threads = 2};
  const auto want = run<T>(host, op, scores.view());
  milkit::cuda gpu;
  const auto device = scores.template to<device_space>();
  outcome<T> first;
  for (const std::uint64_t seed : {0u, 1u, 5u}) {
    test::with_order(seed, [&] {
      const auto got = run<T>(gpu, op, device.view());
      CHECK(got.offsets == want.offsets);
      CHECK(got.columns == want.columns);
      CHECK(got.draws == want.draws);
      CHECK(std::memcmp(got.weights.data(), want.weights.data(), got.weights.size() * sizeof(T)) == 0);
      CHECK(relative_error(got.dscores, want.dscores) <= bound<T>);
      if (seed == 0) first = got;
      CHECK(std::memcmp(got.dscores.data(), first.dscores.data(), first.dscores.size() * sizeof(T)) == 0);
    });
  }
}

template <class T>
tensor<T, 1> scores_of(std::int64_t n) {
  auto a = normals<T>(shape<1>{n}, static_cast<std::uint64_t>(n));
  for (std::int64_t i = 0; i < n; ++i) a.data()[i] = std::exp(a.data()[i]) / static_cast<T>(n);
  return a;
}

}  // namespace

TEST_CASE_TEMPLATE("cuda: perturbed top-K selects as the CPU does, in all three estimates", T, MILKIT_FLOATS) {
  struct sizes {
    std::int64_t n, k, samples;
  };
  for (const auto [n, k, samples] :
       {sizes{1, 1, 2}, {2, 1, 2}, {31, 5, 9}, {33, 40, 3}, {257, 100, 3}, {1030, 12, 19}, {5003, 37, 4}})
    for (const auto jacobian : {topk::jacobian::full, topk::jacobian::full_without_baseline, topk::jacobian::diagonal})
      same_on_both<T>(topk::perturbed{.k = k, .samples = samples, .sigma = 1, .relative = true, .jacobian = jacobian},
                      scores_of<T>(n));
}

TEST_CASE_TEMPLATE("cuda: hard, straight-through and random top-K", T, MILKIT_FLOATS) {
  for (const std::int64_t n : {1, 33, 257, 1030, 3000})
    for (const std::int64_t k : {std::int64_t{1}, n / 3 + 1, n}) {
      same_on_both<T>(topk::hard{k}, scores_of<T>(n));
      same_on_both<T>(topk::straight_through{k}, scores_of<T>(n));
      same_on_both<T>(topk::random{k}, scores_of<T>(n));
    }
}

TEST_CASE_TEMPLATE("cuda: ties, NaN and infinities are ranked as on the CPU", T, MILKIT_FLOATS) {
  auto scores = scores_of<T>(1000);
  for (std::int64_t i = 0; i < 1000; ++i) scores.data()[i] = std::round(scores.data()[i] * 2000);
  same_on_both<T>(topk::hard{300}, scores);
  scores.data()[7] = scores.data()[900] = std::numeric_limits<T>::quiet_NaN();
  scores.data()[8] = -std::numeric_limits<T>::quiet_NaN();
  scores.data()[501] = std::numeric_limits<T>::infinity();
  scores.data()[502] = -std::numeric_limits<T>::infinity();
  scores.data()[503] = T(-0.0);
  for (const std::int64_t k : {2, 4, 600, 999}) same_on_both<T>(topk::hard{k}, scores);
  same_on_both<T>(topk::perturbed{.k = 50, .samples = 8, .sigma = 0.1}, scores);
  std::fill_n(scores.data(), 1000, T(0.5));
  same_on_both<T>(topk::hard{10}, scores);
  same_on_both<T>(topk::perturbed{.k = 300, .samples = 8}, scores);
}

TEST_CASE("cuda: draws that lie further apart than one window of counts") {
  tensor<float, 1> scores(shape<1>{9000});
  same_on_both<float>(topk::perturbed{.k = 3, .samples = 40}, scores);
}

TEST_CASE_TEMPLATE("cuda: zoom, its gradients, and two in a row", T, MILKIT_FLOATS) {
  for (const bool ragged : {false, true})
    for (const std::int64_t d : {1, 5, 300}) {
      const std::int64_t n = 61, width = 4, k = 7, r2 = 2;
      std::vector<std::int64_t> offsets{0}, rows;
      for (std::int64_t i = 0; i < n; ++i) offsets.push_back(offsets.back() + (ragged ? i % (width + 1) : width));
      for (std::int64_t i = 0; i < offsets.back(); ++i) rows.push_back(offsets.back() - 1 - i);
      const std::int64_t count = offsets.back();
      agree(
          bound<T>,
          [&](auto& b, auto scores, auto h, auto dout, auto out, auto dh, auto mass, auto h3, auto drows3, auto rows3,
              auto dh3, auto dscores) {
            using space = typename std::remove_reference_t<decltype(b)>::space;
            const auto scope = b.workspace.scope();
            ops::children<space> index{width};
            if (ragged) {
              index.offsets = to_backend(b, vector_view<const std::int64_t>(offsets.data(), {n + 1}));
              index.rows = to_backend(b, vector_view<const std::int64_t>(rows.data(), {count}));
            }
            const topk::perturbed op{.k = k, .samples = 12, .sigma = 1, .relative = true};
            const auto selected = op.select(b, scores, training);
            ops::zoom(b, selected, index, h, out);
            ops::zoom_mass(b, selected, index, mass);
            const auto dweights = topk::zoom_backward(b, selected, index, h, dout, dh);
            op.select_backward(b, scores, selected, dweights, dscores, training);
            const topk::perturbed inner{.k = 3, .samples = 5, .sigma = 1};
            const auto second = inner.select(b, scores.rows(0, k * width), training);
            const ops::children<space> pairs{r2};
            const std::array links{topk::zoom_link_of(b, index, selected), topk::zoom_link_of(b, pairs, second)};
            const auto zoomed = topk::zoom_chain<2>(b, links, h3);
            ops::copy_rows(b, zoomed[1], rows3);
            const auto d1 = b.workspace.template allocate<T>(selected.weights.extent(0));
            const auto d2 = b.workspace.template allocate<T>(second.weights.extent(0));
            ops::fill(b, d1, T(0));
            ops::fill(b, d2, T(0));
            topk::zoom_chain_backward<2>(b, links, h3, zoomed, drows3, std::array{d1, d2}, dh3);
          },
          scores_of<T>(n), normals<T>(shape{count, d}, 2), normals<T>(shape{k * width, d}, 3),
          normals<T>(shape{k * width, d}, 4), normals<T>(shape{count, d}, 5), normals<T>(shape<1>{k * width}, 6),
          normals<T>(shape{count * r2, d}, 7), normals<T>(shape{3 * r2, d}, 8), normals<T>(shape{3 * r2, d}, 9),
          normals<T>(shape{count * r2, d}, 10), normals<T>(shape<1>{n}, 11));
    }
}

TEST_CASE("cuda: the children of a hard selection are listed and gathered") {
  const std::int64_t n = 700, k = 300, width = 3;
  std::vector<std::int64_t> offsets{0};
  for (std::int64_t i = 0; i < n; ++i) offsets.push_back(offsets.back() + i % (width + 1));
  agree(
      0,
      [&](auto& b, auto scores, auto h, auto list_offsets, auto list_rows, auto out) {
        using space = typename std::remove_reference_t<decltype(b)>::space;
        const auto scope = b.workspace.scope();
        const ops::children<space> index{
            width, to_backend(b, vector_view<const std::int64_t>(offsets.data(), {n + 1})), {}};
        const auto selected = topk::hard{k}.select(b, scores, training);
        ops::child_rows(b, selected.columns, index, list_offsets, list_rows);
        ops::gather_rows(b, h, list_rows.rows(0, 200), out);
      },
      scores_of<double>(n), normals<double>(shape{offsets.back(), std::int64_t{5}}, 2),
      tensor<std::int64_t, 1>(shape<1>{k + 1}), tensor<std::int64_t, 1>(shape<1>{k * width}),
      normals<double>(shape<2>{200, 5}, 3));
}
