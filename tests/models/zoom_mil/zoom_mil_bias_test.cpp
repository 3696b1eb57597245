// labels: unsanitized
#include <doctest/doctest.h>

#include <milkit/loss/cross_entropy.hpp>
#include <milkit/models/zoom_mil/zoom_mil.hpp>
#include <milkit/nn/activation.hpp>
#include <milkit/nn/linear.hpp>
#include <milkit/nn/sequential.hpp>
#include <milkit/ops/bags/gate_cpu.hpp>
#include <milkit/ops/bags/segment_pool_cpu.hpp>
#include <milkit/ops/products/linear_cpu.hpp>
#include <milkit/ops/rows/activation_cpu.hpp>
#include <milkit/ops/rows/dropout_cpu.hpp>
#include <milkit/ops/rows/fill_cpu.hpp>
#include <milkit/ops/rows/softmax_cpu.hpp>
#include <milkit/ops/selection/zoom_cpu.hpp>
#include <milkit/ops/training/cross_entropy_cpu.hpp>
#include <milkit/pooling/dual_gated_attention.hpp>
#include <milkit/pooling/gated_attention.hpp>

#include <support/chance.hpp>
#include <support/topk_check.hpp>

// What a training step of ZoomMIL estimates. The loss L is no linear function of the selections T, so that the mean loss
// of S draws is not the loss of their law: a step estimates the gradient of L(E T), every selection replaced by its law
// (docs/papers/zoommil.md 2.4), given the law of the selection below. Given its upstream gradient G the estimate of eq.
// 5 has no bias; G itself is taken at the drawn T, whose error of order 1 / sqrt(S) leaves a bias of order 1 / S in the
// network's gradient, and a standard error of order 1 / sqrt(S). Here L(E T) is exact, by quadrature over every subset,
// and its gradient by central differences.

using namespace milkit;
using topk::jacobian;

namespace {

/// The law of a perturbed top-K in place of its draws.
struct expected {
  static constexpr bool differentiable = false;
  std::int64_t k = 1;
  double sigma = 0.1;

  template <class Backend, class Scores>
  auto select(Backend& backend, Scores scores, const pass&) const {
    const std::int64_t n = scores.extent(0);
    const auto law = reference::expected_topk(test::elements(scores), sigma, static_cast<std::size_t>(k));
    const auto selected = topk::detail::allocate_selection<Scores>(backend.kept_memory(), n, k, n);
    for (std::int64_t row = 0; row <= k; ++row) selected.offsets(row) = row * n;
    for (std::int64_t i = 0; i < k * n; ++i) {
      selected.columns(i) = static_cast<std::int32_t>(i % n);
      selected.weights(i) = law.values[static_cast<std::size_t>(i)];
    }
    return selected;
  }
};

using projection = nn::sequential<nn::linear<3, 3>, nn::tanh>;
template <class Zoom>
using low = models::zoom_level<projection, pooling::dual_gated_attention<3, 2>, Zoom>;
using high = models::zoom_level<projection, pooling::gated_attention<3, 2>>;
template <class Zoom>
using two_levels = models::zoom_mil<nn::linear<3, 2>, low<Zoom>, high>;
template <class Zoom>
using three_levels = models::zoom_mil<nn::linear<3, 2>, low<Zoom>, low<Zoom>, high>;

/// A slide of `instances` at the lowest magnification, two children each, and one network's weights, far enough from 0
/// that the attention is not even and the choice of the rows matters.
template <template <class> class Network>
struct problem {
  static constexpr std::size_t levels = Network<expected>::levels;
  std::int64_t instances, k;
  double sigma;
  std::array<tensor<double, 2>, levels> features;
  parameters<Network<expected>, double> weights;

  problem(std::int64_t instances_, std::int64_t k_, double sigma_) : instances(instances_), k(k_), sigma(sigma_) {
    for (std::size_t m = 0; m < levels; ++m)
      features[m] = test::normals<double>(shape<2>{instances << m, 3}, 7 + m, 1.5);
    const auto drawn = test::normals<double>(weights.flat().shape(), 12);
    ops::copy_rows(backend, drawn.view(), weights.flat());
  }

  /// The loss; adds its gradient to `gradient`.
  template <class Zoom>
  double step(const Zoom& zoom, vector_view<double> gradient, const pass& how) {
    Network<Zoom> net;
    [&]<std::size_t... M>(std::index_sequence<M...>) { ((std::get<M>(net.magnifications).zoom = zoom), ...); }
    (std::make_index_sequence<levels - 1>());
    pyramid<double, levels> slide;
    for (std::size_t m = 0; m < levels; ++m) slide.features[m] = features[m].view();
    for (std::size_t m = 0; m + 1 < levels; ++m) slide.children[m].width = 2;
    const std::int64_t label = 1;
    return net.train_bags(backend, weights.flat(), slide, vector_view<const std::int64_t>(&label, {1}),
                          loss::cross_entropy{}, 1.0, gradient, how);
  }

  std::vector<double> exact() {
    auto unused = weights.zeros();
    return test::central_differences(
        weights.flat(), [&] { return step(expected{.k = k, .sigma = sigma}, unused.flat(), {.training = true}); });
  }

  /// The mean of `repeats` estimates from `samples` draws each, and the standard deviation of one.
  struct estimate {
    std::vector<double> mean, deviation;
  };
  estimate repeated(std::int64_t samples, int repeats, jacobian how = jacobian::full) {
    const auto size = static_cast<std::size_t>(weights.flat().extent(0));
    estimate made{std::vector<double>(size), std::vector<double>(size)};
    std::vector<std::vector<double>> all;
    for (int r = 0; r < repeats; ++r) {
      auto gradient = weights.zeros();
      step(topk::perturbed{.k = k, .samples = samples, .sigma = sigma, .jacobian = how}, gradient.flat(),
           {.training = true, .random = random_stream(5, static_cast<std::uint64_t>(r), 3)});
      all.push_back(test::elements(gradient.flat()));
      for (std::size_t i = 0; i < size; ++i) made.mean[i] += all.back()[i] / repeats;
    }
    for (const auto& each : all)
      for (std::size_t i = 0; i < size; ++i) made.deviation[i] += std::pow(each[i] - made.mean[i], 2) / (repeats - 1);
    for (double& each : made.deviation) each = std::sqrt(each);
    return made;
  }

 private:
  cpu backend{.threads = 1};
};

double norm(const std::vector<double>& v) {
  double sum = 0;
  for (const double each : v) sum += each * each;
  return std::sqrt(sum);
}
/// The largest error of a mean of `repeats` in what chance explains; central differences are known to 1e-9.
template <class Estimate>
double off(const Estimate& got, int repeats, const std::vector<double>& exact) {
  const double by_chance = test::most_standard_errors(static_cast<double>(exact.size()), repeats) / std::sqrt(repeats);
  double most = 0;
  for (std::size_t i = 0; i < exact.size(); ++i)
    most = (std::max)(most, (std::abs(got.mean[i] - exact[i]) - 1e-9) / (by_chance * got.deviation[i] + 1e-300));
  return most;
}

template <template <class> class Network>
void check_bias(std::int64_t instances, std::int64_t k, double sigma) {
  INFO("N = ", instances, ", K = ", k, ", magnifications: ", problem<Network>::levels);
  problem<Network> given(instances, k, sigma);
  const auto exact = given.exact();
  // Parameters whose only way to the loss is the choice of rows have a gradient worth the name.
  double zoom_gradient = 0;
  for (const auto& entry : given.weights.entries())
    if (entry.name.find("level1.pooler.zoom.") == 0)
      for (std::int64_t i = 0; i < entry.size(); ++i)
        zoom_gradient = (std::max)(zoom_gradient, std::abs(exact[static_cast<std::size_t>(entry.offset + i)]));
  CHECK(zoom_gradient > 1e-3 * norm(exact));

  constexpr int repeats = 40;
  constexpr std::int64_t samples = 40000;  // so many that the bias of order 1 / S is an eighth of the bound
  const auto full = given.repeated(samples, repeats);
  CHECK(off(full, repeats, exact) <= 1);
  CHECK(norm(full.deviation) / std::sqrt(repeats) <= 0.01 * norm(exact));  // the bound is not loose
  CHECK(off(given.repeated(samples / 4, repeats, jacobian::diagonal), repeats, exact) > 3);
  // The check sees a bias where there is one: that of order 1 / S, at two draws.
  constexpr int many = 4000;
  CHECK(off(given.repeated(2, many), many, exact) > 3);
}

}  // namespace

TEST_CASE("zoom_mil: the law that the exact gradient rests on is the normal law of two, and a law") {
  for (const double difference : {-0.4, 0.0, 0.07, 0.9}) {
    const double want = std::erfc(-difference / 0.3 / 2) / 2;  // Z1 - Z0 is normal, of variance 2
    CHECK(std::abs(reference::expected_topk({0.1 + difference, 0.1}, 0.3, 1)(0, 0) - want) <= 1e-12);
  }
  const auto law = reference::expected_topk({0.1, 0.4, 0.2, 0.3}, 0.1, 2);
  for (std::size_t row = 0; row < 2; ++row)
    CHECK(std::abs(law(row, 0) + law(row, 1) + law(row, 2) + law(row, 3) - 1) <= 1e-12);
}

TEST_CASE("zoom_mil: the network's gradient has no bias against exact enumeration at 10^6 draws, the diagonal's has") {
  check_bias<two_levels>(2, 1, 0.3);
  check_bias<two_levels>(4, 2, 0.1);
  check_bias<three_levels>(3, 1, 0.2);
  check_bias<three_levels>(4, 2, 0.1);
}
