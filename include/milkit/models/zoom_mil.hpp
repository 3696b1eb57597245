#pragma once

#include <array>
#include <tuple>
#include <vector>

#include <milkit/nn/memory_plan.hpp>
#include <milkit/nn/parameters.hpp>
#include <milkit/ops/fill.hpp>
#include <milkit/ops/softmax.hpp>
#include <milkit/pooling/bag_embedding.hpp>
#include <milkit/topk/pyramid.hpp>
#include <milkit/topk/topk.hpp>

namespace milkit::models {

/// Stands for the top-K of the highest magnification, from which nothing zooms further.
struct no_zoom {
  static constexpr bool differentiable = false;
};

/// One magnification of ZoomMIL: projection (instance by instance), pooler, and the top-K that chooses the instances
/// whose children the next magnification looks at. The top-K selects by the last column of the pooler's attention: with
/// `pooling::dual_gated_attention` by a distribution of its own (the paper's DGA), with `pooling::gated_attention` by
/// the one that pools (its ablation).
template <class Projection, pooler Pooler, class Zoom = no_zoom>
struct magnification {
  static_assert(std::is_same_v<Zoom, no_zoom> || topk::top_k<Zoom>,
                "milkit::models::magnification: the third argument is a top-K operator (topk/), or none");
  using embedding_type = pooling::bag_embedding<Projection, Pooler>;
  using pooler_type = Pooler;
  static constexpr bool zooms = !std::is_same_v<Zoom, no_zoom>;
  static constexpr bool differentiable = Zoom::differentiable;
  static constexpr std::int64_t out_features = embedding_type::out_features;

  embedding_type embedding = {};
  [[no_unique_address]] Zoom zoom = {};

  template <class Visitor>
  constexpr void describe(Visitor& v) const {
    embedding.describe(v);
  }
};

/// What the classifier takes of the magnifications' embeddings: their sum (the paper), that of the highest alone, or
/// all side by side (its ablations).
enum class aggregation { sum, last, concatenation };

namespace detail {

template <aggregation How, class... Levels>
constexpr std::int64_t aggregated_features() {
  constexpr std::int64_t each[] = {Levels::out_features...};
  std::int64_t total = 0;
  for (const std::int64_t width : each) {
    if (width < 0) return dynamic_extent;
    total += width;
  }
  return How == aggregation::concatenation ? total : each[sizeof...(Levels) - 1];
}

/// The number of features that a layer takes, also where it is known at run time.
template <class Layer>
std::int64_t width_of_input(const Layer& layer) {
  if constexpr (Layer::in_features >= 0) return Layer::in_features;
  else if constexpr (requires { layer.in; }) return layer.in;
  else return width_of_input(std::get<0>(layer.layers));
}

/// "level1", "level2", ...: the names of the magnifications' parameters.
template <std::size_t Level>
struct level_name {
  static_assert(Level < 9, "milkit::models::zoom_mil: at most nine magnifications");
  static constexpr char text[] = {'l', 'e', 'v', 'e', 'l', static_cast<char>('1' + Level), '\0'};
};

}  // namespace detail

/// ZoomMIL (Thandiackal et al. 2022; zoommil.md): looks at a slide at the lowest magnification, chooses by a
/// differentiable top-K where to zoom, and sees of each next magnification only what was chosen. Any number of
/// magnifications, low to high, each of its own type; the last one zooms no further. With the paper's numbers:
///
///     using projection = nn::sequential<nn::linear<1024, 512>, nn::relu, nn::dropout>;
///     using low = magnification<projection, pooling::dual_gated_attention<512, 256>, topk::perturbed>;
///     using high = magnification<projection, pooling::gated_attention<512, 256>>;
///     using network = zoom_mil<nn::linear<512, 3>, low, low, high>;
///
/// In training, the rows at magnification m are soft: X_m = (T_{m-1} kron I) ... (T_1 kron I) H_m, mixtures of features
/// with the weights T_j of the selections below (2.4, 2.6), of which only the rows that a later selection uses are
/// computed; every T_j gets the gradient of all finer magnifications. In inference the children of the K chosen
/// instances are gathered before they are projected, and nothing else is read. The logits are the classifier's of the
/// aggregated embeddings. Takes one slide at a time, a `pyramid` (or in inference a source that reads what is asked
/// for, see `infer`); features are constants. Where parents have different numbers of children (`pyramid::children`
/// with offsets), rows that none of the chosen parents has are left out.
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

  template <class Visitor>
  constexpr void describe(Visitor& v) const {
    each_level([&](auto m) { v.child(detail::level_name<m>::text, std::get<m>(magnifications)); });
    v.child("classifier", classifier);
  }

  /// What one magnification leaves for the backward pass; all of it may be read.
  template <std::size_t Level, class T, class Backend>
  struct level_saved {
    using Space = typename Backend::space;
    using source = bag_view<T, 2, Space>;
    source rows;                                        ///< what was looked at, [R, d_m]; soft above the lowest
    ops::selection<T, Space> present = {};              ///< of all K r rows, those that exist; unused where all do
    std::array<matrix_view<T, Space>, levels> zoomed;   ///< after each selection below: the last is the K r rows
    matrix_view<T, Space> attention_logits, attention;  ///< [R, scores], [R, attentions]
    matrix_view<T, Space> embedding;                    ///< [1, d]
    std::int64_t offsets[2] = {};                       ///< the bag of these rows
    vector_view<T, Space> scores;                       ///< [R]: what the top-K selects by
    ops::selection<T, Space> selected = {};
    vector_view<std::uint8_t, Space> used;  ///< [R]: whether any row of `selected` holds it
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
    matrix_view<T, typename Backend::space> embedding;  ///< [1, d], aggregated
    typename Classifier::template saved<matrix_view<const T, typename Backend::space>> classifier;
  };

  /// The shape of the logits, [1, classes].
  template <class Slide>
  shape<2> output_shape(const Slide&) const {
    return classifier.output_shape(shape<2>{1, detail::width_of_input(classifier)});
  }

  /// Writes logits [1, classes]. `pass.training` says whether dropout is on and the selections are drawn.
  template <class Backend, class Weights, class T, class Space, class Logits>
  void forward(Backend& backend, Weights weights, const pyramid<T, levels, Space>& slide, Logits logits,
               saved<T, Backend>& kept, const pass& pass) const {
    expect_type<T, Weights>();
    kept = {};
    kept.slide = resident(backend, slide);
    parameter_cursor cursor(weights);
    each_level([&](auto m) {
      constexpr std::size_t Level = m;
      auto& own = std::get<Level>(kept.level);
      own.rows = {matrix_view<const T, typename Backend::space>(kept.slide.features[Level])};
      if constexpr (Level > 0) zoom_into<Level>(backend, kept);
      look<Level>(backend, cursor.child(std::get<Level>(magnifications)), own, pass.child(2 * Level));
      if constexpr (Level + 1 < levels) select<Level>(backend, own, pass.child(2 * Level + 1));
    });
    classify(backend, cursor.child(classifier), kept, logits, pass.child(2 * levels));
  }

  /// From dlogits [1, classes] (used up): adds to `gradient`.
  template <class Backend, class Weights, class T, class Dlogits, class Gradient>
  void backward(Backend& backend, Weights weights, const saved<T, Backend>& kept, Dlogits dlogits, Gradient gradient,
                const pass& pass) const {
    using Space = typename Backend::space;
    const auto scope = backend.workspace.scope();
    const auto stretches = stretches_of(weights);
    const auto gradients = stretches_of(gradient);
    const auto dembedding = backend.workspace.template allocate<T>(kept.embedding.shape());
    classifier.backward(backend, stretches[levels], kept.classifier, dlogits, dembedding, gradients[levels],
                        pass.child(2 * levels));
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
        select_backward<Level>(backend, own, dselected[Level], dattention, pass.child(2 * Level + 1));
      }
      if constexpr (zooms_back<Level>())
        drows = backend.workspace.template allocate_rows<T>(own.rows.instances.shape());
      std::get<Level>(magnifications)
          .embedding.backward(backend, stretches[Level], own.rows, own.pooled,
                              dembedding_of<Level>(backend, kept, dembedding), matrix_view<const T, Space>(dattention),
                              drows, gradients[Level], pass.child(2 * Level));
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
    forward(backend, weights, slide, logits, kept, pass);
    const double total = loss.evaluate(backend, logits, labels, scale, losses, dlogits);
    backward(backend, weights, kept, dlogits, gradient, pass);
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

  /// The logits [1, classes] alone, without dropout and noise. `slide` is a `pyramid`, or a source that need not hold
  /// all features: with the members `value_type`,
  ///
  ///     auto instances() const;               // an instance_source of the lowest magnification
  ///     ops::children<> children(m) const;    // of magnification m (from 0) in m + 1, on the host
  ///     auto gather(backend, m, rows) const;  // features of these instances of magnification m, [n, d], where the
  ///                                           // backend works; rows: int64 on the host
  ///
  /// It is asked for all N_1 instances of the lowest magnification, then only for the children of those chosen.
  /// `on_level(seen)` is called at each magnification. A top-K that draws in inference too (`topk::random`) draws the same
  /// numbers for every slide.
  template <class Backend, class Weights, class Slide, class Logits, class OnLevel>
  void infer(Backend& backend, Weights weights, const Slide& slide, Logits logits, OnLevel&& on_level) const {
    using T = typename Slide::value_type;
    using Space = typename Backend::space;
    expect_type<T, Weights>();
    const auto scope = backend.workspace.scope();
    parameter_cursor cursor(weights);
    decltype(auto) source = source_of(backend, slide);
    saved<T, Backend> kept;
    vector_view<const std::int64_t> rows;
    each_level([&](auto m) {
      constexpr std::size_t Level = m;
      auto& own = std::get<Level>(kept.level);
      const auto stretch = cursor.child(std::get<Level>(magnifications));
      if constexpr (Level == 0) {
        const auto instances = source.instances();
        typename level_type<0>::embedding_type::template saved<std::remove_const_t<decltype(instances)>, Backend>
            pooled;
        look_at<Level>(backend, stretch, instances, own, pooled, {});
      } else {
        rows = children_of<Level>(backend, source.children(Level - 1), std::get<Level - 1>(kept.level).selected, rows);
        own.rows = {matrix_view<const T, Space>(source.gather(backend, Level, rows))};
        look<Level>(backend, stretch, own, {});
      }
      if constexpr (Level + 1 < levels) select<Level>(backend, own, {});
      on_level(seen<T, Space>{Level, rows, own.attention_logits, own.attention, own.embedding,
                              vector_view<const std::int32_t, Space>(own.selected.columns)});
    });
    classify(backend, cursor.child(classifier), kept, logits, {});
  }
  template <class Backend, class Weights, class Slide, class Logits>
  void infer(Backend& backend, Weights weights, const Slide& slide, Logits logits) const {
    infer(backend, weights, slide, logits, [](const auto&) {});
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

  template <class T, class Weights>
  static constexpr void expect_type() {
    static_assert(std::is_same_v<T, typename Weights::value_type>,
                  "milkit::models::zoom_mil: the weights are of another number type than the features");
  }

  /// Whether a selection below magnification `Level` wants the gradient of its rows.
  template <std::size_t Level>
  static constexpr bool zooms_back() {
    if constexpr (Level == 0) return false;
    else return level_type<Level - 1>::differentiable || zooms_back<Level - 1>();
  }

  /// The flat parameters of each magnification, then of the classifier.
  template <class Flat>
  std::array<Flat, levels + 1> stretches_of(Flat flat) const {
    parameter_cursor cursor(flat);
    std::array<Flat, levels + 1> stretches;
    each_level([&](auto m) { stretches[m] = cursor.child(std::get<m>(magnifications)); });
    stretches[levels] = cursor.child(classifier);
    return stretches;
  }

  /// Pools the rows of a magnification.
  template <std::size_t Level, class Backend, class Weights, class Source, class Own, class Pooled>
  void look_at(Backend& backend, Weights weights, const Source& source, Own& own, Pooled& pooled,
               const pass& pass) const {
    using T = typename Source::value_type;
    using level = level_type<Level>;
    const auto& embedding = std::get<Level>(magnifications).embedding;
    const std::int64_t rows = source.shape()[0];
    own.offsets[1] = rows;
    auto& memory = backend.workspace;
    own.embedding = memory.template allocate<T>(shape<2>{1, embedding.encoder.output_shape(source.shape())[1]});
    own.attention_logits = memory.template allocate<T>(shape<2>{rows, level::pooler_type::scores});
    own.attention = memory.template allocate<T>(shape<2>{rows, level::pooler_type::attentions});
    embedding.forward(backend, weights, source, vector_view<const std::int64_t>(own.offsets, {2}), own.embedding,
                      own.attention_logits, own.attention, pooled, pass);
  }
  template <std::size_t Level, class Backend, class Weights, class Own>
  void look(Backend& backend, Weights weights, Own& own, const pass& pass) const {
    look_at<Level>(backend, weights, own.rows, own, own.pooled, pass);
  }

  /// Chooses where to zoom by the last column of the attention.
  template <std::size_t Level, class Backend, class Own>
  void select(Backend& backend, Own& own, const pass& pass) const {
    using T = typename decltype(own.scores)::value_type;
    const std::int64_t rows = own.attention.rows(), column = own.attention.cols() - 1;
    own.scores = backend.workspace.template allocate<T>(rows);
    ops::copy_rows(backend, own.attention.columns(column, 1), column_of(own.scores));
    own.selected = std::get<Level>(magnifications).zoom.select(backend, own.scores, pass);
  }
  template <std::size_t Level, class Backend, class Own, class Dweights, class Dattention>
  void select_backward(Backend& backend, const Own& own, Dweights dweights, Dattention dattention,
                       const pass& pass) const {
    using T = typename Dattention::value_type;
    const auto scope = backend.workspace.scope();
    const auto dscores = backend.workspace.template allocate<T>(own.scores.extent(0));
    std::get<Level>(magnifications).zoom.select_backward(backend, own.scores, own.selected, dweights, dscores, pass);
    ops::fill(backend, dattention, T(0));
    ops::copy_rows(backend, column_of(dscores), dattention.columns(dattention.cols() - 1, 1));
  }
  template <class T, class Space>
  static matrix_view<T, Space> column_of(vector_view<T, Space> values) {
    return {values.data(), {values.extent(0), 1}};
  }

  /// Rows of magnification `to` that belong to one instance of magnification `from`.
  template <class Slide>
  static std::int64_t block(const Slide& slide, std::size_t from, std::size_t to) {
    std::int64_t rows = 1;
    for (std::size_t m = from; m < to; ++m) rows *= slide.children[m].width;
    return rows;
  }
  template <class Slide>
  static bool dense(const Slide& slide, std::size_t to) {
    for (std::size_t m = 0; m < to; ++m)
      if (!slide.children[m].offsets.absent() || !slide.children[m].rows.absent()) return false;
    return true;
  }
  template <std::size_t Level, class Slide>
  static auto descendants(const Slide& slide) {
    if constexpr (Level == 1) return slide.children[0];
    else return ops::grandchildren(descendants<Level - 1>(slide), slide.children[Level - 1]);
  }

  /// Calls body(index) with the rows of magnification `Level` that belong to an instance of what selection `Below` chooses from:
  /// of the slide at the lowest magnification, of the zoomed rows above it.
  template <std::size_t Level, std::size_t Below, class Backend, class Kept, class Body>
  static void with_index(Backend& backend, const Kept& kept, Body&& body) {
    using Space = typename Backend::space;
    const std::int64_t rows = block(kept.slide, Below, Level);
    if constexpr (Below == 0) {
      if (Level > 1 && !dense(kept.slide, Level)) return body(descendants<Level>(kept.slide));
      return body(Level == 1 ? kept.slide.children[0] : ops::children<Space>{rows});
    } else {
      const auto& present = std::get<Below>(kept.level).present;
      if (present.instances == 0) return body(ops::children<Space>{rows});
      const auto scope = backend.workspace.scope();
      const std::int64_t count = present.rows();
      const auto table = backend.workspace.template allocate_on_host<std::int64_t>(count * rows);
      const auto which = to_host(backend, vector_view<const std::int32_t, Space>(present.columns));
      for (std::int64_t i = 0; i < count * rows && !backend.workspace.planning(); ++i)
        table(i) = which(i / rows) * rows + i % rows;
      body(ops::children<Space>{rows, {}, to_backend(backend, vector_view<const std::int64_t>(table))});
    }
  }

  /// Which rows are worth computing after selection `Below`: those that the next selection uses. Without a full set of children
  /// all of them: the rows that it chooses from are then not all there are.
  template <std::size_t Level, std::size_t Below, class Kept>
  static auto wanted(const Kept& kept) {
    ops::wanted_rows<typename decltype(kept.embedding)::space> rows;
    if constexpr (Below + 1 < Level) {
      const auto& next = std::get<Below + 1>(kept.level);
      if (next.present.instances == 0) rows = {next.used, block(kept.slide, Below + 1, Level)};
    }
    return rows;
  }

  /// h through the selections below magnification `Level`, one after the other: `zoomed[j]` is what selection j gives.
  template <std::size_t Level, class Backend, class Kept, class Instances, class Zoomed>
  static void apply(Backend& backend, const Kept& kept, Instances h, Zoomed& zoomed) {
    using T = typename Instances::value_type;
    each<Level>([&](auto j) {
      constexpr std::size_t Below = j;
      const auto& selected = std::get<Below>(kept.level).selected;
      zoomed[Below] = backend.workspace.template allocate_rows<T>(
          shape<2>{selected.rows() * block(kept.slide, Below, Level), h.cols()});
      const auto rows = wanted<Level, Below>(kept);
      with_index<Level, Below>(backend, kept, [&](const auto& index) {
        ops::zoom(backend, selected, index, before<Below>(h, zoomed), zoomed[Below], rows);
      });
    });
  }
  /// What selection `Below` is applied to: h, or what the selection below gave.
  template <std::size_t Below, class T, class Space, class Zoomed>
  static matrix_view<const T, Space> before(matrix_view<const T, Space> h, const Zoomed& zoomed) {
    if constexpr (Below == 0) return h;
    else return zoomed[Below - 1];
  }

  /// The soft rows of magnification `Level`.
  template <std::size_t Level, class Backend, class Kept>
  static void zoom_into(Backend& backend, Kept& kept) {
    auto& own = std::get<Level>(kept.level);
    auto& below = std::get<Level - 1>(kept.level);
    using T = typename decltype(own.embedding)::value_type;
    using Space = typename Backend::space;
    below.used = backend.workspace.template allocate<std::uint8_t>(below.selected.instances);
    ops::mark_columns(backend, below.selected, below.used);
    apply<Level>(backend, kept, own.rows.instances, own.zoomed);
    const auto all = matrix_view<const T, Space>(own.zoomed[Level - 1]);
    own.rows = {all};
    if (!dense_offsets(kept.slide, Level)) keep_present<Level>(backend, kept, all);
  }
  template <class Slide>
  static bool dense_offsets(const Slide& slide, std::size_t to) {
    for (std::size_t m = 0; m < to; ++m)
      if (!slide.children[m].offsets.absent()) return false;
    return true;
  }

  /// Leaves out the rows that no chosen parent has: where a column of ones arrives as 0.
  template <std::size_t Level, class Backend, class Kept, class Rows>
  static void keep_present(Backend& backend, Kept& kept, Rows all) {
    auto& own = std::get<Level>(kept.level);
    using T = typename Rows::value_type;
    using Space = typename Backend::space;
    const auto chosen = backend.workspace.template allocate_on_host<std::int32_t>(all.rows());
    std::int64_t count = 0;
    {
      const auto scope = backend.workspace.scope();
      const auto ones = backend.workspace.template allocate<T>(shape<2>{kept.slide.features[Level].rows(), 1});
      ops::fill(backend, ones, T(1));
      std::array<matrix_view<T, Space>, levels> arrived;
      apply<Level>(backend, kept, matrix_view<const T, Space>(ones), arrived);
      const auto packed = backend.workspace.template allocate<T>(all.rows());
      ops::copy_rows(backend, arrived[Level - 1], column_of(packed));
      const auto mass = to_host(backend, vector_view<const T, Space>(packed));
      for (std::int64_t q = 0; q < all.rows(); ++q)
        if (backend.workspace.planning()) ++count;
        else if (mass(q) > T(0)) chosen(count++) = static_cast<std::int32_t>(q);
    }
    expect_value(count > 0, "milkit::models::zoom_mil", "none of the instances chosen at magnification ", Level,
                 " has children at magnification ", Level + 1, ", expected at least one");
    auto& present = own.present;
    present.instances = all.rows();
    present.single = true;
    present.offsets = backend.workspace.template allocate<std::int64_t>(count + 1);
    present.columns = backend.workspace.template allocate<std::int32_t>(count);
    present.weights = backend.workspace.template allocate<T>(count);
    const auto listed = to_backend(backend, vector_view<const std::int32_t>(chosen.data(), {count}));
    ops::copy_rows(backend, listed, present.columns);
    ops::select_each(backend, false, present.offsets, present.columns, present.weights);
    const auto rows = backend.workspace.template allocate_rows<T>(shape<2>{count, all.cols()});
    ops::zoom(backend, present, ops::children<Space>{1}, all, rows);
    own.rows = {matrix_view<const T, Space>(rows)};
  }

  /// The gradient of the soft rows of magnification `Level`, to the weights of every selection below it.
  template <std::size_t Level, class Backend, class Kept, class Drows, class Dselected>
  static void zoom_into_backward(Backend& backend, const Kept& kept, Drows drows, Dselected& dselected) {
    using T = typename Drows::value_type;
    using Space = typename Backend::space;
    const auto& own = std::get<Level>(kept.level);
    matrix_view<T, Space> upstream = drows;
    if (own.present.instances > 0) {
      upstream = backend.workspace.template allocate_rows<T>(own.zoomed[Level - 1].shape());
      ops::zoom_backward(backend, own.present, ops::children<Space>{1},
                         matrix_view<const T, Space>(own.zoomed[Level - 1]), drows, vector_view<T, Space>(), upstream);
    }
    each<Level>([&](auto i) {
      constexpr std::size_t Below = Level - 1 - i;
      if constexpr (level_type<Below>::differentiable || zooms_back<Below>()) {
        const auto& selected = std::get<Below>(kept.level).selected;
        vector_view<T, Space> dweights;
        if constexpr (level_type<Below>::differentiable) {
          dweights = backend.workspace.template allocate<T>(selected.weights.extent(0));
          ops::fill(backend, dweights, T(0));
        }
        matrix_view<T, Space> below;
        if constexpr (zooms_back<Below>())
          below = backend.workspace.template allocate_rows<T>(own.zoomed[Below - 1].shape());
        const auto rows = wanted<Level, Below>(kept);
        const auto h = before<Below>(kept.slide.features[Level], own.zoomed);
        with_index<Level, Below>(backend, kept, [&](const auto& index) {
          ops::zoom_backward(backend, selected, index, h, upstream, dweights, below, rows);
        });
        if (!dweights.absent()) ops::copy_rows(backend, dweights, dselected[Below], true);
        upstream = below;
      }
    });
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

  template <class Backend, class Weights, class Kept, class Logits>
  void classify(Backend& backend, Weights weights, Kept& kept, Logits logits, const pass& pass) const {
    using T = typename decltype(kept.embedding)::value_type;
    using Space = typename Backend::space;
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
    classifier.forward(backend, weights, matrix_view<const T, Space>(kept.embedding), logits, kept.classifier, pass);
  }

  /// A pyramid in memory, read as inference reads any source.
  template <class T, class Space>
  struct pyramid_source {
    using value_type = T;
    const pyramid<T, levels, Space>& slide;

    auto instances() const { return bag_view<T, 2, Space>{slide.features[0]}; }
    template <class Backend>
    auto gather(Backend& backend, std::size_t m, vector_view<const std::int64_t> rows) const {
      using Own = typename Backend::space;
      const auto& all = slide.features[m];
      if constexpr (std::is_same_v<Space, Own>) {
        const auto out = backend.workspace.template allocate_rows<T>(shape<2>{rows.extent(0), all.cols()});
        ops::gather_rows(backend, all, to_backend(backend, rows), out);
        return matrix_view<const T, Own>(out);
      } else {  // only what was chosen travels to the card
        const auto out = backend.workspace.template allocate_on_host<T>(rows.extent(0) * all.cols());
        for (std::int64_t i = 0; i < rows.extent(0) && !backend.workspace.planning(); ++i) {
          expect_value(rows(i) < all.rows(), "milkit::models::zoom_mil", "a child at magnification ", m + 1, " is row ",
                       rows(i), ", expected 0 to ", all.rows() - 1);
          std::copy_n(all.row(rows(i)), all.cols(), out.data() + i * all.cols());
        }
        return resident(backend, matrix_view<const T>(out.data(), {rows.extent(0), all.cols()}));
      }
    }
    const ops::children<Space>& children(std::size_t m) const { return slide.children[m]; }
  };
  template <class Backend, class Slide>
  static const Slide& source_of(Backend&, const Slide& slide) {
    return slide;
  }
  template <class Backend, class T, class Space>
  static pyramid_source<T, Space> source_of(Backend&, const pyramid<T, levels, Space>& slide) {
    return {slide};
  }

  /// The children of the chosen instances, on the host: of rows[selected], or of `selected` where rows is absent.
  template <std::size_t Level, class Backend, class Index, class Selected>
  static vector_view<const std::int64_t> children_of(Backend& backend, const Index& given, const Selected& selected,
                                                     vector_view<const std::int64_t> rows) {
    using Space = typename Backend::space;
    constexpr auto op = "milkit::models::zoom_mil";
    const auto index = host_index(backend, given);
    const auto chosen = to_host(backend, vector_view<const std::int32_t, Space>(selected.columns));
    const std::int64_t k = selected.rows();
    const auto list = backend.workspace.template allocate_on_host<std::int64_t>(k * index.width);
    if (backend.workspace.planning()) return list;
    std::int64_t count = 0;
    for (std::int64_t i = 0; i < k; ++i) {
      const std::int64_t parent = rows.absent() ? chosen(i) : rows(chosen(i));
      if (!index.offsets.absent()) {
        expect_value(parent + 1 < index.offsets.extent(0), op, "instance ", parent, " of magnification ", Level,
                     " was chosen, but the children's offsets are of ", index.offsets.extent(0) - 1, " instances");
        const std::int64_t own = index.offsets(parent + 1) - index.offsets(parent);
        expect_value(own >= 0 && own <= index.width, op, "parent ", parent, " of magnification ", Level, " has ", own,
                     " children, expected 0 to ", index.width);
      }
      const std::int64_t first = index.offsets.absent() ? parent * index.width : index.offsets(parent);
      const std::int64_t last = index.offsets.absent() ? first + index.width : index.offsets(parent + 1);
      expect_value(index.rows.absent() || (first >= 0 && last <= index.rows.extent(0)), op, "the children of parent ",
                   parent, " of magnification ", Level, " are rows ", first, " to ", last - 1,
                   " of the index, but it has ", index.rows.extent(0));
      for (std::int64_t q = first; q < last; ++q) {
        const std::int64_t row = index.rows.absent() ? q : index.rows(q);
        expect_value(row >= 0, op, "a child of parent ", parent, " of magnification ", Level, " is row ", row,
                     ", expected 0 or more");
        list(count++) = row;
      }
    }
    expect_value(count > 0, op, "none of the instances chosen at magnification ", Level,
                 " has children at magnification ", Level + 1, ", expected at least one");
    return {list.data(), {count}};
  }
  template <class Backend, class Space>
  static ops::children<> host_index(Backend& backend, const ops::children<Space>& index) {
    if constexpr (std::is_same_v<Space, host_space>) return index;
    else
      return {index.width, index.offsets.absent() ? vector_view<const std::int64_t>() : to_host(backend, index.offsets),
              index.rows.absent() ? vector_view<const std::int64_t>() : to_host(backend, index.rows)};
  }
};

/// ZoomMIL with the paper's sum of embeddings.
template <class Classifier, class... Levels>
using zoom_mil = basic_zoom_mil<aggregation::sum, Classifier, Levels...>;

/// What ZoomMIL says of a slide, in memory of its own.
template <class T>
struct zoom_prediction {
  struct level {
    std::vector<std::int64_t> rows;      ///< [R]: the instances of this magnification that were looked at
    std::vector<std::int64_t> selected;  ///< [min(K, R)]: those of them whose children it zoomed into, ascending
    tensor<T, 2> attention_logits;       ///< [R, scores]
    tensor<T, 2> attention;              ///< [R, attentions]
    tensor<T, 2> embedding;              ///< [1, d]
  };
  tensor<T, 2> logits;         ///< [1, classes]
  tensor<T, 2> probabilities;  ///< [1, classes]
  std::vector<level> levels;

  /// How many instances were looked at, all magnifications together: N_1 + K r_12 + K r_23 + ....
  std::int64_t instances() const {
    std::int64_t sum = 0;
    for (const level& each : levels) sum += static_cast<std::int64_t>(each.rows.size());
    return sum;
  }
};

/// Inference with everything a user may ask for: `predict(cpu, network, weights, pyramid)`, or of a source that reads
/// and encodes only what is looked at (`basic_zoom_mil::infer`). The weights lie where the backend works; what comes
/// back lies in the host's memory. Errors: as forward of the network.
template <backend Backend, aggregation How, class Classifier, class... Levels, class T, class Slide>
zoom_prediction<T> predict(
    Backend& backend, const basic_zoom_mil<How, Classifier, Levels...>& network,
    const parameters<basic_zoom_mil<How, Classifier, Levels...>, T, typename Backend::space>& weights,
    const Slide& slide) {
  const auto on_host = [&](auto values) {
    tensor<T, 2, typename Backend::space> own(values.shape());
    ops::copy_rows(backend, values, own.view());
    if constexpr (is_cpu<Backend>) return own;
    else return own.template to<host_space>();
  };
  zoom_prediction<T> said;
  const auto scope = backend.workspace.scope();
  const auto logits = backend.workspace.template allocate<T>(network.output_shape(slide));
  network.infer(backend, weights.flat(), slide, logits, [&](const auto& seen) {
    auto& level = said.levels.emplace_back();
    for (std::int64_t i = 0; i < seen.attention.rows(); ++i)
      level.rows.push_back(seen.rows.absent() ? i : seen.rows(i));
    if (!seen.selected.absent()) {
      const auto selected = to_host(backend, seen.selected);
      level.selected.assign(selected.data(), selected.data() + selected.extent(0));
    }
    level.attention_logits = on_host(seen.attention_logits);
    level.attention = on_host(seen.attention);
    level.embedding = on_host(seen.embedding);
  });
  const auto probabilities = backend.workspace.template allocate<T>(logits.shape());
  ops::softmax(backend, matrix_view<const T, typename Backend::space>(logits), probabilities,
               vector_view<T, typename Backend::space>());
  said.logits = on_host(logits);
  said.probabilities = on_host(probabilities);
  return said;
}

/// The memory of one training step on a pyramid of these shapes (its features are not read), counted without computing
/// anything. Exact for one thread and dense pyramids; of more threads, each is taken to run the chunk that needs most,
/// and every instance to have all its children.
template <backend Backend, aggregation How, class Classifier, class... Levels, class T, std::size_t Count, class Space,
          class Loss>
memory_plan plan_training_step(const Backend& backend, const basic_zoom_mil<How, Classifier, Levels...>& network,
                               const pyramid<T, Count, Space>& slide, const Loss& loss) {
  Backend planner = backend.planner(), forward_planner = backend.planner();
  workspace<typename Backend::space> others(true);
  const auto weights = others.template allocate<T>(parameter_stretch(network));
  const std::int64_t label = 0;
  const pass training{.training = true};
  network.train_bags(planner, weights, slide, vector_view<const std::int64_t>(&label, {1}), loss, 1.0, weights,
                     training);
  typename basic_zoom_mil<How, Classifier, Levels...>::template saved<T, Backend> kept;
  network.forward(forward_planner, weights, slide, others.template allocate<T>(network.output_shape(slide)), kept,
                  training);
  memory_plan plan;
  plan.weights = plan.gradient = static_cast<std::size_t>(weights.extent(0)) * sizeof(T);
  for (const auto& features : slide.features) plan.bag += static_cast<std::size_t>(features.size()) * sizeof(T);
  plan.workspace = planner.peak_bytes();
  plan.saved = forward_planner.workspace.bytes_in_use();
  return plan;
}

}  // namespace milkit::models
