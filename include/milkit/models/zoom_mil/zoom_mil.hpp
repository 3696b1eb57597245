#pragma once

#include <array>
#include <tuple>

#include <milkit/models/zoom_mil/source.hpp>
#include <milkit/models/zoom_mil/zoom_level.hpp>
#include <milkit/nn/parameters.hpp>
#include <milkit/topk/zoom_chain.hpp>

namespace milkit::models {

/// ZoomMIL of any number of magnifications, low to high, each of its own type; the last one zooms no further. In
/// training the rows at magnification m are soft: X_m = (T_{m-1} kron I) ... (T_1 kron I) H_m, mixtures of features
/// with the weights T_j of the selections below (docs/papers/zoommil.md 2.4, 2.6; topk/zoom_chain.hpp), and every T_j
/// gets the
/// gradient of all finer magnifications: with `topk::perturbed` an estimate of that of the loss at the means of the
/// T_j, with a bias of order 1 / samples. In inference the children of the K chosen instances are gathered before they are projected, and nothing
/// else is read. The logits are the classifier's of the aggregated embeddings. Takes one slide at a time, a `pyramid`
/// (in inference also a source that reads what is asked for); features are constants. Where parents have different
/// numbers of children (`pyramid::children` with offsets), rows that none of the chosen parents has are left out.
///
/// Parameters: `level1.encoder.*`, `level1.pooler.*`, ..., `classifier.*`. Memory beside the pyramid: what the
/// magnifications' bag_embeddings take, and the soft rows. Errors: value_error for an empty magnification, K < 1, and
/// where nothing that was chosen has a child; shape_error for features of another width.
template <aggregation How, class Classifier, class... Levels>
struct basic_zoom_mil {
  static constexpr std::size_t levels = sizeof...(Levels);
  static_assert(levels >= 1, "milkit::models::zoom_mil: at least one magnification");
  template <std::size_t Level>
  using level_type = std::tuple_element_t<Level, std::tuple<Levels...>>;
  static_assert(
      [] {
        constexpr bool zooms[] = {Levels::zooms...};
        for (std::size_t m = 0; m + 1 < levels; ++m)
          if (!zooms[m]) return false;
        return !zooms[levels - 1];
      }(),
      "milkit::models::zoom_mil: every magnification but the last has a top-K that chooses where to zoom, and the last "
      "has none");
  static_assert(How != aggregation::sum || ((Levels::out_features == level_type<0>::out_features) && ...),
                "milkit::models::zoom_mil: the magnifications' embeddings are summed, but have different numbers of "
                "features; aggregation::concatenation takes any");
  static_assert(detail::aggregated_features<How, Levels...>() < 0 || Classifier::in_features < 0 ||
                    detail::aggregated_features<How, Levels...>() == Classifier::in_features,
                "milkit::models::zoom_mil: the aggregated embeddings have another number of features than the "
                "classifier takes");

  std::tuple<Levels...> magnifications = {};
  Classifier classifier = {};

  /// The magnifications and, behind them, the classifier. Random numbers: stream 2 m is for looking at magnification m, 2 m +
  /// 1 for selecting there, 2 `levels` for the classifier.
  constexpr auto list(auto& l) const { return list_of(l, std::make_index_sequence<levels>()); }

  /// What one magnification leaves for the backward pass; all of it may be read.
  template <std::size_t Level, class T, class Backend>
  struct level_saved {
    using Space = typename Backend::space;
    using source = bag_view<T, 2, Space>;
    source rows;                                        ///< what was looked at, [R, d_m]; soft above the lowest
    ops::selection<T, Space> present = {};              ///< of all K r rows, those that exist; unused where all do
    std::array<matrix_view<T, Space>, Level> zoomed;    ///< after each selection below: the last is the K r rows
    matrix_view<T, Space> attention_logits, attention;  ///< [R, scores], [R, attentions]
    matrix_view<T, Space> embedding;                    ///< [1, d]
    std::int64_t offsets[2] = {};                       ///< the bag of these rows
    vector_view<T, Space> scores;                       ///< [R]: what the top-K selects by
    ops::selection<T, Space> selected = {};
    typename level_type<Level>::embedding_type::template saved<source, Backend> pooled;
  };

  template <class T, class Backend>
  struct saved {
    template <class>
    struct each;
    template <std::size_t... Level>
    struct each<std::index_sequence<Level...>> {
      using type = std::tuple<level_saved<Level, T, Backend>...>;
    };
    typename each<std::make_index_sequence<levels>>::type level;
    pyramid<T, levels, typename Backend::space> slide;
    std::array<topk::zoom_link<T, typename Backend::space>, levels - 1> links;  ///< the selections, one after the other
    matrix_view<T, typename Backend::space> embedding;                          ///< [1, d], aggregated
    saved_of<Classifier, matrix_view<const T, typename Backend::space>> classifier;
  };

  /// The shape of the logits, [1, classes].
  template <class Slide>
  shape<2> output_shape(const Slide&) const {
    return classifier.output_shape(shape<2>{1, detail::width_of_input(classifier)});
  }

  /// Writes logits [1, classes]. `at.pass.training` says whether dropout is on and the selections are drawn.
  template <class Backend, class U, class T, class Space>
  void forward(const context<Backend, U>& at, const pyramid<T, levels, Space>& slide, auto logits,
               saved<T, Backend>& kept) const {
    expect_type<T, U>();
    Backend& backend = at.backend;
    kept = {};
    kept.slide = resident(backend, slide);
    each_level([&](auto m) {
      constexpr std::size_t Level = m;
      auto& own = std::get<Level>(kept.level);
      own.rows = {matrix_view<const T, typename Backend::space>(kept.slide.features[Level])};
      if constexpr (Level > 0) zoom_into<Level>(backend, kept);
      look_at<Level>(at, own.rows, own, own.pooled);
      if constexpr (Level + 1 < levels) {
        select<Level>(at, own);
        kept.links[Level] = topk::zoom_link_of(backend, kept.slide.children[Level], own.selected, own.present);
      }
    });
    classify(at, kept, logits);
  }

  /// From dlogits [1, classes] (used up): adds to the gradient.
  template <class Backend, class T>
  void backward(const context<Backend, T>& at, const saved<T, Backend>& kept, auto dlogits) const {
    using Space = typename Backend::space;
    Backend& backend = at.backend;
    const auto scope = backend.workspace.scope();
    const auto dembedding = backend.workspace.template allocate<T>(kept.embedding.shape());
    classifier.backward(at_classifier(at), kept.classifier, dlogits, dembedding);
    std::array<vector_view<T, Space>, levels> dselected;  // of each selection's weights, from all finer magnifications
    each_level([&](auto m) {
      if constexpr (level_type<m>::differentiable) {
        dselected[m] = backend.workspace.template allocate<T>(std::get<m>(kept.level).selected.weights.extent(0));
        ops::fill(backend, dselected[m], T(0));
      }
    });
    each_level_downwards([&](auto m) {
      constexpr std::size_t Level = m;
      const auto level_scope = backend.workspace.scope();
      const auto& own = std::get<Level>(kept.level);
      matrix_view<T, Space> dattention, drows;
      if constexpr (level_type<Level>::differentiable) {
        dattention = backend.workspace.template allocate<T>(own.attention.shape());
        select_backward<Level>(at, own, dselected[Level], dattention);
      }
      if constexpr (zooms_back<Level>())
        drows = backend.workspace.template allocate_rows<T>(own.rows.instances.shape());
      std::get<Level>(magnifications)
          .embedding.backward(at_level<Level>(at), own.rows, own.pooled,
                              dembedding_of<Level>(backend, kept, dembedding), matrix_view<const T, Space>(dattention),
                              drows);
      if constexpr (zooms_back<Level>()) zoom_into_backward<Level>(backend, kept, drows, dselected);
    });
  }

  /// One training step's forward and backward pass on one slide: adds `scale` times the gradient of its loss, and
  /// returns that loss. `labels` [1] lies on the host.
  template <class Backend, class Weights, class T, class Space, class Loss, class Gradient>
  double train_bags(Backend& backend, Weights weights, const pyramid<T, levels, Space>& slide,
                    vector_view<const std::int64_t> labels, const Loss& loss, double scale, Gradient gradient,
                    const pass& pass) const {
    const auto scope = backend.workspace.scope();
    const auto losses = backend.workspace.template allocate<double>(1);
    const auto logits = backend.workspace.template allocate<T>(output_shape(slide));
    const auto dlogits = backend.workspace.template allocate<T>(logits.shape());
    saved<T, Backend> kept;
    const context at{backend, weights, gradient, pass};
    forward(at, slide, logits, kept);
    const double total = loss.evaluate(backend, logits, labels, scale, losses, dlogits);
    backward(at, kept, dlogits);
    const auto host = to_host(backend, vector_view<const double, typename Backend::space>(losses));
    return backend.workspace.planning() ? 0 : host(0) / total;
  }

  /// What inference saw at one magnification; views that hold until the call that gave them returns.
  template <class T, class Space>
  struct seen {
    std::size_t level;
    vector_view<const std::int64_t> rows;               ///< [R] on the host: which instances; absent: all of them
    matrix_view<T, Space> attention_logits, attention;  ///< [R, scores], [R, attentions]
    matrix_view<T, Space> embedding;                    ///< [1, d]
    vector_view<const std::int32_t, Space> selected;    ///< [min(K, R)]: of these R, where it zooms; absent at the last
  };

  /// The logits [1, classes] alone, without dropout and noise, of a `pyramid` or a source that reads what is looked at
  /// alone (models/zoom_mil/source.hpp). `on_level(seen)` is called at each magnification. `random` is what a top-K draws
  /// from that draws in inference too (`topk::random`): one stream a slide, or all slides draw the same.
  template <class Backend, class Weights, class Slide, class Logits, class OnLevel>
  requires(!std::is_same_v<std::remove_cvref_t<OnLevel>, random_stream>) void infer(Backend& backend, Weights weights,
                                                                                    const Slide& slide, Logits logits,
                                                                                    OnLevel&& on_level,
                                                                                    random_stream random = {}) const {
    using T = typename Slide::value_type;
    using Space = typename Backend::space;
    expect_type<T, typename Weights::value_type>();
    const auto scope = backend.workspace.scope();
    decltype(auto) source = source_of(slide);
    const context at{backend, weights, {}, pass{.random = random}};
    saved<T, Backend> kept;
    vector_view<const std::int64_t> rows;
    each_level([&](auto m) {
      constexpr std::size_t Level = m;
      auto& own = std::get<Level>(kept.level);
      if constexpr (Level == 0) {
        const auto instances = source.instances();
        typename level_type<0>::embedding_type::template saved<std::remove_const_t<decltype(instances)>, Backend>
            pooled;
        look_at<Level>(at, instances, own, pooled);
      } else {
        const auto& below = std::get<Level - 1>(kept.level).selected;
        rows = detail::chosen_children(backend, Level, source.children(Level - 1), below, rows);
        own.rows = {matrix_view<const T, Space>(source.gather(backend, Level, rows))};
        look_at<Level>(at, own.rows, own, own.pooled);
      }
      if constexpr (Level + 1 < levels) select<Level>(at, own);
      on_level(seen<T, Space>{Level, rows, own.attention_logits, own.attention, own.embedding,
                              vector_view<const std::int32_t, Space>(own.selected.columns)});
    });
    classify(at, kept, logits);
  }
  template <class Backend, class Weights, class Slide, class Logits>
  void infer(Backend& backend, Weights weights, const Slide& slide, Logits logits, random_stream random = {}) const {
    infer(
        backend, weights, slide, logits, [](const auto&) {}, random);
  }

 private:
  /// body(0), body(1), ..., each number a constant.
  template <std::size_t Count, class Body>
  static constexpr void each(Body&& body) {
    [&]<std::size_t... Index>(std::index_sequence<Index...>) {
      (body(std::integral_constant<std::size_t, Index>()), ...);
    }
    (std::make_index_sequence<Count>());
  }
  template <class Body>
  static constexpr void each_level(Body&& body) {
    each<levels>(body);
  }
  template <class Body>
  static constexpr void each_level_downwards(Body&& body) {
    each_level([&](auto m) { body(std::integral_constant<std::size_t, levels - 1 - m>()); });
  }

  template <std::size_t... Level>
  constexpr auto list_of(auto& l, std::index_sequence<Level...>) const {
    return std::array{l.child(detail::level_name<Level>::text, std::get<Level>(magnifications))...,
                      l.child("classifier", classifier)};
  }
  /// Where a magnification works, and where the classifier does.
  template <std::size_t Level>
  auto at_level(const auto& at) const {
    return at.template child<int{Level}>(*this, 2 * Level);
  }
  auto at_classifier(const auto& at) const { return at.template child<int{levels}>(*this, 2 * levels); }

  template <class T, class U>
  static constexpr void expect_type() {
    static_assert(std::is_same_v<T, U>,
                  "milkit::models::zoom_mil: the weights are of another number type than the features");
  }

  /// Whether a selection below magnification `Level` wants the gradient of its rows.
  template <std::size_t Level>
  static constexpr bool zooms_back() {
    if constexpr (Level == 0) return false;
    else return level_type<Level - 1>::differentiable || zooms_back<Level - 1>();
  }

  /// Pools the rows of a magnification.
  template <std::size_t Level, class Source>
  void look_at(const auto& at, const Source& source, auto& own, auto& pooled) const {
    using T = typename Source::value_type;
    using level = level_type<Level>;
    const auto& embedding = std::get<Level>(magnifications).embedding;
    const std::int64_t rows = source.shape()[0];
    own.offsets[1] = rows;
    auto& memory = at.backend.workspace;
    own.embedding = memory.template allocate<T>(shape<2>{1, embedding.encoder.output_shape(source.shape())[1]});
    own.attention_logits = memory.template allocate<T>(shape<2>{rows, level::pooler_type::scores});
    own.attention = memory.template allocate<T>(shape<2>{rows, level::pooler_type::attentions});
    embedding.forward(at_level<Level>(at), source, vector_view<const std::int64_t>(own.offsets, {2}), own.embedding,
                      own.attention_logits, own.attention, pooled);
  }

  /// Chooses where to zoom by the last column of the attention.
  template <std::size_t Level, class Own>
  void select(const auto& at, Own& own) const {
    using T = typename decltype(own.scores)::value_type;
    const std::int64_t rows = own.attention.rows(), column = own.attention.cols() - 1;
    own.scores = at.backend.workspace.template allocate<T>(rows);
    ops::copy_rows(at.backend, own.attention.columns(column, 1), column_of(own.scores));
    own.selected = std::get<Level>(magnifications).zoom.select(at.backend, own.scores, at.stream(2 * Level + 1).pass);
  }
  template <std::size_t Level, class Dattention>
  void select_backward(const auto& at, const auto& own, auto dweights, Dattention dattention) const {
    using T = typename Dattention::value_type;
    auto& backend = at.backend;
    const auto scope = backend.workspace.scope();
    const auto dscores = backend.workspace.template allocate<T>(own.scores.extent(0));
    std::get<Level>(magnifications)
        .zoom.select_backward(backend, own.scores, own.selected, dweights, dscores, at.stream(2 * Level + 1).pass);
    ops::fill(backend, dattention, T(0));
    ops::copy_rows(backend, column_of(dscores), dattention.columns(dattention.cols() - 1, 1));
  }
  template <class T, class Space>
  static matrix_view<T, Space> column_of(vector_view<T, Space> values) {
    return {values.data(), {values.extent(0), 1}};
  }

  /// The soft rows of magnification `Level`, without those that no chosen parent has.
  template <std::size_t Level, class Backend, class Kept>
  static void zoom_into(Backend& backend, Kept& kept) {
    auto& own = std::get<Level>(kept.level);
    using T = typename decltype(own.embedding)::value_type;
    using Space = typename Backend::space;
    own.zoomed = topk::zoom_chain<Level>(backend, kept.links, own.rows.instances);
    const matrix_view<const T, Space> all = own.zoomed[Level - 1];
    own.rows = {all};
    if (topk::all_present<Level>(kept.links)) return;
    own.present = topk::present_rows<Level>(backend, kept.links, kept.slide.features[Level].rows());
    expect_value(!own.present.offsets.absent(), "milkit::models::zoom_mil",
                 "none of the instances chosen at magnification ", Level, " has children at magnification ", Level + 1,
                 ", expected at least one");
    const auto rows = backend.workspace.template allocate_rows<T>(shape<2>{own.present.rows(), all.cols()});
    ops::zoom(backend, own.present, ops::children<Space>{1}, all, rows);
    own.rows = {matrix_view<const T, Space>(rows)};
  }

  /// The gradient of the soft rows of magnification `Level`, to the weights of every selection below it.
  template <std::size_t Level, class Backend, class Kept, class Drows, class Dselected>
  static void zoom_into_backward(Backend& backend, const Kept& kept, Drows drows, const Dselected& dselected) {
    using T = typename Drows::value_type;
    using Space = typename Backend::space;
    const auto& own = std::get<Level>(kept.level);
    matrix_view<T, Space> upstream = drows;
    if (own.present.instances > 0) {
      const auto all = own.zoomed[Level - 1];
      upstream = backend.workspace.template allocate_rows<T>(all.shape());
      ops::zoom_backward(backend, own.present, ops::children<Space>{1}, matrix_view<const T, Space>(all), drows,
                         vector_view<T, Space>(), upstream);
    }
    topk::zoom_chain_backward<Level>(backend, kept.links, kept.slide.features[Level], own.zoomed, upstream, dselected,
                                     matrix_view<T, Space>());
  }

  /// What the aggregated embedding's gradient gives to magnification `Level`.
  template <std::size_t Level, class Backend, class Kept, class T, class Space>
  static matrix_view<const T, Space> dembedding_of(Backend& backend, const Kept& kept,
                                                   matrix_view<T, Space> dembedding) {
    const auto own = std::get<Level>(kept.level).embedding.shape();
    if constexpr (How == aggregation::concatenation) {
      std::int64_t first = 0;
      each_level([&](auto m) { first += m < Level ? std::get<m>(kept.level).embedding.cols() : 0; });
      return dembedding.columns(first, own[1]);
    } else if constexpr (How == aggregation::last && Level + 1 < levels) {
      const auto none = backend.workspace.template allocate<T>(own);
      ops::fill(backend, none, T(0));
      return none;
    } else {
      return dembedding;
    }
  }

  void classify(const auto& at, auto& kept, auto logits) const {
    using T = typename decltype(kept.embedding)::value_type;
    using Space = typename decltype(kept.embedding)::space;
    auto& backend = at.backend;
    std::int64_t width = 0, first = 0;
    each_level([&](auto m) {
      const std::int64_t own = std::get<m>(kept.level).embedding.cols();
      width = How == aggregation::concatenation ? width + own : own;
    });
    kept.embedding = backend.workspace.template allocate<T>(shape<2>{1, width});
    each_level([&](auto m) {
      const auto& embedding = std::get<m>(kept.level).embedding;
      if constexpr (How == aggregation::concatenation) {
        ops::copy_rows(backend, embedding, kept.embedding.columns(first, embedding.cols()));
        first += embedding.cols();
      } else if constexpr (How == aggregation::sum || m + 1 == levels) {
        ops::copy_rows(backend, embedding, kept.embedding, How == aggregation::sum && m > 0);
      }
    });
    classifier.forward(at_classifier(at), matrix_view<const T, Space>(kept.embedding), logits, kept.classifier);
  }
};

/// ZoomMIL (Thandiackal et al. 2022; docs/papers/zoommil.md): looks at a slide at the lowest magnification, chooses by
/// a
/// differentiable top-K where to zoom, and sees of each next magnification only what was chosen. The embeddings are
/// summed. With the paper's numbers:
///
///     using projection = nn::sequential<nn::linear<1024, 512>, nn::relu, nn::dropout>;
///     using low = zoom_level<projection, pooling::dual_gated_attention<512, 256>, topk::perturbed>;
///     using high = zoom_level<projection, pooling::gated_attention<512, 256>>;
///     using network = zoom_mil<nn::linear<512, 3>, low, low, high>;
template <class Classifier, class... Levels>
using zoom_mil = basic_zoom_mil<aggregation::sum, Classifier, Levels...>;

}  // namespace milkit::models
