#pragma once

#include <algorithm>
#include <array>

#include <milkit/loss/entropy_regulariser.hpp>
#include <milkit/models/network.hpp>
#include <milkit/models/zoom_in/options.hpp>
#include <milkit/nn/parameters.hpp>
#include <milkit/ops/products/matmul.hpp>
#include <milkit/ops/rows/fill.hpp>
#include <milkit/ops/rows/softmax.hpp>
#include <milkit/sampling/exact.hpp>
#include <milkit/sampling/image_views.hpp>
#include <milkit/sampling/with_replacement.hpp>
#include <milkit/sampling/without_replacement.hpp>

namespace milkit::models {

/// Stands for the attention over tiles in a network of one stage (attention sampling, ATS: Katharopoulos & Fleuret 2019): the
/// whole image is one tile.
struct whole_image {};

/// The Zoom-In network (Kong & Henao 2022; docs/papers/zoom_in.md): an image too large to look at is classified from
/// few sub-tiles. Attention a over
/// tiles, from a low-resolution view of each; attention b over the cells of a tile, from a finer view; features of full-resolution
/// sub-tiles at cells. Phi = sum_c a_c sum_i b^c_i f(c, i) is estimated from N draws, tiles by `TileSampler` and, n_c
/// of them within tile c, cells by `CellSampler`: F = sum_c n_c / N F_c, unbiased with its gradient where the samplers are. A tile with
/// more draws than cells has all its cells, where its estimate is exact. `whole_image` for the tiles' attention: one stage.
/// The loss of a training step is L(image) + L(complement, label 0) for positive images from epoch 10 on + lambda (sum a log a +
/// sum_Q sum b log b), Q the tiles drawn. The gradient of L(F) is that at the sampled F: the loss is not linear, and only
/// E F = Phi. Takes one image at a time (`sampling::image_source`). Parameters: `attention1.*`, `attention2.*`, `features.*`,
/// `classifier.*`. Memory: activations of 2 N sub-tiles and of one chunk of views; none for the image.
template <class TileAttention, class CellAttention, class Features, class Classifier,
          class TileSampler = sampling::with_replacement, class CellSampler = sampling::without_replacement>
struct zoom_in {
  static constexpr bool one_stage = std::is_same_v<TileAttention, whole_image>;
  static_assert(sampling::sampler<TileSampler> && sampling::sampler<CellSampler>,
                "milkit::models::zoom_in: the last two arguments are samplers (sampling/sampler.hpp)");
  static_assert(Features::out_features < 0 || Classifier::in_features < 0 ||
                    Features::out_features == Classifier::in_features,
                "milkit::models::zoom_in: the features have another width than the classifier takes");

  TileAttention tile_attention = {};
  CellAttention cell_attention = {};
  Features features = {};
  Classifier classifier = {};
  TileSampler tile_sampler = {};
  CellSampler cell_sampler = {};
  zoom_in_options options = {};

  constexpr auto list(auto& l) const {
    return std::array{l.child("attention1", tile_attention), l.child("attention2", cell_attention),
                      l.child("features", features), l.child("classifier", classifier)};
  }

  /// What was drawn from the attention, or from its complement.
  template <class T, class Backend>
  struct branch {
    using Space = typename Backend::space;
    bool complement = false;
    sampling::distributions<T, Space> of_tiles, of_cells;
    sampling::drawn<T, Space> tiles;  ///< one row: the tiles of the image
    sampling::drawn<T, Space> cells;  ///< a row for each of them
    matrix_view<T, Space> features;   ///< [M, D] of the sub-tiles
    matrix_view<T, Space> of_tile;    ///< [Q, D]: F_c
    std::int64_t first = 0;           ///< of its rows in the features of all branches
  };

  /// What a step leaves for its backward pass; all of it may be read.
  template <class T, class Backend>
  struct saved {
    using Space = typename Backend::space;
    using images = image_view<const T, Space>;
    sampling::view_grid grid;
    images tile_views, cell_views;                      ///< absent where they are too many to keep
    matrix_view<T, Space> tile_logits, tile_attention;  ///< [1, C]
    vector_view<const std::int64_t> shown;              ///< [U] on the host: tiles whose cells were looked at
    matrix_view<T, Space> cell_logits, cell_attention;  ///< [U, P]
    matrix_view<T, Space> tile_complement, cell_complement;
    branch<T, Backend> attended, contrast;
    bool contrasts = false;
    images subtiles;  ///< [M, 3, h2, w2] of both branches
    saved_of<Features, images> of_features;
    matrix_view<T, Space> subtile_features;  ///< [M, D]
    matrix_view<T, Space> embedding;         ///< [branches, D]: F
    saved_of<Classifier, matrix_view<const T, Space>> of_classifier;
  };

  /// The shape of the logits, [1, classes].
  template <class Source>
  shape<2> output_shape(const Source&) const {
    return classifier.output_shape(shape<2>{1, detail::width_of_input(classifier)});
  }

  /// Whether the image has something that is not attended: more than one cell and, of two stages, more than one tile.
  bool has_complement(const sampling::view_grid& grid) const {
    return (one_stage || grid.tiles().size() > 1) && grid.cells.size() > 1;
  }

  /// Draws (`looking::sampled`, as in training) or looks in another way, and writes logits [1, classes], or [2, classes] with those
  /// of the complement where `contrast` says so and `has_complement`.
  template <class Backend, class U, sampling::image_source Source, class T>
  void forward(const context<Backend, U>& at, const Source& image, bool contrast, looking how, auto logits,
               saved<T, Backend>& kept) const {
    using sampling::drawing;
    Backend& backend = at.backend;
    const random_stream& random = at.pass.random;
    const drawing tiles = how == looking::deterministic ? drawing::most_likely : drawing::random,
                  cells = how == looking::sampled ? drawing::random : drawing::most_likely;
    attend_tiles(at, image, kept);
    kept.contrasts = contrast && has_complement(kept.grid);
    kept.attended.of_tiles = {how == looking::official_code ? official_tile_weights(backend, kept.tile_attention)
                                                            : kept.tile_attention};
    kept.attended.tiles = draw_tiles(backend, kept.attended.of_tiles, tiles, random.child(1));
    if (kept.contrasts) {
      kept.contrast.complement = true;
      if constexpr (!one_stage) {
        kept.tile_complement = backend.workspace.template allocate<T>(kept.tile_attention.shape());
        ops::complement(backend, kept.tile_attention, kept.tile_complement);
        kept.contrast.of_tiles = {kept.tile_complement};
      } else {
        kept.contrast.of_tiles = {kept.tile_attention};
      }
      kept.contrast.tiles = draw_tiles(backend, kept.contrast.of_tiles, tiles, random.child(2));
    }
    kept.shown = shown_tiles(backend, kept);
    attend_cells(at, image, kept);
    draw_cells(backend, kept, kept.attended, cells, random.child(3));
    if (kept.contrasts) draw_cells(backend, kept, kept.contrast, cells, random.child(4));
    classify(at, image, kept, logits);
  }

  /// From dlogits as forward's logits (used up): adds to the gradient. dtiles [1, C] and dcells [U, P] hold a gradient of the attention
  /// logits from elsewhere, to which that of the draws is added.
  template <class Backend, sampling::image_source Source, class T>
  void backward(const context<Backend, T>& at, const Source& image, const saved<T, Backend>& kept, auto dlogits,
                matrix_view<T, typename Backend::space> dtiles, matrix_view<T, typename Backend::space> dcells) const {
    using images = typename saved<T, Backend>::images;
    Backend& backend = at.backend;
    const auto scope = backend.workspace.scope();
    const auto dembedding = backend.workspace.template allocate<T>(kept.embedding.shape());
    const auto dfeatures = backend.workspace.template allocate<T>(kept.subtile_features.shape());
    classifier.backward(at.template child<3>(*this), kept.of_classifier, dlogits, dembedding);
    branch_backward(backend, kept, kept.attended, dembedding.rows(0, 1), dfeatures, dtiles, dcells);
    if (kept.contrasts) branch_backward(backend, kept, kept.contrast, dembedding.rows(1, 1), dfeatures, dtiles, dcells);
    features.backward(at.template child<2>(*this), kept.of_features, dfeatures,
                      image_view<T, typename Backend::space>());
    const auto in_chunks = [&](const auto& layer, const auto& stage, auto dvalues, area_of_view view, auto&& views) {
      each_chunk(dvalues.rows(), view, [&](row_range rows) {
        const auto chunk_scope = backend.workspace.scope();
        saved_of<std::remove_cvref_t<decltype(layer)>, images> of_layer;
        const images own_views = views(rows);
        const auto unused = backend.workspace.template allocate<T>(shape<2>{rows.count, dvalues.cols()});
        const auto again = stage.from_row(rows.first);  // what the forward pass drew
        layer.forward(again, own_views, unused, of_layer);
        layer.backward(again, of_layer, dvalues.rows(rows.first, rows.count), image_view<T, typename Backend::space>());
      });
    };
    in_chunks(cell_attention, at.template child<1>(*this), dcells, cell_view(kept.grid),
              [&](row_range rows) { return cell_views(backend, image, kept, rows); });
    if constexpr (!one_stage)
      in_chunks(tile_attention, at.template child<0>(*this),
                matrix_view<T, typename Backend::space>(dtiles.data(), {dtiles.cols(), 1}), tile_view(kept.grid),
                [&](row_range rows) { return tile_views(backend, image, kept, rows); });
  }

  /// Both attentions in full, of every cell of every tile: fills the logits and attentions of `kept`.
  template <class Backend, class Weights, sampling::image_source Source, class T>
  void attend(Backend& backend, Weights weights, const Source& image, saved<T, Backend>& kept) const {
    const context at{backend, weights};
    attend_tiles(at, image, kept);
    kept.shown =
        sampling::detail::host_table<std::int64_t>(backend, kept.grid.tiles().size(), [](std::int64_t c) { return c; });
    attend_cells(at, image, kept);
  }

  /// One training step's forward and backward pass on one image: adds `scale` times the gradient of its loss, and returns that
  /// loss. `labels` [1] lies on the host; a label other than 0 is positive.
  template <class Backend, class Weights, sampling::image_source Source, class Loss, class Gradient>
  double train_bags(Backend& backend, Weights weights, const Source& image, vector_view<const std::int64_t> labels,
                    const Loss& loss, double scale, Gradient gradient, const pass& pass) const {
    using T = typename Source::value_type;
    using Space = typename Backend::space;
    const auto scope = backend.workspace.scope();
    expect_extent("milkit::models::zoom_in", "extent of labels", labels.extent(0), 1);
    const bool contrast = options.contrastive && labels(0) != 0 && pass.epoch >= options.contrastive_from &&
                          has_complement(options.views.grid(image.size()));
    const std::int64_t branches = contrast ? 2 : 1;
    const auto logits = backend.workspace.template allocate<T>(output_shape(image).with_rows(branches));
    const auto dlogits = backend.workspace.template allocate<T>(logits.shape());
    const auto losses = backend.workspace.template allocate<double>(branches);
    saved<T, Backend> kept;
    const context at{backend, weights, gradient, pass};
    forward(at, image, contrast, looking::sampled, logits, kept);
    const auto [own_share, contrast_share] = shares(labels(0), pass.step_labels);
    const double total =
        loss.evaluate(backend, logits.rows(0, 1), labels, scale * own_share, losses.rows(0, 1), dlogits.rows(0, 1));
    double contrast_total = 1;
    const std::int64_t negative = 0;
    if (contrast)
      contrast_total = loss.evaluate(backend, logits.rows(1, 1), vector_view<const std::int64_t>(&negative, {1}),
                                     scale * contrast_share, losses.rows(1, 1), dlogits.rows(1, 1));
    const auto dtiles = backend.workspace.template allocate<T>(kept.tile_logits.shape()),
               dcells = backend.workspace.template allocate<T>(kept.cell_logits.shape());
    ops::fill(backend, dtiles, T(0));
    ops::fill(backend, dcells, T(0));
    const double entropy = regularise(backend, kept, options.entropy_at(pass.epoch), scale, dtiles, dcells);
    backward(at, image, kept, dlogits, dtiles, dcells);
    const auto values = to_host(backend, vector_view<const double, Space>(losses));
    if (backend.workspace.planning()) return 0;
    return own_share * values(0) / total + (contrast ? contrast_share * values(1) / contrast_total : 0) + entropy;
  }

  /// The logits [1, classes] alone, as `options.inference` says; what draws, draws from `random`.
  template <class Backend, class Weights, sampling::image_source Source, class Logits>
  void infer(Backend& backend, Weights weights, const Source& image, Logits logits, random_stream random = {}) const {
    using T = typename Source::value_type;
    if (options.inference == looking::exact) return infer_exact(backend, weights, image, logits);
    const std::int64_t repeats = options.repeats;
    expect_value(repeats >= 1, "milkit::models::zoom_in", "repeats is ", repeats, ", expected at least 1");
    const auto scope = backend.workspace.scope();
    const auto share = backend.workspace.template allocate<T>(shape<2>{1, 1});
    ops::fill(backend, share, static_cast<T>(1 / static_cast<double>(repeats)));
    for (std::int64_t r = 0; r < repeats; ++r) {
      const auto one = backend.workspace.scope();
      const auto own = backend.workspace.template allocate<T>(logits.shape());
      saved<T, Backend> kept;
      const context at{backend, weights, {}, milkit::pass{.random = random.child(static_cast<std::uint64_t>(r))}};
      forward(at, image, false, options.inference, own, kept);
      ops::matmul(backend, share, own, logits, {.accumulate = r > 0});
    }
  }

 private:
  using area_of_view = sampling::area<sampling::pixel_frame>;
  static area_of_view tile_view(const sampling::view_grid& grid) { return grid.tile_view; }
  static area_of_view cell_view(const sampling::view_grid& grid) { return {grid.cells.rows, grid.cells.columns}; }

  /// The factors of an image's loss and of its complement's. The official code takes the means over positives,
  /// negatives and complements of
  /// a step, L = p L_pos + (1 - p) ((1 - p) L_neg + p L_con), p the share of positives: for images that count alike
  /// 1 of a positive one, 1 - p of a negative one and of a complement (docs/papers/zoom_in.md 2.11).
  std::array<double, 2> shares(std::int64_t label, vector_view<const std::int64_t> step) const {
    if (!options.official_weights) return {1, 1};
    double positives = label != 0, all = 1;
    if (step.extent(0) > 0) positives = 0, all = static_cast<double>(step.extent(0));
    for (std::int64_t b = 0; b < step.extent(0); ++b) positives += step(b) != 0;
    const double p = positives / all;
    return {label != 0 ? 1 : 1 - p, 1 - p};
  }

  /// The entropy regulariser of the tiles' attention and of the cells' in the tiles drawn: its value, and `scale` times its gradient
  /// to those of the logits.
  template <class Backend, class Kept, class Matrix>
  double regularise(Backend& backend, const Kept& kept, double lambda, double scale, Matrix dtiles,
                    Matrix dcells) const {
    using T = typename Matrix::value_type;
    using Space = typename Backend::space;
    if (lambda == 0) return 0;
    const auto scope = backend.workspace.scope();
    const loss::entropy_regulariser by{lambda, options.official_entropy};
    const std::int64_t drawn = kept.attended.tiles.items.extent(0);
    const auto values = backend.workspace.template allocate<double>(1 + drawn);
    const auto add = [&](auto p, auto gradient, auto into) {
      const auto offsets = sampling::detail::offsets_of(backend, p.rows(), [&](std::int64_t) { return p.cols(); });
      const vector_view<const T, Space> flat(p.data(), {p.size()});
      by.evaluate(backend, to_backend(backend, offsets), flat, scale, into,
                  vector_view<T, Space>(gradient.data(), flat.shape()));
    };
    add(kept.tile_attention, dtiles, values.rows(0, 1));
    add(kept.cell_attention.rows(0, drawn), dcells.rows(0, drawn), values.rows(1, drawn));
    const auto host = to_host(backend, vector_view<const double, Space>(values));
    double sum = 0;
    for (std::int64_t i = 0; i < host.extent(0) && !backend.workspace.planning(); ++i) sum += host(i);
    return sum;
  }

  /// Phi in full: every sub-tile of every tile, chunk by chunk.
  template <class Backend, class Weights, class Source, class Logits>
  void infer_exact(Backend& backend, Weights weights, const Source& image, Logits logits) const {
    using T = typename Source::value_type;
    using Space = typename Backend::space;
    constexpr std::int64_t at_once = 256;
    const auto scope = backend.workspace.scope();
    const context at{backend, weights};
    saved<T, Backend> kept;
    attend_tiles(at, image, kept);
    const auto& grid = kept.grid;
    const auto embedding = backend.workspace.template allocate<T>(shape<2>{1, detail::width_of_input(classifier)});
    const auto of_tile = backend.workspace.template allocate<T>(embedding.shape());
    for (std::int64_t c = 0; c < grid.tiles().size(); ++c) {
      const auto tile_scope = backend.workspace.scope();
      const auto shown = sampling::detail::host_table<std::int64_t>(backend, 1, [&](std::int64_t) { return c; });
      kept.shown = shown;
      attend_cells(at, image, kept);
      for (std::int64_t i = 0; i < chunk_count(grid.cells.size(), at_once); ++i) {
        const auto chunk_scope = backend.workspace.scope();
        const row_range cells = chunk_at(grid.cells.size(), at_once, i);
        const auto subtiles = sampling::read_views(
            backend, image, cells.count,
            [&](std::int64_t k) { return grid.subtile_origin(grid.tiles().at(c), grid.cells.at(cells.first + k)); },
            grid.subtile, grid.subtile);
        const auto own = backend.workspace.template allocate<T>(features.output_shape(subtiles.shape()));
        nn::infer(features, at.template child<2>(*this), subtiles, own);
        ops::matmul(backend, kept.cell_attention.columns(cells.first, cells.count), own, of_tile,
                    {.accumulate = i > 0});
      }
      ops::matmul(backend, kept.tile_attention.columns(c, 1), of_tile, embedding, {.accumulate = c > 0});
    }
    nn::infer(classifier, at.template child<3>(*this), matrix_view<const T, Space>(embedding), logits);
  }

  /// The tile weights of the official code's inference, where the backend works.
  template <class Backend, class Matrix>
  static Matrix official_tile_weights(Backend& backend, Matrix attention) {
    using T = typename Matrix::value_type;
    using Space = typename Backend::space;
    const auto p = to_host(backend, vector_view<const T, Space>(attention.data(), {attention.cols()}));
    const auto host = backend.workspace.template allocate_on_host<T>(p.extent(0));
    if (!backend.workspace.planning()) sampling::official_inference_weights(p, host);
    const auto made = backend.workspace.template allocate<T>(attention.shape());
    ops::copy_rows(backend, to_backend(backend, vector_view<const T>(host)),
                   vector_view<T, Space>(made.data(), host.shape()));
    return made;
  }

  template <class T>
  bool keeps(std::int64_t count, area_of_view view) const {
    return count * view.size() * 3 * static_cast<std::int64_t>(sizeof(T)) <= options.kept_view_bytes;
  }

  /// body(rows) for views in chunks of about `view_bytes`.
  template <class Body>
  void each_chunk(std::int64_t count, area_of_view view, Body&& body) const {
    const std::int64_t bytes = view.size() * 3 * static_cast<std::int64_t>(sizeof(float));
    const std::int64_t size = (std::max)(options.view_bytes / bytes, std::int64_t{1});
    for (std::int64_t i = 0; i < chunk_count(count, size); ++i) body(chunk_at(count, size, i));
  }

  template <class Backend, class Source, class Kept>
  auto tile_views(Backend& backend, const Source& image, const Kept& kept, row_range rows) const {
    if (!kept.tile_views.absent()) return kept.tile_views.rows(rows.first, rows.count);
    const auto& grid = kept.grid;
    return sampling::read_views(
        backend, image, rows.count, [&](std::int64_t i) { return grid.tile_origin(grid.tiles().at(rows.first + i)); },
        grid.tile, grid.tile_view);
  }
  template <class Backend, class Source, class Kept>
  auto cell_views(Backend& backend, const Source& image, const Kept& kept, row_range rows) const {
    if (!kept.cell_views.absent()) return kept.cell_views.rows(rows.first, rows.count);
    const auto& grid = kept.grid;
    return sampling::read_views(
        backend, image, rows.count,
        [&](std::int64_t i) { return grid.tile_origin(grid.tiles().at(kept.shown(rows.first + i))); }, grid.tile,
        cell_view(grid));
  }

  /// Logits [count, w] of views, chunk by chunk, and nothing kept.
  void logits_in_chunks(const auto& layer, const auto& at, area_of_view view, auto&& views, auto logits) const {
    each_chunk(logits.rows(), view, [&](row_range rows) {
      const auto scope = at.backend.workspace.scope();
      nn::infer(layer, at.from_row(rows.first), views(rows), logits.rows(rows.first, rows.count));
    });
  }

  template <class Backend, class U, class Source, class T>
  void attend_tiles(const context<Backend, U>& at, const Source& image, saved<T, Backend>& kept) const {
    using Space = typename Backend::space;
    static_assert(std::is_same_v<T, U> && std::is_same_v<T, typename Source::value_type>,
                  "milkit::models::zoom_in: weights and views are of one number type");
    Backend& backend = at.backend;
    kept = {};
    kept.grid = options.views.grid(image.size());
    expect_value(options.draws >= 1, "milkit::models::zoom_in", "draws is ", options.draws, ", expected at least 1");
    expect_value(!one_stage || kept.grid.tiles().size() == 1, "milkit::models::zoom_in",
                 "the network has one stage, but the image has ", kept.grid.tiles().size(),
                 " tiles; set views.tile to {0, 0}");
    const std::int64_t tiles = kept.grid.tiles().size();
    kept.tile_logits = backend.workspace.template allocate<T>(shape<2>{1, tiles});
    kept.tile_attention = backend.workspace.template allocate<T>(shape<2>{1, tiles});
    if constexpr (one_stage) {
      ops::fill(backend, kept.tile_logits, T(0));
    } else {
      if (keeps<T>(tiles, tile_view(kept.grid))) kept.tile_views = tile_views(backend, image, kept, {0, tiles});
      logits_in_chunks(
          tile_attention, at.template child<0>(*this), tile_view(kept.grid),
          [&](row_range rows) { return tile_views(backend, image, kept, rows); },
          matrix_view<T, Space>(kept.tile_logits.data(), {tiles, 1}));
    }
    ops::softmax(backend, kept.tile_logits, kept.tile_attention, vector_view<T, Space>());
  }

  template <class Backend, class T, class Space>
  sampling::drawn<T, Space> draw_tiles(Backend& backend, const sampling::distributions<T, Space>& of,
                                       sampling::drawing how, random_stream random) const {
    const std::int64_t n = TileSampler::repeats ? options.draws : (std::min)(options.draws, of.p.cols());
    const auto draws = sampling::detail::host_table<std::int64_t>(backend, 1, [&](std::int64_t) { return n; });
    sampling::distributions<T, Space> counted = of;
    counted.most = n;
    if constexpr (one_stage)
      return sampling::detail::with_counts(backend, counted, [&](std::int64_t, std::int64_t) { return options.draws; });
    else return tile_sampler.draw(backend, counted, vector_view<const std::int64_t>(draws), how, random);
  }

  /// Every tile that some branch drew, once: those of the attention, then those of the complement alone.
  template <class T, class Backend>
  vector_view<const std::int64_t> shown_tiles(Backend& backend, const saved<T, Backend>& kept) const {
    const auto& attended = kept.attended.tiles.items;
    const auto& others = kept.contrast.tiles.items;
    const std::int64_t most = attended.extent(0) + (kept.contrasts ? others.extent(0) : 0);
    const auto shown = backend.workspace.template allocate_on_host<std::int64_t>(most);
    if (backend.workspace.planning()) return shown.rows(0, (std::min)(most, kept.grid.tiles().size()));
    const std::int64_t *begin = shown.data(), *end = std::copy_n(attended.data(), attended.extent(0), shown.data());
    std::int64_t count = end - begin;
    for (std::int64_t k = 0; kept.contrasts && k < others.extent(0); ++k)
      if (std::find(begin, end, others(k)) == end) shown(count++) = others(k);
    return shown.rows(0, count);
  }

  template <class Backend, class Source, class T>
  void attend_cells(const context<Backend, T>& at, const Source& image, saved<T, Backend>& kept) const {
    using Space = typename Backend::space;
    Backend& backend = at.backend;
    const shape<2> all{kept.shown.extent(0), kept.grid.cells.size()};
    kept.cell_logits = backend.workspace.template allocate<T>(all);
    kept.cell_attention = backend.workspace.template allocate<T>(all);
    kept.cell_views = {};
    if (keeps<T>(all[0], cell_view(kept.grid))) kept.cell_views = cell_views(backend, image, kept, {0, all[0]});
    logits_in_chunks(
        cell_attention, at.template child<1>(*this), cell_view(kept.grid),
        [&](row_range rows) { return cell_views(backend, image, kept, rows); }, kept.cell_logits);
    ops::softmax(backend, kept.cell_logits, kept.cell_attention, vector_view<T, Space>());
    if (!kept.contrasts) return;
    kept.cell_complement = backend.workspace.template allocate<T>(all);
    ops::complement(backend, kept.cell_attention, kept.cell_complement);
  }

  /// n_c cells of each tile that the branch drew; all of them where n_c is larger.
  template <class Backend, class T>
  void draw_cells(Backend& backend, const saved<T, Backend>& kept, branch<T, Backend>& own, sampling::drawing how,
                  random_stream random) const {
    const std::int64_t tiles = own.tiles.items.extent(0), cells = kept.grid.cells.size();
    own.of_cells.p = own.complement ? kept.cell_complement : kept.cell_attention;
    own.of_cells.most = (std::max)(options.draws, tiles);
    own.of_cells.rows = sampling::detail::host_table<std::int64_t>(backend, tiles, [&](std::int64_t s) {
      const std::int64_t *begin = kept.shown.data(), *end = begin + kept.shown.extent(0);
      return std::find(begin, end, own.tiles.items(s)) - begin;
    });
    own.of_cells.numbers =
        sampling::detail::host_table<std::int64_t>(backend, tiles, [&](std::int64_t s) { return own.tiles.items(s); });
    const auto draws = sampling::detail::host_table<std::int64_t>(
        backend, tiles, [&](std::int64_t s) { return (std::min)(own.tiles.counts(s), cells); });
    own.cells = cell_sampler.draw(backend, own.of_cells, vector_view<const std::int64_t>(draws), how, random);
    if (own.complement && options.official_contrast) {
      own.of_cells.p = kept.cell_attention;
      sampling::detail::weigh(backend, cell_sampler.rule(), own.of_cells, own.cells);
    }
  }

  template <class Backend, class Source, class T>
  void classify(const context<Backend, T>& at, const Source& image, saved<T, Backend>& kept, auto logits) const {
    using Space = typename Backend::space;
    Backend& backend = at.backend;
    using images = typename saved<T, Backend>::images;
    const auto& grid = kept.grid;
    const std::int64_t attended = kept.attended.cells.items.extent(0),
                       all = attended + (kept.contrasts ? kept.contrast.cells.items.extent(0) : 0);
    const auto origins = backend.workspace.template allocate_on_host<sampling::place<sampling::pixel_frame>>(all);
    const auto list = [&](branch<T, Backend>& own, std::int64_t first) {
      own.first = first;
      for (std::int64_t s = 0; s < own.tiles.items.extent(0) && !backend.workspace.planning(); ++s)
        for (std::int64_t k = own.cells.offsets(s); k < own.cells.offsets(s + 1); ++k)
          origins(first + k) =
              grid.subtile_origin(grid.tiles().at(own.tiles.items(s)), grid.cells.at(own.cells.items(k)));
    };
    list(kept.attended, 0);
    if (kept.contrasts) list(kept.contrast, attended);
    kept.subtiles = images(sampling::read_views(
        backend, image, all, [&](std::int64_t i) { return origins(i); }, grid.subtile, grid.subtile));
    kept.subtile_features = backend.workspace.template allocate<T>(features.output_shape(kept.subtiles.shape()));
    features.forward(at.template child<2>(*this), kept.subtiles, kept.subtile_features, kept.of_features);
    kept.embedding =
        backend.workspace.template allocate<T>(shape<2>{kept.contrasts ? 2 : 1, kept.subtile_features.cols()});
    const auto expect = [&](branch<T, Backend>& own, std::int64_t row) {
      own.features = kept.subtile_features.rows(own.first, own.cells.items.extent(0));
      own.of_tile = backend.workspace.template allocate<T>(shape<2>{own.tiles.items.extent(0), own.features.cols()});
      ops::expectation(backend, own.cells.list, own.cells.weights, own.features, own.of_tile);
      ops::expectation(backend, own.tiles.list, own.tiles.weights, own.of_tile, kept.embedding.rows(row, 1));
    };
    expect(kept.attended, 0);
    if (kept.contrasts) expect(kept.contrast, 1);
    classifier.forward(at.template child<3>(*this), matrix_view<const T, Space>(kept.embedding), logits,
                       kept.of_classifier);
  }

  template <class Backend, class T, class Dembedding, class Matrix>
  void branch_backward(Backend& backend, const saved<T, Backend>& kept, const branch<T, Backend>& own,
                       Dembedding dembedding, Matrix dfeatures, Matrix dtiles, Matrix dcells) const {
    using Space = typename Backend::space;
    const auto scope = backend.workspace.scope();
    const bool through_complement = own.complement && !options.official_contrast;
    const auto dof_tile = backend.workspace.template allocate<T>(own.of_tile.shape());
    const auto upstream = backend.workspace.template allocate<T>(own.of_tile.rows());
    ops::expectation_backward(backend, own.tiles.list, own.tiles.backward, own.of_tile, dembedding, upstream, dof_tile);
    if constexpr (!one_stage) {
      const auto d = sampling::log_gradient(backend, tile_sampler, own.of_tiles, own.tiles, upstream);
      if (through_complement)
        ops::complement_log_gradient(backend, kept.tile_attention, kept.tile_complement, own.tiles.list, d);
      ops::add_logit_gradient(backend, kept.tile_attention, own.tiles.list, d, dtiles);
    }
    const auto cell_upstream = backend.workspace.template allocate<T>(own.features.rows());
    ops::expectation_backward(backend, own.cells.list, own.cells.backward, own.features,
                              matrix_view<const T, Space>(dof_tile), cell_upstream,
                              dfeatures.rows(own.first, own.features.rows()));
    const auto d = sampling::log_gradient(backend, cell_sampler, own.of_cells, own.cells, cell_upstream);
    if (through_complement)
      ops::complement_log_gradient(backend, kept.cell_attention, kept.cell_complement, own.cells.list, d);
    ops::add_logit_gradient(backend, kept.cell_attention, own.cells.list, d, dcells);
  }
};

}  // namespace milkit::models
