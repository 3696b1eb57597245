#pragma once

#include <algorithm>
#include <memory>
#include <type_traits>

#include <milkit/nn/identity.hpp>
#include <milkit/pooling/bag.hpp>
#include <milkit/pooling/pooler.hpp>

namespace milkit::pooling {

/// From the instances of bags to their embeddings: a row-wise encoder, then a pooler, fused. A chunk of instances goes
/// through encoder, scores and pooling while it is in cache, and only the running states of the bags remain (online
/// softmax), so a bag of any size needs O(chunk) memory beside itself, and one that is read from a file is never in
/// memory at once.
///
/// In training the chunks' intermediate values are kept for the backward pass as far as `saved_bytes` reaches; the
/// others are computed again there, with the same bits (dropout included). Gradients are summed chunk by chunk in
/// order, so results depend on `chunk_rows`, but not on `saved_bytes` and not on the number of threads. Errors:
/// value_error for an empty bag; shape_error for widths and offsets that do not fit.
template <class Encoder, pooler Pooler>
struct bag_embedding {
  static_assert(
      layer_traits<Encoder>::row_wise,
      "milkit::pooling::bag_embedding: the encoder must work instance by instance (row_wise), because bags stream "
      "through it in chunks");
  static_assert(Encoder::out_features < 0 || Pooler::in_features < 0 || Encoder::out_features == Pooler::in_features,
                "milkit::pooling::bag_embedding: the encoder gives another number of features than the pooler takes");

  static constexpr std::int64_t in_features = Encoder::in_features;
  static constexpr std::int64_t out_features =
      Pooler::out_features == any_features ? Encoder::out_features : Pooler::out_features;

  Encoder encoder = {};
  Pooler pooler = {};
  std::int64_t chunk_rows = 0;                      ///< 0: chosen from the size of an instance's intermediate values
  std::size_t saved_bytes = std::size_t{42} << 20;  ///< kept for the backward pass at most

  constexpr auto list(auto& l) const { return std::tuple{l.child("encoder", encoder), l.child("pooler", pooler)}; }

  /// What one chunk leaves for the backward pass.
  template <class Source, class Backend>
  struct chunk_saved {
    using T = typename Source::value_type;
    using Space = typename Backend::space;
    using input_view = view<const T, Source::rank, Space>;
    input_view input;
    matrix_view<const T, Space> h;
    saved_of<Encoder, input_view> encoder;
    typename Pooler::template saved<T, Space> pooler;
  };

  template <class Source, class Backend>
  struct saved {
    using T = typename Source::value_type;
    using Space = typename Backend::space;
    std::int64_t chunk_rows = 0;
    vector_view<const std::int64_t> offsets;
    vector_view<const std::int64_t, Space> backend_offsets;
    vector_view<chunk_saved<Source, Backend>> chunks;  ///< the first ones; the rest is computed again
    matrix_view<T, Space> logits;                      ///< [n, scores]
    matrix_view<double, Space> states;                 ///< [bags, state_width]
  };

  /// Writes embedding [bags, d] and, where they are not absent, logits [n, scores] and attention [n, attentions].
  /// `offsets` [bags + 1] lie on the host. What backward needs stays in the workspace.
  template <class Backend, class T, instance_source<Backend> Source>
  void forward(const context<Backend, T>& at, const Source& source, vector_view<const std::int64_t> offsets,
               auto embedding, auto logits, auto attention, saved<Source, Backend>& kept) const {
    using Space = typename Backend::space;
    Backend& backend = at.backend;
    constexpr const char* op = "milkit::pooling::bag_embedding";
    const std::int64_t rows = source.shape()[0];
    expect_offsets(op, offsets, rows);
    const std::int64_t bags = offsets.extent(0) - 1, features = encoder.output_shape(source.shape())[1];
    expect_shape(op, "embedding", embedding, shape<2>{bags, features});
    if (!logits.absent()) expect_shape(op, "logits", logits, shape<2>{rows, Pooler::scores});
    if (!attention.absent()) expect_shape(op, "attention", attention, shape<2>{rows, Pooler::attentions});

    // Copied, because backward reads them when the caller's batch of one bag, which holds its offsets, may be gone.
    const auto own_offsets = backend.workspace.template allocate_on_host<std::int64_t>(offsets.extent(0));
    const bool planning = backend.workspace.planning();
    for (std::int64_t b = 0; b <= bags && !planning; ++b) own_offsets(b) = offsets(b);
    kept.offsets = planning ? offsets : vector_view<const std::int64_t>(own_offsets);
    kept.backend_offsets = to_backend(backend, kept.offsets);
    kept.chunks = {};
    kept.chunk_rows = chunk_rows > 0 ? chunk_rows : default_chunk_rows(at, source);
    kept.logits = logits.absent() ? backend.workspace.template allocate<T>(shape<2>{rows, Pooler::scores}) : logits;
    kept.states = backend.workspace.template allocate<double>(shape<2>{bags, pooler.state_width(features)});
    ops::fill(backend, kept.states, 0.0);
    const std::int64_t chunks = chunk_count(rows, kept.chunk_rows);
    const auto store = allocate_store(at, source, kept);

    each_chunk(
        backend, rows, chunks,
        [&](Backend& worker, std::int64_t i) {
          const auto chunk = chunk_at(kept, rows, i);
          chunk_saved<Source, Backend> own;
          if (i < store.rows()) {
            workspace<Space> slice =
                worker.workspace.planning()
                    ? workspace<Space>(true)
                    : workspace<Space>(vector_view<std::byte, Space>(store.row(i), {store.cols()}));
            const store_scope<Backend, workspace<Space>> into(worker, slice);
            encode(at.on(worker), source, chunk.rows, own, kept.logits);
            if (!worker.workspace.planning()) std::construct_at(&kept.chunks(i), own);
          } else {
            encode(at.on(worker), source, chunk.rows, own, kept.logits);
          }
          const auto part = worker.workspace.template allocate<double>(shape<2>{chunk.bags.count, kept.states.cols()});
          pooler.pool(worker, chunk, own.h, logits_of(kept, chunk), part);
          return part;
        },
        [&](Backend& worker, std::int64_t i, matrix_view<double, Space> part) {
          const auto chunk = chunk_at(kept, rows, i);
          pooler.merge(worker, part, kept.states.rows(chunk.bags.first, chunk.bags.count));
        });
    pooler.finish(backend, kept.backend_offsets, kept.states, embedding);
    for (std::int64_t i = 0; i < chunks && !attention.absent(); ++i) {
      const auto chunk = chunk_at(kept, rows, i);
      pooler.attention(backend, chunk, logits_of(kept, chunk), kept.states,
                       attention.rows(chunk.rows.first, chunk.rows.count));
    }
  }

  /// From dembedding [bags, d] and dattention [n, attentions] (absent where nothing depends on the attention itself):
  /// adds to the gradient, and writes dinput, of the instances' shape, where it is not absent.
  template <class Backend, class T, instance_source<Backend> Source>
  void backward(const context<Backend, T>& at, const Source& source, const saved<Source, Backend>& kept,
                auto dembedding, auto dattention, auto dinput) const {
    using Space = typename Backend::space;
    Backend& backend = at.backend;
    const vector_view<T, Space> gradient = at.gradient;
    const std::int64_t rows = source.shape()[0], chunks = chunk_count(rows, kept.chunk_rows), bags = kept.states.rows();
    expect_shape("milkit::pooling::bag_embedding", "dembedding", dembedding,
                 shape<2>{bags, encoder.output_shape(source.shape())[1]});
    const auto scope = backend.workspace.scope();
    vector_view<double, Space> dots;
    if (!dattention.absent()) {
      expect_shape("milkit::pooling::bag_embedding", "dattention", dattention, shape<2>{rows, Pooler::attentions});
      dots = backend.workspace.template allocate<double>(bags * Pooler::attentions);
      ops::fill(backend, dots, 0.0);
      for (std::int64_t i = 0; i < chunks; ++i) {
        const auto chunk = chunk_at(kept, rows, i);
        pooler.dots(backend, chunk, logits_of(kept, chunk), kept.states,
                    dattention.rows(chunk.rows.first, chunk.rows.count), dots);
      }
    }
    // The first chunk adds to the gradient itself, and so do all that follow each other on one stream.
    const auto direct = [&](std::int64_t i) { return i == 0 || !is_cpu<Backend> || gradient.absent(); };
    each_chunk(
        backend, rows, chunks,
        [&](Backend& worker, std::int64_t i) {
          const auto chunk = chunk_at(kept, rows, i);
          const auto part = direct(i) ? gradient : worker.workspace.template allocate<T>(gradient.extent(0));
          if (!direct(i)) ops::fill(worker, part, T(0));
          chunk_saved<Source, Backend> own;
          if (i >= kept.chunks.extent(0)) encode(at.on(worker), source, chunk.rows, own, kept.logits);
          else if (worker.workspace.planning()) plan_encode(at.on(worker), source, chunk.rows, own);
          else own = kept.chunks(i);
          const auto dlogits = worker.workspace.template allocate<T>(shape<2>{chunk.rows.count, Pooler::scores});
          const auto dh = worker.workspace.template allocate_rows<T>(shape<2>{chunk.rows.count, dembedding.cols()});
          pooler.pool_backward(worker, chunk, own.h, logits_of(kept, chunk), kept.states, dembedding,
                               slice_rows(dattention, chunk.rows), dots, dlogits, dh);
          decode(at.on(worker).into(part).from_row(chunk.rows.first), own, dlogits, dh, slice_rows(dinput, chunk.rows));
          return part;
        },
        [&](Backend& worker, std::int64_t i, vector_view<T, Space> part) {
          if (!direct(i)) ops::copy_rows(worker, part, gradient, true);
        });
  }

 private:
  /// Sends what a worker keeps into the slice, for as long as it lives: also when a layer or the source throws.
  template <class Backend, class Slice>
  struct store_scope {
    store_scope(Backend& worker, Slice& slice) : worker_(worker), before_(worker.store) { worker_.store = &slice; }
    store_scope(const store_scope&) = delete;
    store_scope& operator=(const store_scope&) = delete;
    ~store_scope() { worker_.store = before_; }
    Backend& worker_;
    workspace<typename Backend::space>* before_;
  };

  /// `parallel_in_order` over chunks. A single one of many rows runs on the backend itself, whose ops divide it among the
  /// threads: then no gradient is summed twice, and weights are packed once.
  template <class Backend, class Body, class Commit>
  static void each_chunk(Backend& backend, std::int64_t rows, std::int64_t chunks, Body&& body, Commit&& commit) {
    if constexpr (is_cpu<Backend>)
      if (chunks == 1 && rows >= Backend::least_chunk_rows) {
        const auto scope = backend.workspace.scope();
        return commit(backend, 0, body(backend, 0));
      }
    parallel_in_order(backend, chunks, body, commit);
  }

  static constexpr bool has_encoder = !std::is_same_v<Encoder, nn::identity>;

  template <class View>
  static View slice_rows(View all, row_range rows) {
    return all.absent() ? all : all.rows(rows.first, rows.count);
  }

  /// The chunk's rows, and the bags that they touch.
  template <class Source, class Backend>
  static ops::bag_chunk<typename Backend::space> chunk_at(const saved<Source, Backend>& kept, std::int64_t rows,
                                                          std::int64_t i) {
    const row_range own = milkit::chunk_at(rows, kept.chunk_rows, i);
    const std::int64_t* begin = kept.offsets.data();
    const std::int64_t* end = begin + kept.offsets.extent(0);
    const std::int64_t first = std::upper_bound(begin, end, own.first) - begin - 1;
    const std::int64_t last = std::lower_bound(begin, end, own.first + own.count) - begin;
    return {own, {first, last - first}, kept.backend_offsets};
  }

  template <class Kept, class Chunk>
  static auto logits_of(const Kept& kept, const Chunk& chunk) {
    return kept.logits.rows(chunk.rows.first, chunk.rows.count);
  }

  /// One chunk through encoder and scores.
  template <class Backend, class T, class Source>
  void encode(const context<Backend, T>& whole, const Source& source, row_range rows, chunk_saved<Source, Backend>& own,
              auto logits) const {
    const auto at = whole.from_row(rows.first);
    own.input = source.read(at.backend, rows);
    if constexpr (has_encoder) {
      const auto h = at.backend.kept_memory().template allocate_rows<T>(encoder.output_shape(own.input.shape()));
      encoder.forward(at.template child<0>(*this), own.input, h, own.encoder);
      own.h = h;
    } else {
      own.h = own.input;
    }
    pooler.score(at.template child<1>(*this), own.h, logits.rows(rows.first, rows.count), own.pooler);
  }

  /// The way back of `encode`; dh holds what the pooling gives to h.
  void decode(const auto& at, const auto& own, auto dlogits, auto dh, auto dinput) const {
    pooler.score_backward(at.template child<1>(*this), own.h, own.pooler, dlogits, dh);
    if constexpr (has_encoder) encoder.backward(at.template child<0>(*this), own.encoder, dh, dinput);
    else if (!dinput.absent()) ops::copy_rows(at.backend, dh, dinput);
  }

  /// `encode` on a backend that only counts, for the shapes and for the bytes that it keeps.
  template <class Backend, class T, class Source>
  std::size_t plan_encode(const context<Backend, T>& at, const Source& source, row_range rows,
                          chunk_saved<Source, Backend>& own) const {
    Backend planner = at.backend.planner();
    workspace<typename Backend::space> store(true);
    planner.store = &store;
    const auto logits = planner.workspace.template allocate<T>(shape<2>{rows.first + rows.count, Pooler::scores});
    encode(at.on(planner), source, rows, own, logits);
    return store.peak_bytes();
  }
  template <class Backend, class T, class Source>
  std::size_t kept_bytes(const context<Backend, T>& at, const Source& source, std::int64_t rows) const {
    chunk_saved<Source, Backend> own;
    return plan_encode(at, source, {0, rows}, own);
  }

  /// Rows whose values take about the backend's `chunk_bytes`, so that they stay in cache, but within its bounds, so
  /// that matrix products are large and each chunk's gradient is worth its sum; then chunks of equal size, and for
  /// threads an even number of them.
  template <class Backend, class T, class Source>
  std::int64_t default_chunk_rows(const context<Backend, T>& at, const Source& source) const {
    const std::int64_t rows = source.shape()[0];
    const std::size_t row_bytes = (std::max)(kept_bytes(at, source, 1), std::size_t{1});
    const auto most = std::clamp(Backend::chunk_bytes / static_cast<std::int64_t>(row_bytes), Backend::least_chunk_rows,
                                 Backend::most_chunk_rows);
    const std::int64_t chunks = chunk_count(rows, most);
    return chunk_count(rows, is_cpu<Backend> && chunks > 1 ? chunks + chunks % 2 : chunks);
  }

  /// Memory for the values of as many chunks as `saved_bytes` holds, one row a chunk.
  template <class Backend, class T, class Source>
  matrix_view<std::byte, typename Backend::space> allocate_store(const context<Backend, T>& at, const Source& source,
                                                                 saved<Source, Backend>& kept) const {
    using chunk = chunk_saved<Source, Backend>;
    static_assert(std::is_trivially_destructible_v<chunk>, "milkit: what layers save must be views and numbers");
    if (!at.pass.training) return {};
    const std::int64_t rows = source.shape()[0];
    const std::size_t bytes = kept_bytes(at, source, (std::min)(rows, kept.chunk_rows));
    const std::int64_t fit = static_cast<std::int64_t>(saved_bytes / (std::max)(bytes, std::size_t{1}));
    const std::int64_t chunks = (std::min)(chunk_count(rows, kept.chunk_rows), fit);
    kept.chunks = at.backend.workspace.template allocate_on_host<chunk>(chunks);
    return at.backend.workspace.template allocate<std::byte>(shape<2>{chunks, static_cast<std::int64_t>(bytes)});
  }
};

}  // namespace milkit::pooling
