#include <milkit/ops/images/conv2d_cpu.hpp>
#include <milkit/ops/images/pool2d_cpu.hpp>
#include <milkit/ops/images/resample2d_cpu.hpp>
#include <milkit/ops/products/linear_cpu.hpp>
#include <milkit/ops/products/matmul_cpu.hpp>
#include <milkit/ops/rows/activation_cpu.hpp>
#include <milkit/ops/rows/fill_cpu.hpp>
#include <milkit/ops/rows/softmax_cpu.hpp>
#include <milkit/ops/selection/draws_cpu.hpp>
#include <milkit/ops/training/cross_entropy_cpu.hpp>
#include <milkit/ops/training/distribution_loss_cpu.hpp>

#include <milkit/models/zoom_in/prediction.hpp>
#include <milkit/nn/flatten.hpp>
#include <milkit/sampling/top_n.hpp>
#include <milkit/sampling/uniform.hpp>

#include <span>

#include <support/chance.hpp>
#include <support/normals.hpp>

#include "zoom_in_cases.hpp"

using namespace milkit;

namespace {

using models::looking;
using test::zoom_in_cases::cell_attention;
using test::zoom_in_cases::lenet8;
using test::zoom_in_cases::tile_attention;

template <class Tiles, class Cells, class First = tile_attention<nn::tanh>>
using small_network = models::zoom_in<First, cell_attention<nn::tanh>, lenet8, nn::linear<8, 2>, Tiles, Cells>;
using drawing_network = small_network<sampling::with_replacement, sampling::without_replacement>;
using exact_network = small_network<sampling::exact, sampling::exact>;

template <class Network>
Network small(Network net = {}) {
  net.options.views = {{12, 10}, {0.5, 0.4}, {0.25, 0.3}, {5, 4}};
  net.options.draws = 5;
  net.options.entropy = 0.1;
  net.options.contrastive_from = 0;
  return net;
}
tensor<double, 3> picture(std::int64_t height, std::int64_t width, std::uint64_t seed = 3) {
  return test::normals<double>(shape<3>{3, height, width}, seed);
}
template <class Network>
double step(cpu& backend, const Network& net, const parameters<Network, double>& weights,
            const tensor<double, 3>& pixels, std::int64_t label, parameters<Network, double>& gradient,
            const pass& how = {.training = true}) {
  return net.train_bags(backend, weights.flat(), sampling::planar_image<double>{pixels.view()},
                        vector_view<const std::int64_t>(&label, {1}), loss::cross_entropy{}, 1.0, gradient.flat(), how);
}

/// The first logit minus the second: a loss in which the mean of the gradient is the gradient of the mean.
struct difference {
  template <class Backend, class Logits, class Losses, class Dlogits>
  double evaluate(Backend&, Logits logits, vector_view<const std::int64_t> labels, double scale, Losses losses,
                  Dlogits dlogits) const {
    const double sign = labels(0) == 0 ? 1 : -1;
    losses(0) = sign * (logits(0, 0) - logits(0, 1));
    dlogits(0, 0) = scale * sign;
    dlogits(0, 1) = -scale * sign;
    return 1;
  }
};

}  // namespace

TEST_CASE("zoom_in's gradient in full is that of central differences, complement, entropy and all" *
          doctest::test_suite("unsanitized")) {
  for (const std::int64_t label : {0, 1})
    for (const bool official : {false, true}) {
      CAPTURE(label);
      auto net = small<exact_network>();
      net.options.official_weights = net.options.official_entropy = official;
      const std::int64_t step_labels[] = {label, 0, 1};
      const pass how{.training = true, .step_labels = vector_view<const std::int64_t>(step_labels, {3})};
      const auto pixels = picture(20, 13);
      auto weights = initial_parameters<double>(net, {.seed = 5});
      for (double& each : std::span(weights.flat().data(), static_cast<std::size_t>(weights.flat().extent(0))))
        each *= 2;
      auto gradient = weights.zeros();
      cpu backend{.threads = 2};
      step(backend, net, weights, pixels, label, gradient, how);
      double most = 0;
      for (std::int64_t i = 0; i < gradient.flat().extent(0); ++i) most = std::max(most, std::abs(gradient.flat()(i)));
      auto unused = weights.zeros();
      for (std::int64_t i = 0; i < weights.flat().extent(0); i += 37) {
        const double own = weights.flat()(i), h = 1e-5;
        weights.flat()(i) = own + h;
        const double above = step(backend, net, weights, pixels, label, unused, how);
        weights.flat()(i) = own - h;
        const double below = step(backend, net, weights, pixels, label, unused, how);
        weights.flat()(i) = own;
        CHECK(std::abs((above - below) / (2 * h) - gradient.flat()(i)) <= 1e-6 * most);
      }
    }
}

TEST_CASE("zoom_in's drawn gradient has the full one as its mean" * doctest::test_suite("unsanitized")) {
  const auto pixels = picture(20, 13);
  const auto gradient_of = [&](auto net, cpu& backend, std::uint64_t draw) {
    auto weights = initial_parameters<double>(net, {.seed = 5});
    for (double& each : std::span(weights.flat().data(), static_cast<std::size_t>(weights.flat().extent(0)))) each *= 2;
    auto gradient = weights.zeros();
    const std::int64_t label = 1;
    net.train_bags(backend, weights.flat(), sampling::planar_image<double>{pixels.view()},
                   vector_view<const std::int64_t>(&label, {1}), difference{}, 1.0, gradient.flat(),
                   pass{.training = true, .random = random_stream(1, draw, 0)});
    return gradient;
  };
  cpu backend{.threads = 2};
  auto exact = small<exact_network>();
  exact.options.entropy = 0;
  const auto want = gradient_of(exact, backend, 0);
  // The largest error of a mean in what chance explains; of means of ten draws each, which are near normal.
  const auto off = [&](auto net, std::int64_t tens) {
    net.options.entropy = 0;
    const auto size = static_cast<std::size_t>(want.flat().extent(0));
    std::vector<double> sum(size), square(size);
    for (std::int64_t t = 0; t < tens; ++t) {
      std::vector<double> ten(size);
      for (std::int64_t d = 10 * t; d < 10 * t + 10; ++d) {
        const auto own = gradient_of(net, backend, static_cast<std::uint64_t>(d));
        for (std::size_t i = 0; i < size; ++i)
          ten[i] += (own.flat()(static_cast<std::int64_t>(i)) - want.flat()(static_cast<std::int64_t>(i))) / 10;
      }
      for (std::size_t i = 0; i < size; ++i) sum[i] += ten[i], square[i] += ten[i] * ten[i];
    }
    double worst = 0;  // what is but rounding, as that of a bias before a softmax, is left out
    const auto n = static_cast<double>(tens);
    const double by_chance = test::most_standard_errors(static_cast<double>(size), n);
    for (std::size_t i = 0; i < size; ++i) {
      const double mean = sum[i] / n, variance = (square[i] / n - mean * mean) * n / (n - 1);
      if (square[i] / n > 1e-24) worst = std::max(worst, std::abs(mean) / (by_chance * std::sqrt(variance / n)));
    }
    return worst;
  };
  CHECK(off(small<drawing_network>(), 200) <= 1);
  CHECK(off(small<small_network<sampling::stratified, sampling::without_replacement>>(), 100) <= 1);
  auto official = small<drawing_network>();
  official.cell_sampler.estimator = ops::draw_estimator::official_zoom_in;
  CHECK(off(official, 300) > 1);
}

TEST_CASE("zoom_in: official contrast -> draws of the complement weighted by the attention") {
  cpu backend{.threads = 2};
  const auto pixels = picture(20, 13);
  const auto step_of = [&](bool contrastive, bool official, std::int64_t label) {
    auto net = small<small_network<sampling::exact, sampling::exact, models::whole_image>>();
    net.options.views.tile = {};
    net.options.entropy = 0;
    net.options.contrastive = contrastive;
    net.options.official_contrast = official;
    auto weights = initial_parameters<double>(net, {.seed = 5});
    for (double& each : std::span(weights.flat().data(), static_cast<std::size_t>(weights.flat().extent(0)))) each *= 3;
    auto gradient = weights.zeros();
    std::vector<double> both = {step(backend, net, weights, pixels, label, gradient)};
    for (const double each : test::elements(gradient.flat())) both.push_back(each);
    return both;
  };
  // With every cell drawn, its complement is the image itself: the loss is that of both labels.
  std::vector<double> want = step_of(false, false, 1);
  const std::vector<double> other = step_of(false, false, 0);
  for (std::size_t i = 0; i < want.size(); ++i) want[i] += other[i];
  CHECK(test::relative_error(step_of(true, true, 1), want) <= 1e-12);
  CHECK(test::relative_error(step_of(true, false, 1), want) > 1e-3);
}

TEST_CASE("zoom_in's lambda goes from its first value to its last, by the same factor each epoch") {
  auto net = small<drawing_network>();
  net.options.first_entropy = 0.5;
  net.options.entropy_epochs = 4;
  net.options.entropy = 0.5 / 16;
  for (const auto& [epoch, lambda] :
       {std::pair(0, 0.5), std::pair(1, 0.25), std::pair(3, 0.0625), std::pair(4, 0.03125), std::pair(9, 0.03125)})
    CHECK(net.options.entropy_at(epoch) == doctest::Approx(lambda).epsilon(1e-14));
  cpu backend{.threads = 2};
  const auto pixels = picture(20, 13);
  const auto weights = initial_parameters<double>(net, {.seed = 5});
  auto falling = weights.zeros(), constant = weights.zeros();
  const double loss = step(backend, net, weights, pixels, 1, falling, {.training = true, .epoch = 2});
  net.options.entropy = net.options.entropy_at(2);
  net.options.entropy_epochs = 0;
  CHECK(step(backend, net, weights, pixels, 1, constant, {.training = true, .epoch = 2}) == loss);
  CHECK(test::same_bits(test::elements(falling.flat()), test::elements(constant.flat())));
  net.options.entropy = 0;
  net.options.entropy_epochs = 4;
  CHECK_THROWS_WITH_AS(step(backend, net, weights, pixels, 1, constant),
                       "milkit::models::zoom_in: the entropy's lambda goes from 0.5 to "
                       "0, expected numbers above 0",
                       value_error);
}

TEST_CASE(
    "zoom_in gives the same bits at any thread count, and the same values in any chunks of views, kept or read again") {
  const auto pixels = picture(50, 47);
  const auto run = [&](drawing_network net, int threads) {
    const auto weights = initial_parameters<double>(net, {.seed = 5});
    auto gradient = weights.zeros();
    cpu backend{.threads = threads};
    step(backend, net, weights, pixels, 1, gradient, {.training = true, .random = random_stream(4, 0, 0)});
    return test::elements(gradient.flat());
  };
  const auto net = small<drawing_network>();
  const auto first = run(net, 1);
  for (const int threads : {2, 3, 8}) CHECK(test::same_bits(run(net, threads), first));
  auto again = net;
  again.options.kept_view_bytes = 0;
  CHECK(test::same_bits(run(again, 2), first));
  again.options.view_bytes = 1;
  CHECK(test::relative_error(run(again, 2), first) <= 1e-12);
}

TEST_CASE("zoom_in of small images, more draws than positions, and other samplers") {
  cpu backend{.threads = 2};
  const auto logits_of = [&](auto net, const tensor<double, 3>& pixels, looking how, std::uint64_t seed = 1) {
    const auto weights = initial_parameters<double>(net, {.seed = 5});
    net.options.inference = how;
    tensor<double, 2> logits({1, 2});
    net.infer(backend, weights.flat(), sampling::planar_image<double>{pixels.view()}, logits.view(),
              random_stream(seed, 2, 3));
    return test::elements(logits);
  };
  const auto finite_step = [&](auto net, const tensor<double, 3>& pixels) {
    const auto weights = initial_parameters<double>(net, {.seed = 5});
    auto gradient = weights.zeros();
    const double loss = step(backend, net, weights, pixels, 1, gradient);
    bool finite = std::isfinite(loss);
    for (const double each : test::elements(gradient.flat())) finite = finite && std::isfinite(each);
    return finite;
  };
  for (const auto& sides : {std::pair(1, 1), std::pair(3, 2), std::pair(12, 10), std::pair(13, 11), std::pair(40, 3)}) {
    CAPTURE(sides.first);
    const auto pixels = picture(sides.first, sides.second);
    auto net = small<drawing_network>();
    CHECK(finite_step(net, pixels));
    net.options.draws = 1000;
    CHECK(finite_step(net, pixels));
    CHECK(finite_step(small<small_network<sampling::without_replacement, sampling::top_n>>(), pixels));
    CHECK(finite_step(small<small_network<sampling::uniform, sampling::uniform>>(), pixels));
    CHECK(finite_step(small<small_network<sampling::exact, sampling::exact>>(), pixels));
    if (sides.first <= 12)  // one tile, all of whose cells are drawn: nothing is left to chance
      CHECK(test::relative_error(logits_of(net, pixels, looking::sampled), logits_of(net, pixels, looking::exact)) <=
            1e-12);
  }
  const auto pixels = picture(37, 29);
  auto net = small<drawing_network>();
  net.options.repeats = 2;
  for (const looking how : {looking::deterministic, looking::exact, looking::sampled, looking::official_code})
    for (const double each : logits_of(net, pixels, how)) CHECK(std::isfinite(each));
  CHECK(test::same_bits(logits_of(net, pixels, looking::sampled), logits_of(net, pixels, looking::sampled)));
  net.options.repeats = 10;
  net.options.draws = 50;
  constexpr int times = 40;
  const auto exact = logits_of(net, pixels, looking::exact);
  for (std::size_t i = 0; i < 2; ++i) {
    double mean = 0, square = 0;
    for (std::uint64_t t = 0; t < times; ++t) {
      const double error = logits_of(net, pixels, looking::sampled, t)[i] - exact[i];
      mean += error / times;
      square += error * error / times;
    }
    const double standard_error = std::sqrt((square - mean * mean) / (times - 1));
    CHECK(std::abs(mean) <= test::most_standard_errors(2, times) * standard_error);
    CHECK(standard_error <= 0.05 * std::max(std::abs(exact[0]), std::abs(exact[1])));  // the bound is not loose
  }
  net.options.draws = 0;
  CHECK_THROWS_WITH_AS(logits_of(net, pixels, looking::sampled),
                       "milkit::models::zoom_in: draws is 0, expected at least 1", value_error);
}

TEST_CASE("zoom_in of one stage is that of one tile, and says where the image has several") {
  const test::golden_case golden("zoom_in_two_stage_one_tile");
  using one_stage = models::zoom_in<models::whole_image, cell_attention<nn::relu>, lenet8, nn::linear<8, 2>,
                                    sampling::with_replacement, test::zoom_in_cases::given_cells>;
  test::zoom_in_cases::file_draws cells{{test::zoom_in_cases::integers(golden, "positions")}};
  one_stage net;
  net.cell_sampler = {&cells, {ops::draw_estimator::ordered}};
  test::zoom_in_cases::set_views(net, golden);
  net.options.views.tile = {};
  net.options.contrastive = false;
  net.options.draws = static_cast<std::int64_t>(cells.values[0].size());
  net.options.entropy = golden.option<double>("lambda");
  const auto weights = test::zoom_in_cases::weights_of<one_stage, double>(golden, net);
  auto gradient = weights.zeros();
  cpu backend{.threads = 2};
  CHECK(std::abs(step(backend, net, weights, golden.get<double, 3>("image"), golden.option<std::int64_t>("label"),
                      gradient) -
                 golden.option<double>("loss")) <= 1e-10);
  for (const auto& entry : gradient.entries())
    CHECK(golden.error("grad." + test::zoom_in_cases::golden_name(entry.name), gradient[entry.name]) <= 1e-10);

  auto tiled = small<small_network<sampling::with_replacement, sampling::without_replacement, models::whole_image>>();
  const auto others = initial_parameters<double>(tiled, {.seed = 1});
  auto unused = others.zeros();
  CHECK_THROWS_WITH_AS(
      step(backend, tiled, others, picture(20, 13), 1, unused),
      "milkit::models::zoom_in: the network has one stage, but the image has 4 tiles; set views.tile to {0, 0}",
      value_error);
}

TEST_CASE("zoom_in's prediction says where it looked") {
  cpu backend{.threads = 2};
  auto net = small<drawing_network>();
  const auto weights = initial_parameters<double>(net, {.seed = 5});
  const auto pixels = picture(20, 13);
  const sampling::planar_image<double> image{pixels.view()};
  const auto seen = models::predict(backend, net, weights, image);
  CHECK(seen.subtiles.size() == 5);
  double mass = 0;
  for (const auto& each : seen.subtiles) {
    mass += each.weight;
    CHECK(each.origin == seen.grid.subtile_origin(seen.grid.tiles().at(each.tile), seen.grid.cells.at(each.cell)));
  }
  CHECK(std::abs(mass - 1) <= 1e-12);
  CHECK(std::abs(seen.probabilities.view()(0, 0) + seen.probabilities.view()(0, 1) - 1) <= 1e-12);
  const auto all = models::attend(backend, net, weights, image);
  CHECK(all.tile_attention.extent(1) == 4);
  CHECK(all.cell_attention.shape() == shape<2>{4, 9});
  for (std::size_t k = 0; k < seen.tiles.size(); ++k)
    CHECK(test::relative_error(seen.cell_attention.view().rows(static_cast<std::int64_t>(k), 1),
                               test::elements(all.cell_attention.view().rows(seen.tiles[k], 1))) <= 1e-12);
  net.options.inference = looking::exact;
  CHECK(models::predict(backend, net, weights, image).subtiles.empty());
}

TEST_CASE("zoom_in: a classifier whose width is known at run time -> it predicts") {
  using flat_features = nn::sequential<nn::conv2d_same<3, 2, 3>, nn::flatten>;
  using of_run = models::zoom_in<tile_attention<nn::tanh>, cell_attention<nn::tanh>, flat_features,
                                 nn::sequential<nn::relu, nn::linear<dynamic_extent, 2>>>;
  of_run given;
  std::get<1>(given.classifier.layers).in = {40};
  const auto open = small(given);
  const auto pixels = picture(20, 13);
  const sampling::planar_image<double> image{pixels.view()};
  CHECK(open.output_shape(image) == shape<2>{1, 2});
  cpu backend{.threads = 2};
  const auto weights = initial_parameters<double>(open, {.seed = 5});
  const auto said = models::predict(backend, open, weights, image);
  CHECK(said.logits.shape() == shape<2>{1, 2});
}
