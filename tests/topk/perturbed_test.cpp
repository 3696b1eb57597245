#include <doctest/doctest.h>

#include <support/chance.hpp>
#include <support/floats.hpp>
#include <support/topk_check.hpp>

using namespace milkit;
using test::relative_error, test::run_topk;
using topk::jacobian;

namespace {

template <class T>
using from_table = topk::basic_perturbed<topk::noise_of_table<T>>;

/// The noise that a perturbed top-K draws, one row a draw.
reference::matrix drawn(const random_stream& stream, std::int64_t samples, std::int64_t n) {
  auto z = reference::zeros(static_cast<std::size_t>(samples), static_cast<std::size_t>(n));
  for (std::int64_t s = 0; s < samples; ++s)
    for (std::int64_t i = 0; i < n; ++i)
      z(static_cast<std::size_t>(s), static_cast<std::size_t>(i)) =
          0x1p-28 *
          normal_fixed(normal_quantiles(),
                       stream.bits(static_cast<std::uint64_t>(i / 4), static_cast<std::uint64_t>(s)).word[i % 4]);
  return z;
}

std::vector<double> attention(std::int64_t n, std::uint64_t seed, double spread = 1) {
  auto a = test::elements(test::normals<double>(shape<1>{n}, seed, spread));
  double mass = 0;
  for (double& each : a) mass += each = std::exp(each);
  for (double& each : a) each /= mass;
  return a;
}

reference::matrix upstream(std::size_t k, std::size_t n, std::uint64_t seed) {
  return test::matrix_of(
      test::normals<double>(shape<2>{static_cast<std::int64_t>(k), static_cast<std::int64_t>(n)}, seed));
}

constexpr pass training{.training = true, .random = random_stream(3, 14, 15)};

double norm(const std::vector<double>& v) {
  double sum = 0;
  for (const double each : v) sum += each * each;
  return std::sqrt(sum);
}
std::vector<double> minus(std::vector<double> a, const std::vector<double>& b) {
  for (std::size_t i = 0; i < a.size(); ++i) a[i] -= b[i];
  return a;
}

}  // namespace

TEST_CASE("perturbed agrees with the oracle at odd sizes, in all three estimates") {
  struct sizes {
    std::int64_t n, k, samples;
  };
  for (const sizes& each : {sizes{2, 1, 2},
                            {3, 2, 5},
                            {31, 5, 9},
                            {33, 32, 17},
                            {257, 1, 8},
                            {257, 100, 3},
                            {1000, 300, 20},
                            {1023, 12, 101},
                            {5000, 37, 24},
                            {20001, 300, 9}}) {
    const std::int64_t n = each.n, k = each.k, samples = each.samples;
    CAPTURE(n);
    const auto scores = attention(n, 5, 0.3);
    const auto g = upstream(static_cast<std::size_t>(k), static_cast<std::size_t>(n), 6);
    topk::perturbed op{.k = k, .samples = samples, .sigma = 2, .relative = true};
    const double sigma = 2.0 / static_cast<double>(n);
    const reference::perturbed_topk want(scores, drawn(training.random, samples, n), sigma,
                                         static_cast<std::size_t>(k));
    const auto got = run_topk(op, scores, g, training);
    CHECK(got.selected == want.selected);
    CHECK(got.indicator.values == want.indicator().values);
    CHECK(relative_error(got.dscores, want.full(g, true)) <= 1e-12);
    op.jacobian = jacobian::full_without_baseline;
    CHECK(relative_error(run_topk(op, scores, g, training).dscores, want.full(g, false)) <= 1e-12);
    op.jacobian = jacobian::diagonal;
    CHECK(relative_error(run_topk(op, scores, g, training).dscores, want.diagonal(g)) <= 1e-12);
  }
}

TEST_CASE("perturbed in float selects as the stated arithmetic says") {
  const std::int64_t n = 1000, samples = 40;
  const auto scores = test::rounded<float>(attention(n, 8));
  topk::perturbed op{.k = 50, .samples = samples};
  const auto got = run_topk(op, scores, upstream(50, 1000, 6), training);
  const auto z = drawn(training.random, samples, n);
  for (std::size_t s = 0; s < static_cast<std::size_t>(samples); ++s) {
    reference::numbers perturbed;
    for (std::size_t i = 0; i < scores.size(); ++i) {
      volatile const float quotient = scores[i] / 0.002f, noise = static_cast<float>(z(s, i));
      perturbed.push_back(static_cast<double>(quotient + noise));
    }
    CHECK(got.selected[s] == reference::top_k(perturbed, 50));
  }
}

TEST_CASE_TEMPLATE("perturbed agrees with the golden tensors", T, MILKIT_FLOATS) {
  for (const std::string name : {"", "_paper", "_wide", "_large", "_k1", "_pair", "_all_but_one", "_k_equals_n",
                                 "_k_exceeds_n", "_one_instance", "_two_draws", "_one_draw", "_ties"}) {
    CAPTURE(name);
    const test::golden_case golden("topk_perturbed" + name);
    const auto scores = test::rounded<T>(golden.file().read<double>("scores").values);
    const auto noise = golden.get<T, 2>("noise");
    const auto g = test::matrix_of(golden.get<double, 2>("grad_output"));
    from_table<T> op{.k = golden.option<std::int64_t>("k"),
                     .samples = noise.rows(),
                     .sigma = golden.option<double>("sigma"),
                     .noise = {{noise.view()}}};
    for (const auto& [estimate, tensor] : {std::pair{jacobian::full, "grad.scores"},
                                           {jacobian::full_without_baseline, "grad_plain.scores"},
                                           {jacobian::diagonal, "grad_diagonal.scores"}}) {
      if (!golden.has(tensor)) continue;
      op.jacobian = estimate;
      const auto got = run_topk(op, scores, g);
      CHECK(golden.error("indicator", got.indicator.values) <= test::tolerance_of<T>(1e-10, 1e-5));
      std::vector<double> counts = got.indicator.values, selected;
      for (double& each : counts) each = std::round(each * static_cast<double>(noise.rows()));
      CHECK(golden.equal("counts", counts));
      for (const auto& draw : got.selected) selected.insert(selected.end(), draw.begin(), draw.end());
      if (!got.selected.empty()) CHECK(golden.equal("selected", selected));
      CHECK(golden.error(tensor, got.dscores) <= test::tolerance_of<T>(1e-10, 1e-5));
    }
  }
}

TEST_CASE_TEMPLATE("perturbed of a softmax agrees with the golden tensors", T, MILKIT_FLOATS) {
  const test::golden_case golden("topk_perturbed_softmax");
  const auto a = golden.file().read<double>("scores").values;
  const auto noise = golden.get<T, 2>("noise");
  from_table<T> op{.k = golden.option<std::int64_t>("k"),
                   .samples = noise.rows(),
                   .sigma = golden.option<double>("sigma"),
                   .noise = {{noise.view()}}};
  for (const auto& [estimate, tensor] : {std::pair{jacobian::full, "grad.logits"},
                                         {jacobian::full_without_baseline, "grad_plain.logits"},
                                         {jacobian::diagonal, "grad_diagonal.logits"}}) {
    op.jacobian = estimate;
    const auto got = run_topk(op, test::rounded<T>(a), test::matrix_of(golden.get<double, 2>("grad_output")));
    CHECK(golden.error("indicator", got.indicator.values) <= test::tolerance_of<T>(1e-10, 1e-5));
    double dot = 0;
    for (std::size_t i = 0; i < a.size(); ++i) dot += a[i] * static_cast<double>(got.dscores[i]);
    std::vector<double> dlogits;
    for (std::size_t i = 0; i < a.size(); ++i) dlogits.push_back(a[i] * (static_cast<double>(got.dscores[i]) - dot));
    CHECK(golden.error(tensor, dlogits) <= test::tolerance_of<T>(1e-10, 1e-5));
  }
}

namespace {

/// Mean of `repeats` estimates from `samples` draws each, its standard error, and the root of the mean square error of
/// one.
struct estimate {
  std::vector<double> mean, error;
  double noise = 0;
  int repeats = 0;

  /// The largest error in what chance explains.
  double off(const std::vector<double>& exact) const {
    const double by_chance = test::most_standard_errors(static_cast<double>(exact.size()), repeats);
    double most = 0;
    for (std::size_t i = 0; i < exact.size(); ++i)
      most = std::max(most, (std::abs(mean[i] - exact[i]) - 1e-9 * norm(exact)) / (by_chance * error[i] + 1e-300));
    return most;
  }
};
estimate repeated(topk::perturbed op, const std::vector<double>& scores, const reference::matrix& g, int repeats,
                  const std::vector<double>& exact) {
  estimate e{std::vector<double>(scores.size(), 0.0), std::vector<double>(scores.size(), 0.0), 0, repeats};
  std::vector<double> squares(scores.size(), 0.0);
  for (int r = 0; r < repeats; ++r) {
    const pass each{.training = true, .random = random_stream(1, static_cast<std::uint64_t>(r), 2)};
    const auto got = run_topk(op, scores, g, each, 1).dscores;
    for (std::size_t i = 0; i < got.size(); ++i) e.mean[i] += got[i] / repeats, squares[i] += got[i] * got[i] / repeats;
    e.noise += std::pow(norm(minus(got, exact)) / norm(exact), 2) / repeats;
  }
  for (std::size_t i = 0; i < scores.size(); ++i)
    e.error[i] = std::sqrt(std::max(0.0, squares[i] - e.mean[i] * e.mean[i]) / (repeats - 1));
  e.noise = std::sqrt(e.noise);
  return e;
}

}  // namespace

TEST_CASE("perturbed: the full estimates have no bias against exact enumeration, the diagonal has; the baseline helps" *
          doctest::test_suite("unsanitized")) {
  struct setting {
    std::int64_t n, k;
    double sigma;
  };
  for (const setting& each : {setting{2, 1, 0.3}, {6, 2, 0.1}, {8, 3, 0.05}}) {
    const auto [n, k, sigma] = each;
    INFO("N = ", each.n);
    auto scores = attention(n, 21);
    const auto g = upstream(static_cast<std::size_t>(k), static_cast<std::size_t>(n), 22);
    const auto exact = test::central_differences(vector_view<double>(scores.data(), {n}), [&, k = k, sigma = sigma] {
      return test::inner(reference::expected_topk(scores, sigma, static_cast<std::size_t>(k)).values, g.values);
    });
    topk::perturbed op{.k = k, .samples = 250, .sigma = sigma};
    constexpr int repeats = 1000;
    const auto full = repeated(op, scores, g, repeats, exact);
    op.jacobian = jacobian::full_without_baseline;
    const auto plain = repeated(op, scores, g, repeats, exact);
    op.jacobian = jacobian::diagonal;
    const auto diagonal = repeated(op, scores, g, repeats, exact);
    CHECK(full.off(exact) <= 1);
    CHECK(plain.off(exact) <= 1);
    CHECK(diagonal.off(exact) > 3);
    CHECK(full.noise < plain.noise);
    CHECK(norm(full.error) < 0.05 * norm(exact));  // the bound is not loose
  }
}

TEST_CASE("perturbed: the mean of many draws is the golden law, and the estimates its golden gradients" *
          doctest::test_suite("unsanitized")) {
  for (const std::string name : {"topk_expected", "topk_expected_pair", "topk_expected_k1"}) {
    CAPTURE(name);
    const test::golden_case golden(name);
    const auto scores = golden.file().read<double>("scores").values;
    const auto g = test::matrix_of(golden.get<double, 2>("grad_output"));
    const auto law = golden.file().read<double>("indicator").values;
    const double sigma = golden.option<double>("sigma");
    const auto k = golden.option<std::int64_t>("k");
    CHECK(relative_error(reference::expected_topk(scores, sigma, static_cast<std::size_t>(k)).values, law) <= 1e-9);
    constexpr std::int64_t many = 200000;
    topk::perturbed op{.k = k, .samples = many, .sigma = sigma};
    const auto got = run_topk(op, scores, g, training);
    for (std::size_t i = 0; i < law.size(); ++i) {
      const double p = std::clamp(law[i], 0.0, 1.0);
      CHECK(std::abs(got.indicator.values[i] - p) <=
            test::most_error(many, p * (1 - p), 1, static_cast<double>(law.size())) + 1e-9);
    }
    op.samples = 200;
    const auto exact = golden.file().read<double>("grad.scores").values;
    CHECK(repeated(op, scores, g, 1000, exact).off(exact) <= 1);
    op.jacobian = jacobian::full_without_baseline;
    CHECK(repeated(op, scores, g, 1000, exact).off(exact) <= 1);
    op.jacobian = jacobian::diagonal;
    const auto biased = golden.file().read<double>("grad_diagonal.scores").values;
    CHECK(repeated(op, scores, g, 1000, biased).off(biased) <= 1);
  }
}

TEST_CASE_TEMPLATE("perturbed: rows of T sum to 1, K >= N is the identity without gradient, no noise is hard", T, float,
                   double) {
  for (const std::int64_t n : {1, 2, 33, 300})
    for (const std::int64_t k : {std::int64_t{1}, n / 2 + 1, n, n + 3}) {
      const auto scores = test::rounded<T>(attention(n, 2));
      const std::size_t rows = static_cast<std::size_t>(k < n ? k : n), cols = static_cast<std::size_t>(n);
      for (const auto estimate : {jacobian::full, jacobian::full_without_baseline, jacobian::diagonal}) {
        topk::perturbed op{.k = k, .sigma = 1, .relative = true, .jacobian = estimate};
        const auto got = run_topk(op, scores, upstream(rows, cols, 4), training);
        for (std::size_t row = 0; row < rows; ++row) {
          double sum = 0;
          for (std::size_t j = 0; j < cols; ++j) sum += got.indicator(row, j);
          CHECK(test::close(sum, 1, {test::tolerance_of<T>(1e-14, 1e-6)}));
        }
        if (k < n) continue;
        auto identity = reference::zeros(cols, cols);
        for (std::size_t i = 0; i < cols; ++i) identity(i, i) = 1;
        CHECK(got.indicator.values == identity.values);
        CHECK(test::elements(got.dscores) == std::vector<double>(cols, 0.0));
        CHECK(got.selected.empty());
      }
      topk::perturbed op{.k = k, .sigma = 1e-30};
      const auto hard = run_topk(topk::hard{k}, scores, upstream(rows, cols, 4));
      CHECK(run_topk(op, scores, upstream(rows, cols, 4), training).indicator.values == hard.indicator.values);
      op.sigma = 1;
      CHECK(run_topk(op, scores, upstream(rows, cols, 4), {.random = training.random}).indicator.values ==
            hard.indicator.values);
    }
}

TEST_CASE("perturbed: a gradient that is the same along each row of T moves nothing") {
  const std::int64_t n = 200, k = 20;
  auto g = upstream(20, 200, 4);
  for (std::size_t row = 0; row < 20; ++row)
    for (std::size_t j = 1; j < 200; ++j) g(row, j) = g(row, 0);
  const auto got = run_topk(topk::perturbed{.k = k}, attention(n, 2), g, training);
  for (const double each : got.dscores) CHECK(each == 0);
}

TEST_CASE_TEMPLATE("perturbed: the same bits at any thread count, in any memory", T, MILKIT_FLOATS) {
  const std::int64_t n = 3001, k = 100;
  const auto scores = test::rounded<T>(attention(n, 2));
  const auto g = upstream(100, 3001, 4);
  for (const auto estimate : {jacobian::full, jacobian::full_without_baseline, jacobian::diagonal}) {
    const topk::perturbed op{.k = k, .samples = 37, .jacobian = estimate};
    const auto one = run_topk(op, scores, g, training, 1);
    for (const int threads : {2, 3, 8}) {
      const auto many = run_topk(op, scores, g, training, threads);
      CHECK(many.selected == one.selected);
      CHECK(test::same_bits(many.indicator.values, one.indicator.values));
      CHECK(test::same_bits(many.dscores, one.dscores));
    }
  }
  std::vector<T> apart(scores.size() * 3);
  for (std::size_t i = 0; i < scores.size(); ++i) apart[3 * i] = scores[i];
  cpu backend{.threads = 2};
  const topk::perturbed op{.k = k, .samples = 37};
  const auto want = run_topk(op, scores, g, training);
  const auto selected = op.select(backend, vector_view<const T>(apart.data(), {n}, 3), training);
  CHECK(test::dense(selected).values == want.indicator.values);
  const auto dweights = test::at_nonzeros(selected, g);
  op.select_backward(backend, vector_view<const T>(apart.data(), {n}, 3), selected, test::vector_of(dweights),
                     vector_view<T>(apart.data() + 1, {n}, 3), training);
  CHECK(test::same_bits(test::elements(vector_view<T>(apart.data() + 1, {n}, 3)), want.dscores));
}

TEST_CASE("perturbed: one seed one selection; another step, seed or block another") {
  const auto scores = attention(100, 2);
  const auto g = upstream(10, 100, 4);
  const topk::perturbed op{.k = 10, .sigma = 0.01};
  const auto with = [&](random_stream stream) { return run_topk(op, scores, g, {true, stream}).selected; };
  CHECK(with(random_stream(1, 2, 3)) == with(random_stream(1, 2, 3)));
  CHECK(with(random_stream(1, 2, 3)) != with(random_stream(2, 2, 3)));
  CHECK(with(random_stream(1, 2, 3)) != with(random_stream(1, 3, 3)));
  CHECK(with(random_stream(1, 2, 3)) != with(random_stream(1, 2, 4)));
}

TEST_CASE("perturbed: no allocation after the first step, and memory far below S K N and K N") {
  const std::int64_t n = 10000, k = 300;
  const auto scores = test::rounded<float>(attention(n, 2));
  std::vector<float> dscores(scores.size());
  cpu backend{.threads = 2};
  cpu plan = backend.planner();
  std::size_t reserved = 0;
  const topk::perturbed op{.k = k};
  std::vector<float> dweights(300 * 100, 1.0f);
  const auto step = [&](cpu& b) {
    const auto scope = b.workspace.scope();
    const auto selected = op.select(b, test::vector_of(scores), training);
    op.select_backward(b, test::vector_of(scores), selected, test::vector_of(dweights),
                       vector_view<float>(dscores.data(), {n}), training);
  };
  for (int i = 0; i < 4; ++i) {
    step(backend);
    if (i == 1) reserved = backend.workspace.reserved_bytes();
    if (i > 1) CHECK(backend.workspace.reserved_bytes() == reserved);
  }
  step(plan);
  CHECK(plan.peak_bytes() == backend.peak_bytes());
  CHECK(backend.peak_bytes() <= std::size_t{1} << 20);
}

TEST_CASE_TEMPLATE("perturbed: NaN, infinities and equal scores", T, MILKIT_FLOATS) {
  constexpr T infinity = std::numeric_limits<T>::infinity(), nan = std::numeric_limits<T>::quiet_NaN();
  std::vector<T> scores(40, T(0.25));
  const auto g = upstream(4, 40, 4);
  const topk::perturbed op{.k = 4, .samples = 50, .sigma = 0.1};
  auto got = run_topk(op, scores, g, training);  // equal scores: the noise alone decides
  const auto z = drawn(training.random, 50, 40);
  for (std::size_t s = 0; s < 50; ++s)
    CHECK(got.selected[s] == reference::top_k({z.values.begin() + static_cast<std::ptrdiff_t>(s) * 40,
                                               z.values.begin() + static_cast<std::ptrdiff_t>(s + 1) * 40},
                                              4));
  scores[7] = infinity;
  scores[30] = nan;
  scores[31] = -nan;
  scores[32] = -infinity;
  got = run_topk(op, scores, g, training);
  for (const auto& draw : got.selected) {
    for (const std::int64_t n : {7, 30, 31}) CHECK(std::count(draw.begin(), draw.end(), n) == 1);
    CHECK(std::count(draw.begin(), draw.end(), 32) == 0);
  }
  for (const T each : got.dscores) CHECK(std::isfinite(each));
  got = run_topk(op, std::vector<T>(40, nan), g, training);
  for (const auto& draw : got.selected) CHECK(draw == reference::indices{0, 1, 2, 3});
  got = run_topk(op, std::vector<T>(40, -infinity), g, training);
  for (const auto& draw : got.selected) CHECK(draw == reference::indices{0, 1, 2, 3});
}

TEST_CASE("perturbed refuses what it is not defined for") {
  const auto refuse = [](topk::perturbed op, std::int64_t n, const std::string& text) {
    CHECK_THROWS_WITH_AS(run_topk(op, std::vector<float>(static_cast<std::size_t>(n)), upstream(9, 9, 1), training),
                         text.c_str(), value_error);
  };
  constexpr auto sigma = ", expected a positive number; without noise it is the hard top-K";
  constexpr double infinity = std::numeric_limits<double>::infinity(), nan = std::numeric_limits<double>::quiet_NaN();
  const auto name = [](const char* what) { return std::string("milkit::topk::perturbed: ") + what; };
  refuse({.k = 0}, 5, name("k is 0, expected at least 1"));
  refuse({.k = -1}, 5, name("k is -1, expected at least 1"));
  refuse({.k = 3}, 0, name("the bag has no instances, expected at least 1"));
  refuse({.k = 3, .sigma = 0}, 5, name("sigma is 0") + sigma);
  refuse({.k = 3, .sigma = -0.1}, 5, name("sigma is -0.1") + sigma);
  refuse({.k = 3, .sigma = nan}, 5, name("sigma is nan") + sigma);
  refuse({.k = 3, .sigma = infinity}, 5, name("sigma is inf") + sigma);
  refuse({.k = 3, .sigma = 1e-60}, 5, std::string("milkit::ops::perturbed_topk: sigma is 0") + sigma);
  refuse({.k = 3, .samples = 1}, 5,
         name("samples is 1, expected at least 2: the baseline of a draw is the mean of the others"));
  refuse({.k = 3, .samples = 0, .jacobian = jacobian::diagonal}, 5, name("samples is 0, expected at least 1"));
}
