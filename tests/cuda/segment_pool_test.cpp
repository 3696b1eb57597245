// labels: emulated
#include <milkit/core/to_backend.cuh>
#include <milkit/ops/bags/segment_pool_cpu.hpp>
#include <milkit/ops/bags/segment_pool_cuda.cuh>
#include <milkit/ops/rows/fill_cpu.hpp>

#include <support/backends.hpp>
#include <support/floats.hpp>

using namespace milkit;
using test::agree, test::normals;

// Ragged batches of bags, in one chunk or more, on the CPU and on the emulated card.
namespace {

/// Calls `body(chunk)` for each chunk of `chunk_rows` rows, with offsets in the backend's memory.
template <class Backend, class Body>
void each_chunk(Backend& b, const std::vector<std::int64_t>& bags, std::int64_t chunk_rows, Body body) {
  const std::int64_t rows = bags.back();
  const auto scope = b.workspace.scope();
  const auto offsets =
      to_backend(b, vector_view<const std::int64_t>(bags.data(), {static_cast<std::int64_t>(bags.size())}));
  for (std::int64_t i = 0; i < chunk_count(rows, chunk_rows); ++i) {
    const row_range own = chunk_at(rows, chunk_rows, i);
    const auto first = std::upper_bound(bags.begin(), bags.end(), own.first) - bags.begin() - 1;
    const auto last = std::lower_bound(bags.begin(), bags.end(), own.first + own.count) - bags.begin();
    body(ops::bag_chunk<typename Backend::space>{own, {first, last - first}, offsets});
  }
}

struct batch {
  std::vector<std::int64_t> offsets;
  std::int64_t chunk_rows;
  std::int64_t rows() const { return offsets.back(); }
  std::int64_t bags() const { return static_cast<std::int64_t>(offsets.size()) - 1; }
};
const std::vector<batch> batches{{{0, 1, 3}, 10},  // of one instance the gradient of its logit is rounding alone
                                 {{0, 127, 128, 129, 256, 257}, 1000},
                                 {{0, 128, 256, 300}, 1000},
                                 {{0, 1000}, 1000},
                                 {{0, 40, 1300}, 1300},  // more tiles than a block of the merge has warps
                                 {{0, 1000}, 300},
                                 {{0, 3, 4, 5, 6, 700, 701, 1000}, 256},
                                 {{0, 33, 64, 65, 97}, 32}};
template <class T>
constexpr double bound = sizeof(T) == 4 ? 5e-6 : 1e-13;
constexpr std::int64_t one = 1;

template <class T>
void softmax_agrees(const batch& bags, std::int64_t d, const tensor<T, 2>& logits) {
  const std::int64_t n = bags.rows(), count = bags.bags();
  tensor<double, 2> states(shape{count, d + 2});
  agree(
      bound<T>,
      [&](auto& b, auto h, auto z, auto s, auto g, auto a, auto dg, auto da, auto dots, auto dz, auto dh) {
        each_chunk(b, bags.offsets, bags.chunk_rows, [&](const auto& chunk) {
          const auto scope = b.workspace.scope();
          const auto part = b.workspace.template allocate<double>(shape<2>{chunk.bags.count, d + 2});
          ops::softmax_pool(b, chunk, h.rows(chunk.rows.first, chunk.rows.count),
                            z.rows(chunk.rows.first, chunk.rows.count), part);
          ops::softmax_pool_merge(b, part, s.rows(chunk.bags.first, chunk.bags.count));
        });
        ops::softmax_pool_finish(b, s, g);
        const auto slice = [](auto v, const auto& chunk) { return v.rows(chunk.rows.first, chunk.rows.count); };
        each_chunk(b, bags.offsets, bags.chunk_rows, [&](const auto& chunk) {
          ops::softmax_weights(b, chunk, slice(z, chunk), s, slice(a, chunk));
          ops::softmax_dots(b, chunk, slice(z, chunk), s, slice(da, chunk), dots);
        });
        each_chunk(b, bags.offsets, bags.chunk_rows, [&](const auto& chunk) {
          ops::softmax_pool_backward(b, chunk, slice(h, chunk), slice(z, chunk), s, dg, slice(da, chunk), dots,
                                     slice(dz, chunk), slice(dh, chunk));
        });
      },
      normals<T>(shape{n, d}, 1), logits, states, normals<T>(shape{count, d}, 3), normals<T>(shape{n, one}, 4),
      normals<T>(shape{count, d}, 5), normals<T>(shape{n, one}, 6), tensor<double, 1>(shape{count}),
      normals<T>(shape{n, one}, 7), normals<T>(shape{n, d}, 8));
}

}  // namespace

TEST_CASE_TEMPLATE("cuda: softmax pooling and its gradients", T, MILKIT_FLOATS) {
  for (const batch& bags : batches)
    for (const std::int64_t d : {1, 5, 200}) softmax_agrees<T>(bags, d, normals<T>(shape{bags.rows(), one}, 2));
}

TEST_CASE("cuda: logits of -infinity have no mass, in a tile of their own or not") {
  const batch bags{{0, 600}, 1000};
  auto logits = normals<double>(shape{bags.rows(), one}, 2);
  for (std::int64_t i = 0; i < 300; ++i) logits.data()[i] = -std::numeric_limits<double>::infinity();
  softmax_agrees<double>(bags, 3, logits);
}

TEST_CASE_TEMPLATE("cuda: mean pooling", T, MILKIT_FLOATS) {
  for (const batch& bags : batches)
    for (const std::int64_t d : {1, 130}) {
      const std::int64_t n = bags.rows(), count = bags.bags();
      agree(
          bound<T>,
          [&](auto& b, auto h, auto s, auto g, auto a, auto dg, auto dh) {
            const auto offsets = to_backend(b, vector_view<const std::int64_t>(bags.offsets.data(), {count + 1}));
            each_chunk(b, bags.offsets, bags.chunk_rows, [&](const auto& chunk) {
              const auto scope = b.workspace.scope();
              const auto part = b.workspace.template allocate<double>(shape<2>{chunk.bags.count, d});
              ops::sum_pool(b, chunk, h.rows(chunk.rows.first, chunk.rows.count), part);
              ops::sum_pool_merge(b, part, s.rows(chunk.bags.first, chunk.bags.count));
              ops::mean_weights(b, chunk, a.rows(chunk.rows.first, chunk.rows.count));
              ops::mean_pool_backward(b, chunk, dg, dh.rows(chunk.rows.first, chunk.rows.count));
            });
            ops::mean_pool_finish(b, offsets, s, g);
          },
          normals<T>(shape{n, d}, 1), tensor<double, 2>(shape{count, d}), normals<T>(shape{count, d}, 2),
          normals<T>(shape{n, one}, 3), normals<T>(shape{count, d}, 4), normals<T>(shape{n, d}, 5));
    }
}

TEST_CASE_TEMPLATE("cuda: max pooling, with ties and NaN", T, MILKIT_FLOATS) {
  for (const batch& bags : batches)
    for (const std::int64_t d : {1, 130}) {
      const std::int64_t n = bags.rows(), count = bags.bags();
      auto values = normals<T>(shape{n, d}, 1);
      for (std::int64_t i = 0; i < values.size(); ++i) values.data()[i] = std::round(values.data()[i]);  // ties
      agree(
          bound<T>,
          [&](auto& b, auto h, auto s, auto g, auto a, auto dg, auto dh) {
            each_chunk(b, bags.offsets, bags.chunk_rows, [&](const auto& chunk) {
              const auto scope = b.workspace.scope();
              const auto part = b.workspace.template allocate<double>(shape<2>{chunk.bags.count, 2 * d});
              ops::max_pool(b, chunk, h.rows(chunk.rows.first, chunk.rows.count), part);
              ops::max_pool_merge(b, part, s.rows(chunk.bags.first, chunk.bags.count));
            });
            ops::max_pool_finish(b, s, g);
            each_chunk(b, bags.offsets, bags.chunk_rows, [&](const auto& chunk) {
              ops::max_weights(b, chunk, s, a.rows(chunk.rows.first, chunk.rows.count));
              ops::max_pool_backward(b, chunk, s, dg, dh.rows(chunk.rows.first, chunk.rows.count));
            });
          },
          values, tensor<double, 2>(shape{count, 2 * d}), normals<T>(shape{count, d}, 2), normals<T>(shape{n, one}, 3),
          normals<T>(shape{count, d}, 4), normals<T>(shape{n, d}, 5));
    }
  milkit::cuda gpu;
  tensor<T, 2> values = normals<T>(shape<2>{400, 2}, 1);
  values.data()[2 * 300] = values.data()[2 * 399] = std::numeric_limits<T>::quiet_NaN();
  test::on_card h(gpu, values, 0);
  test::on_card states(gpu, tensor<double, 2>(shape<2>{1, 4}), 0);
  each_chunk(gpu, {0, 400}, 400, [&](const auto& chunk) { ops::max_pool(gpu, chunk, h.view(), states.view()); });
  const auto got = states.back(gpu);
  CHECK(std::isnan(got.data()[0]));
  CHECK(got.data()[2] == 301);  // the first of the two NaN
}
