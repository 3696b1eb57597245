#include <milkit/ops/bags/gate_cpu.hpp>
#include <milkit/ops/bags/segment_pool_cpu.hpp>
#include <milkit/ops/products/linear_cpu.hpp>
#include <milkit/ops/products/matmul_cpu.hpp>
#include <milkit/ops/rows/activation_cpu.hpp>
#include <milkit/ops/rows/dropout_cpu.hpp>
#include <milkit/ops/rows/fill_cpu.hpp>
#include <milkit/ops/rows/reduce_cpu.hpp>
#include <milkit/ops/rows/softmax_cpu.hpp>
#include <milkit/ops/selection/topk_cpu.hpp>
#include <milkit/ops/selection/zoom_cpu.hpp>
#include <milkit/ops/training/cross_entropy_cpu.hpp>
#include <milkit/ops/training/optimizer_step_cpu.hpp>

#include <milkit/topk/hard.hpp>
#include <milkit/topk/random.hpp>
#include <milkit/topk/straight_through.hpp>
#include <milkit/train/trainer.hpp>

#include "zoom_mil_cases.hpp"

using namespace milkit;
using models::aggregation;
using models::zoom_level;
using test::relative_error;

namespace {

// The paper's network (docs/papers/zoommil.md 2.8).
using paper_projection = nn::sequential<nn::linear<1024, 512>, nn::relu, nn::dropout>;
using paper_low = zoom_level<paper_projection, pooling::dual_gated_attention<512, 256>, topk::perturbed>;
using paper_high = zoom_level<paper_projection, pooling::gated_attention<512, 256>>;

/// Any smooth function of the scores will do as a selection: row k is the softmax of (k + 1) b scores. Its gradient is
/// exact, so that central differences see the whole network's.
struct smooth {
  static constexpr bool differentiable = true;
  std::int64_t k = 1;
  double sharpness = 20;

  template <class Backend, class Scores>
  auto select(Backend& backend, Scores scores, const pass&) const {
    using T = typename Scores::value_type;
    const std::int64_t n = scores.extent(0);
    auto selected = topk::detail::allocate_selection<Scores>(backend.kept_memory(), n, k, n);
    for (std::int64_t row = 0; row <= k; ++row) selected.offsets(row) = row * n;
    for (std::int64_t row = 0; row < k; ++row) {
      double sum = 0;
      for (std::int64_t i = 0; i < n; ++i) sum += std::exp(sharpness_of(row) * scores(i));
      for (std::int64_t i = 0; i < n; ++i) {
        selected.columns(row * n + i) = static_cast<std::int32_t>(i);
        selected.weights(row * n + i) = static_cast<T>(std::exp(sharpness_of(row) * scores(i)) / sum);
      }
    }
    return selected;
  }
  template <class Backend, class Scores, class Selection, class Dweights, class Dscores>
  void select_backward(Backend&, Scores, const Selection& selected, Dweights dweights, Dscores dscores,
                       const pass&) const {
    const std::int64_t n = selected.instances;
    for (std::int64_t i = 0; i < n; ++i) dscores(i) = 0;
    for (std::int64_t row = 0; row < k; ++row) {
      double mean = 0;
      for (std::int64_t i = row * n; i < (row + 1) * n; ++i) mean += selected.weights(i) * dweights(i);
      for (std::int64_t i = 0; i < n; ++i)
        dscores(i) += sharpness_of(row) * selected.weights(row * n + i) * (dweights(row * n + i) - mean);
    }
  }
  double sharpness_of(std::int64_t row) const { return sharpness * (static_cast<double>(row + 1) - 1.5); }
};

template <std::int64_t D>
using small_projection = nn::sequential<nn::linear<D, 6>, nn::tanh, nn::dropout>;
template <class Zoom, std::int64_t D>
using small_low = zoom_level<small_projection<D>, pooling::dual_gated_attention<6, 4>, Zoom>;
template <class Zoom, std::int64_t D>
using small_single = zoom_level<small_projection<D>, pooling::gated_attention<6, 4>, Zoom>;
template <std::int64_t D>
using small_high = zoom_level<small_projection<D>, pooling::gated_attention<6, 4>>;

/// Three or four magnifications with features of different widths.
template <class Zoom, aggregation How = aggregation::sum>
using small_network = models::basic_zoom_mil<How, nn::linear<How == aggregation::concatenation ? 18 : 6, 3>,
                                             small_low<Zoom, 5>, small_single<Zoom, 4>, small_high<7>>;
template <class Zoom>
using deep_network =
    models::zoom_mil<nn::linear<6, 3>, small_low<Zoom, 5>, small_low<Zoom, 4>, small_single<Zoom, 3>, small_high<7>>;

template <class Network>
Network with_dropout(Network net, double rate) {
  [&]<std::size_t... M>(std::index_sequence<M...>) {
    ((std::get<2>(std::get<M>(net.magnifications).embedding.encoder.layers).rate = rate,
      std::get<M>(net.magnifications).embedding.pooler.dropout = rate),
     ...);
  }
  (std::make_index_sequence<Network::levels>());
  return net;
}
template <class Network>
Network with_k(Network net, std::int64_t k) {
  [&]<std::size_t... M>(std::index_sequence<M...>) { ((std::get<M>(net.magnifications).zoom.k = k), ...); }
  (std::make_index_sequence<Network::levels - 1>());
  return net;
}

enum class shape_of_slide { dense, ragged };

/// A slide in memory of its own: features of normal numbers; children dense (2 a parent), or 0 to 3 a parent, in rows
/// that are not in order.
template <std::size_t Levels>
struct small_slide {
  std::vector<tensor<double, 2>> features;
  std::vector<std::vector<std::int64_t>> offsets, rows;
  bool ragged;

  small_slide(std::int64_t instances, const std::array<std::int64_t, Levels>& widths, shape_of_slide how,
              std::uint64_t seed = 3)
      : ragged(how == shape_of_slide::ragged) {
    for (std::size_t m = 0; m < Levels; ++m) {
      features.push_back(test::normals<double>(shape<2>{instances, widths[m]}, seed + m));
      auto& starts = offsets.emplace_back(std::vector<std::int64_t>{0});
      for (std::int64_t n = 0; n < instances; ++n) starts.push_back(starts.back() + (ragged ? (n * 7 + 2) % 4 : 2));
      instances = starts.back();
      auto& listed = rows.emplace_back();
      for (std::int64_t q = 0; q < instances; ++q) listed.push_back(ragged ? instances - 1 - q : q);
    }
  }
  pyramid<double, Levels> view() const {
    pyramid<double, Levels> made;
    for (std::size_t m = 0; m < Levels; ++m) made.features[m] = features[m].view();
    for (std::size_t m = 0; m + 1 < Levels; ++m) {
      if (!ragged) made.children[m] = {.width = 2};
      else
        made.children[m] = {3,
                            {offsets[m].data(), {static_cast<std::int64_t>(offsets[m].size())}},
                            {rows[m].data(), {static_cast<std::int64_t>(rows[m].size())}}};
    }
    return made;
  }
};

const std::int64_t label_two[] = {2};
const vector_view<const std::int64_t> two(label_two, {1});

template <class Network, std::size_t Levels>
void check_gradient(const Network& net, const small_slide<Levels>& slide) {
  auto weights = initial_parameters<double>(net, {.seed = 2});
  const pass how{.training = true, .random = random_stream(7, 5, 3)};
  auto gradient = weights.zeros();
  cpu backend{.threads = 1};
  const auto step = [&] {
    return net.train_bags(backend, weights.flat(), slide.view(), two, loss::cross_entropy{}, 1.0, gradient.flat(), how);
  };
  step();
  const auto got = gradient.clone();
  const auto differences = test::central_differences(weights.flat(), step);
  CHECK(relative_error(got.flat(), differences) <= 1e-7);
  double zoom_gradient = 0;  // that of the second head, which has no other way to the loss
  for (const auto& entry : got.entries())
    if (entry.name.find("level1.pooler.zoom.v") == 0)
      for (std::int64_t i = 0; i < entry.size(); ++i)
        zoom_gradient = (std::max)(zoom_gradient, std::abs(got.flat()(entry.offset + i)));
  CHECK(zoom_gradient > 1e-5);
}

}  // namespace

TEST_CASE("zoom_mil: parameters as the paper's code counts them") {
  CHECK(parameter_count(models::zoom_mil<nn::linear<512, 3>, paper_low, paper_low, paper_high>()) == 2'890'504);
  CHECK(parameter_count(models::zoom_mil<nn::linear<512, 3>, paper_low, paper_high>()) == 1'839'878);
  const auto entries = parameter_entries(models::zoom_mil<nn::linear<512, 3>, paper_low, paper_high>());
  CHECK(entries.front().name == "level1.encoder.0.weight");
  CHECK(entries.back().name == "classifier.bias");
}

TEST_CASE("zoom_mil: one logit z -> the probabilities of both classes, 1 - s(z) and s(z)") {
  using one_logit = models::zoom_mil<nn::linear<6, 1>, small_low<topk::hard, 5>, small_high<4>>;
  const small_slide<2> slide(7, {5, 4}, shape_of_slide::dense);
  auto weights = initial_parameters<double>(one_logit{}, {.seed = 2});
  cpu backend{.threads = 2};
  for (const double bias : {0.25, 900.0, -900.0}) {
    weights["classifier.bias"](0) = bias;
    const auto said = models::predict(backend, one_logit{}, weights, slide.view());
    REQUIRE(said.logits.shape() == shape<2>{1, 1});
    REQUIRE(said.probabilities.shape() == shape<2>{1, 2});
    const double p = 1 / (1 + std::exp(-said.logits.view()(0, 0)));
    CHECK(test::close(said.probabilities.view()(0, 1), p, {.absolute = 1e-12}));
    CHECK(test::close(said.probabilities.view()(0, 0), 1 - p, {.absolute = 1e-12}));
  }
}

TEST_CASE("zoom_mil: central differences through every selection, with dropout, dense and ragged, in chunks") {
  for (const auto how : {shape_of_slide::dense, shape_of_slide::ragged}) {
    CAPTURE(static_cast<int>(how));
    const small_slide<3> slide(7, {5, 4, 7}, how);
    check_gradient(with_dropout(with_k(small_network<smooth>(), 3), 0.2), slide);
    check_gradient(with_k(small_network<smooth, aggregation::last>(), 2), slide);
    check_gradient(with_k(small_network<smooth, aggregation::concatenation>(), 2), slide);
    auto in_chunks = with_dropout(with_k(small_network<smooth>(), 3), 0.2);
    std::get<0>(in_chunks.magnifications).embedding.chunk_rows = 3;
    std::get<2>(in_chunks.magnifications).embedding.chunk_rows = 2;
    std::get<2>(in_chunks.magnifications).embedding.saved_bytes = 0;
    check_gradient(in_chunks, slide);
    check_gradient(with_k(deep_network<smooth>(), 3), small_slide<4>(6, {5, 4, 3, 7}, how));
  }
}

TEST_CASE("zoom_mil: selections with and without a gradient may follow each other") {
  for (const auto how : {shape_of_slide::dense, shape_of_slide::ragged}) {
    CAPTURE(static_cast<int>(how));
    const small_slide<4> slide(7, {5, 4, 3, 7}, how);
    const auto check = [&](auto net) {
      const auto given = with_dropout(with_k(net, 3), 0);
      auto weights = initial_parameters<double>(given, {.seed = 2});
      auto gradient = weights.zeros();
      cpu backend{.threads = 1};
      const auto step = [&] {
        return given.train_bags(backend, weights.flat(), slide.view(), two, loss::cross_entropy{}, 1.0, gradient.flat(),
                                {.training = true});
      };
      step();
      const auto got = gradient.clone();
      CHECK(relative_error(got.flat(), test::central_differences(weights.flat(), step)) <= 1e-7);
    };
    check(models::zoom_mil<nn::linear<6, 3>, small_low<topk::hard, 5>, small_low<smooth, 4>,
                           small_single<topk::hard, 3>, small_high<7>>());
    check(models::zoom_mil<nn::linear<6, 3>, small_low<smooth, 5>, small_low<topk::hard, 4>, small_single<smooth, 3>,
                           small_high<7>>());
  }
}

TEST_CASE("zoom_mil: a selection without noise trains on what inference looks at") {
  for (const auto how : {shape_of_slide::dense, shape_of_slide::ragged}) {
    CAPTURE(static_cast<int>(how));
    const small_slide<4> slide(9, {5, 4, 3, 7}, how);
    const auto weights = initial_parameters<double>(deep_network<smooth>(), {.seed = 4});
    const auto logits_of = [&](const auto& net, bool training) {
      cpu backend{.threads = 2};
      tensor<double, 2> logits({1, 3});
      typename std::remove_cvref_t<decltype(net)>::template saved<double, cpu> kept;
      const auto scope = backend.workspace.scope();
      const context at{backend, weights.flat(), {}, {.training = true}};
      if (training) net.forward(at, slide.view(), logits.view(), kept);
      else net.infer(backend, weights.flat(), slide.view(), logits.view());
      return logits;
    };
    for (const std::int64_t k : {2, 4, 100}) {
      CAPTURE(k);
      const auto hard = with_dropout(with_k(deep_network<topk::hard>(), k), 0);
      const auto seen = logits_of(hard, false);
      CHECK(relative_error(logits_of(hard, true), seen) <= 1e-12);
      auto nearly = with_dropout(with_k(deep_network<topk::perturbed>(), k), 0);
      std::get<0>(nearly.magnifications).zoom.sigma = 1e-13;
      std::get<1>(nearly.magnifications).zoom.sigma = 1e-13;
      std::get<2>(nearly.magnifications).zoom.sigma = 1e-13;
      CHECK(relative_error(logits_of(nearly, true), seen) <= 1e-12);
      const auto straight = with_dropout(with_k(deep_network<topk::straight_through>(), k), 0);
      CHECK(relative_error(logits_of(straight, true), seen) <= 1e-12);
    }
  }
}

namespace {
/// A slide whose tiles are encoded only when they are asked for.
struct counting_source {
  using value_type = double;
  const small_slide<3>& slide;
  std::array<std::int64_t, 3>& read;

  struct lowest {
    using value_type = double;
    static constexpr int rank = 2;
    const tensor<double, 2>& features;
    std::int64_t& count;
    milkit::shape<2> shape() const { return features.shape(); }
    template <class Backend>
    matrix_view<const double> read(Backend& backend, row_range rows) const {
      if (!backend.workspace.planning()) count += rows.count;
      return features.view().rows(rows.first, rows.count);
    }
  };
  lowest instances() const { return {slide.features[0], read[0]}; }
  ops::children<> children(std::size_t m) const { return slide.view().children[m]; }
  template <class Backend>
  matrix_view<const double> gather(Backend& backend, std::size_t m, vector_view<const std::int64_t> rows) const {
    read[m] += rows.extent(0);
    const auto out = backend.workspace.template allocate<double>(shape<2>{rows.extent(0), slide.features[m].extent(1)});
    ops::gather_rows(backend, slide.features[m].view(), rows, out);
    return out;
  }
};
}  // namespace

TEST_CASE(
    "zoom_mil: inference reads all tiles of the lowest magnification, and then the children of the chosen alone") {
  const auto net = with_k(small_network<topk::perturbed>(), 3);
  const auto weights = initial_parameters<double>(net, {.seed = 4});
  cpu backend{.threads = 1};
  for (const auto how : {shape_of_slide::dense, shape_of_slide::ragged}) {
    CAPTURE(static_cast<int>(how));
    const small_slide<3> slide(11, {5, 4, 7}, how);
    std::array<std::int64_t, 3> read{};
    const auto lazy = models::predict(backend, net, weights, counting_source{slide, read});
    const auto whole = models::predict(backend, net, weights, slide.view());
    CHECK(test::same_bits(lazy.logits, whole.logits));
    for (std::size_t m = 0; m < 3; ++m) {
      CHECK(lazy.levels[m].rows == whole.levels[m].rows);
      CHECK(read[m] == static_cast<std::int64_t>(lazy.levels[m].rows.size()));
    }
    if (how == shape_of_slide::dense) CHECK(lazy.instances() == 11 + 3 * 2 + 3 * 2);
    CHECK(lazy.instances() == read[0] + read[1] + read[2]);
    double sum = 0;
    for (const double p : test::elements(lazy.probabilities)) sum += p;
    CHECK(sum == doctest::Approx(1));
  }
}

TEST_CASE("zoom_mil: a top-K that draws in inference draws by stream and magnification, in the trainer by slide") {
  const auto net = with_k(small_network<topk::random>(), 3);
  const auto weights = initial_parameters<double>(net, {.seed = 4});
  cpu backend;
  const small_slide<3> slide(40, {5, 4, 7}, shape_of_slide::dense);
  const auto chosen = [&](random_stream random) {
    const auto said = models::predict(backend, net, weights, slide.view(), random);
    return std::pair(said.levels[0].selected, said.levels[1].selected);
  };
  const auto first = chosen(random_stream(1, 2, 3));
  CHECK(first == chosen(random_stream(1, 2, 3)));
  CHECK(first.first != chosen(random_stream(1, 3, 3)).first);
  CHECK(chosen({}) == std::pair(models::predict(backend, net, weights, slide.view()).levels[0].selected,
                                models::predict(backend, net, weights, slide.view()).levels[1].selected));
  tensor<double, 2> logits({1, 3});
  net.infer(backend, weights.flat(), slide.view(), logits.view(), random_stream(1, 2, 3));
  CHECK(test::same_bits(logits, models::predict(backend, net, weights, slide.view(), random_stream(1, 2, 3)).logits));
  std::vector<std::vector<std::int64_t>> seen;
  net.infer(
      backend, weights.flat(), slide.view(), logits.view(),
      [&](const auto& level) {
        if (!level.selected.absent()) seen.emplace_back(level.selected.data(), level.selected.data() + 3);
      },
      random_stream(1, 2, 3));
  CHECK(std::pair(seen.at(0), seen.at(1)) == first);
  // Where both magnifications hold as many instances they still draw apart.
  const small_slide<3> even(6, {5, 4, 7}, shape_of_slide::dense);
  int apart = 0;
  for (std::uint64_t i = 0; i < 20; ++i) {
    const auto said = models::predict(backend, net, weights, even.view(), random_stream(1, i, 3));
    apart += said.levels[0].selected != said.levels[1].selected;
  }
  CHECK(apart > 0);  // each pair of choices of 3 of 6 is the same with the probability 1 / 20
  // One slide twice: other tiles, other probabilities; and the same each time it is asked.
  struct twice {
    const small_slide<3>& one;
    std::int64_t size() const { return 2; }
    std::int64_t classes() const { return 3; }
    std::int64_t label(std::int64_t i) const { return i; }
    auto bag(std::int64_t) const { return one.view(); }
  } slides{slide};
  train::trainer trainer(backend, net, train::adam{});
  const auto p = trainer.evaluate(weights, slides).probabilities;
  CHECK(p[0] != p[3]);
  CHECK(trainer.evaluate(weights, slides).probabilities == p);
}

TEST_CASE("zoom_mil: the order of the children of a parent changes nothing but rounding") {
  const auto net = with_k(small_network<topk::perturbed>(), 3);
  const auto weights = initial_parameters<double>(net, {.seed = 4});
  cpu backend;
  small_slide<3> slide(11, {5, 4, 7}, shape_of_slide::ragged);
  const auto before = models::predict(backend, net, weights, slide.view());
  for (std::size_t m = 0; m < 2; ++m)
    for (std::size_t n = 0; n + 1 < slide.offsets[m].size(); ++n)
      std::reverse(slide.rows[m].begin() + slide.offsets[m][n], slide.rows[m].begin() + slide.offsets[m][n + 1]);
  CHECK(relative_error(models::predict(backend, net, weights, slide.view()).logits, before.logits) <= 1e-12);
}

TEST_CASE("zoom_mil: the same bits at any thread count, and a memory plan that is what a step uses") {
  for (const bool whole : {false, true}) {
    const std::int64_t instances = whole ? 200 : 40, chunk_rows = whole ? 0 : 8;
    CAPTURE(instances);
    const small_slide<3> slide(instances, {5, 4, 7}, shape_of_slide::dense);
    auto net = with_dropout(with_k(small_network<topk::perturbed>(), instances / 5), 0.25);
    std::get<0>(net.magnifications).embedding.chunk_rows =
        chunk_rows;  // 0: 200 instances are one chunk, for all threads
    const auto weights = initial_parameters<double>(net, {.seed = 1});
    const pass how{.training = true, .random = random_stream(7, 5, 3)};
    auto once = weights.zeros();
    for (const int threads : {1, 2, 3}) {
      CAPTURE(threads);
      cpu backend{.threads = threads};
      auto gradient = weights.zeros();
      net.train_bags(backend, weights.flat(), slide.view(), two, loss::cross_entropy{}, 1.0, gradient.flat(), how);
      if (threads == 1) once = gradient.clone();
      CHECK(test::same_bits(gradient.flat(), once.flat()));
      const memory_plan plan = models::plan_training_step(backend, net, slide.view(), loss::cross_entropy{});
      CHECK(plan.weights == weights.bytes());
      CHECK(plan.bag == sizeof(double) * static_cast<std::size_t>(instances) * (5 + 2 * 4 + 4 * 7));
      if (threads == 1) CHECK(plan.workspace == backend.peak_bytes());
      else CHECK(plan.workspace >= backend.peak_bytes());
      CHECK(plan.saved < plan.workspace);
      CHECK(backend.workspace.bytes_in_use() == 0);
    }
  }
}

namespace {
/// Slides of which those with an odd number hold one bright tile at the highest magnification, below a tile that is
/// marked at the lower ones: to be found by zooming.
struct needle_slides {
  std::vector<small_slide<3>> slides;
  explicit needle_slides(std::int64_t count) {
    for (std::int64_t i = 0; i < count; ++i) {
      auto& slide = slides.emplace_back(12, std::array<std::int64_t, 3>{5, 4, 7}, shape_of_slide::dense,
                                        static_cast<std::uint64_t>(10 * i + 1));
      const std::int64_t marked = (i * 5) % 12;
      slide.features[0].view()(marked, 0) = 5;
      slide.features[1].view()(2 * marked + 1, 0) = 5;
      if (i % 2 == 1) slide.features[2].view()(4 * marked + 2, 0) = 8;
    }
  }
  std::int64_t size() const { return static_cast<std::int64_t>(slides.size()); }
  std::int64_t classes() const { return 2; }
  std::int64_t label(std::int64_t i) const { return i % 2; }
  auto bag(std::int64_t i) const { return slides[static_cast<std::size_t>(i)].view(); }
};
}  // namespace

TEST_CASE("zoom_mil learns by the trainer where to zoom") {
  needle_slides training(40), unseen(60);
  using network =
      models::zoom_mil<nn::linear<6, 2>, small_low<topk::perturbed, 5>, small_low<topk::perturbed, 4>, small_high<7>>;
  auto net = with_dropout(with_k(network(), 2), 0.1);
  std::get<0>(net.magnifications).zoom.sigma = std::get<1>(net.magnifications).zoom.sigma = 0.02;
  cpu backend;
  auto weights = initial_parameters<double>(net, {.seed = 1});
  train::trainer trainer(backend, net, train::adam{.learning_rate = 1e-2});
  trainer.fit(weights, training, {.epochs = 40, .seed = 1});
  CHECK(trainer.evaluate(weights, unseen).accuracy >= 0.95);
  std::int64_t hits = 0;
  for (std::int64_t i = 0; i < unseen.size(); ++i) {
    const auto said = models::predict(backend, net, weights, unseen.bag(i));
    const auto& chosen = said.levels[0].selected;
    hits += std::find(chosen.begin(), chosen.end(), (i * 5) % 12) != chosen.end();
  }
  CHECK(hits >= 57);
}

TEST_CASE("zoom_mil refuses what does not fit, and says what") {
  const auto net = with_k(small_network<topk::perturbed>(), 3);
  const auto weights = initial_parameters<double>(net, {.seed = 4});
  cpu backend;
  tensor<double, 2> logits({1, 3});
  auto gradient = weights.zeros();
  const auto train = [&](const auto& slide, vector_view<const std::int64_t> label = two) {
    net.train_bags(backend, weights.flat(), slide, label, loss::cross_entropy{}, 1.0, gradient.flat(),
                   {.training = true});
  };
  const auto infer = [&](const auto& slide) { net.infer(backend, weights.flat(), slide, logits.view()); };
  const small_slide<3> narrow(5, {5, 3, 7}, shape_of_slide::dense);
  CHECK_THROWS_WITH_AS(train(narrow.view()), "milkit::nn::linear: features of the input is 3, expected 4", shape_error);
  CHECK_THROWS_WITH_AS(infer(narrow.view()), "milkit::nn::linear: features of the input is 3, expected 4", shape_error);

  const small_slide<3> slide(5, {5, 4, 7}, shape_of_slide::dense);
  const std::int64_t three[] = {3};
  CHECK_THROWS_WITH_AS(train(slide.view(), vector_view<const std::int64_t>(three, {1})),
                       doctest::Contains("label 3 of bag 0 is outside the 3 classes"), value_error);
  CHECK_THROWS_AS(train(small_slide<3>(0, {5, 4, 7}, shape_of_slide::dense).view()), value_error);

  auto childless = slide.view();
  const std::vector<std::int64_t> none(6, 0);
  childless.children[0] = {.width = 2, .offsets = {none.data(), {6}}};
  for (const auto& step :
       {std::function<void()>([&] { train(childless); }), std::function<void()>([&] { infer(childless); })})
    CHECK_THROWS_WITH_AS(step(),
                         "milkit::models::zoom_mil: none of the instances chosen at magnification 1 has children at "
                         "magnification 2, expected at least one",
                         value_error);
  auto outside = slide.view();
  outside.children[1].width = 3;
  CHECK_THROWS_AS(train(outside), value_error);
  CHECK_THROWS_AS(infer(outside), value_error);
  const std::vector<std::int64_t> short_rows{0, 1}, negative(10, -1), threes{0, 3, 6, 9, 9, 9};
  auto wrong = slide.view();
  wrong.children[0].rows = {short_rows.data(), {2}};
  CHECK_THROWS_AS(train(wrong), value_error);
  CHECK_THROWS_AS(infer(wrong), value_error);
  wrong.children[0].rows = {negative.data(), {10}};
  CHECK_THROWS_AS(train(wrong), value_error);
  CHECK_THROWS_WITH_AS(infer(wrong), doctest::Contains("is row -1, expected 0 or more"), value_error);
  wrong.children[0] = {.width = 2, .offsets = {threes.data(), {6}}};
  CHECK_THROWS_WITH_AS(train(wrong), doctest::Contains("parent 0 has 3 children, expected 0 to 2"), value_error);
  CHECK_THROWS_WITH_AS(infer(wrong), doctest::Contains("has 3 children, expected 0 to 2"), value_error);
  CHECK_THROWS_WITH_AS(pyramid_of(std::array{slide.features[0].view(), slide.features[1].view()}, {4}),
                       "milkit::pyramid_of: instances at magnification 2 is 10, expected 20", shape_error);
  CHECK_THROWS_WITH_AS(with_k(net, 0).infer(backend, weights.flat(), slide.view(), logits.view()),
                       doctest::Contains("k is 0, expected at least 1"), value_error);
  CHECK(backend.workspace.bytes_in_use() == 0);
  infer(slide.view());
}
