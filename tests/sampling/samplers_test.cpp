#include <doctest/doctest.h>

#include <set>

#include <milkit/ops/rows/fill_cpu.hpp>
#include <milkit/ops/rows/softmax_cpu.hpp>
#include <milkit/ops/selection/draws_cpu.hpp>
#include <milkit/sampling/counts.hpp>
#include <milkit/sampling/exact.hpp>
#include <milkit/sampling/top_n.hpp>
#include <milkit/sampling/uniform.hpp>
#include <milkit/sampling/with_replacement.hpp>
#include <milkit/sampling/without_replacement.hpp>

#include <support/floats.hpp>
#include <support/golden.hpp>
#include <support/gradient_check.hpp>
#include <support/on_backend.hpp>

// What holds of every sampler, and what becomes of awkward distributions and of wrong arguments.

using namespace milkit;
using sampling::drawing;

namespace {

constexpr random_stream noise(1, 2, 3);

template <class T>
tensor<T, 2> probabilities(std::int64_t rows, std::int64_t items, double scale = 1) {
  tensor<T, 2> p({rows, items});
  cpu backend;
  const auto logits = test::normals<T>(p.shape(), 5, scale);
  ops::softmax(backend, logits.view(), p.view(), vector_view<T>());
  return p;
}
template <class T>
tensor<T, 2> row_of(const std::vector<double>& values) {
  tensor<T, 2> p({1, static_cast<std::int64_t>(values.size())});
  for (std::size_t i = 0; i < values.size(); ++i) p.data()[i] = static_cast<T>(values[i]);
  return p;
}
vector_view<const std::int64_t> list_of(const std::vector<std::int64_t>& v) {
  return {v.data(), {static_cast<std::int64_t>(v.size())}};
}

/// What was drawn, kept: items, counts and weights of each row.
struct row_drawn {
  std::vector<double> items, counts, weights;
  friend bool operator==(const row_drawn&, const row_drawn&) = default;
};
template <class Sampler, class T>
std::vector<row_drawn> draw(cpu& backend, const Sampler& by, const sampling::distributions<T>& of,
                            const std::vector<std::int64_t>& draws, drawing how = drawing::random) {
  const auto scope = backend.workspace.scope();
  const auto made = by.draw(backend, of, list_of(draws), how, noise);
  std::vector<row_drawn> all;
  for (std::int64_t s = 0; s < of.count(); ++s) {
    row_drawn own;
    for (std::int64_t k = made.offsets(s); k < made.offsets(s + 1); ++k) {
      own.items.push_back(made.items(k));
      own.counts.push_back(static_cast<double>(made.counts(k)));
      own.weights.push_back(static_cast<double>(made.weights(k)));
    }
    all.push_back(own);
  }
  return all;
}
template <class Sampler, class T>
row_drawn draw_one(const Sampler& by, const tensor<T, 2>& p, std::int64_t n, drawing how = drawing::random) {
  cpu backend;
  return draw(backend, by, sampling::distributions<T>{p.view()}, {n}, how)[0];
}
double sum(const std::vector<double>& all) {
  double total = 0;
  for (const double each : all) total += each;
  return total;
}

}  // namespace

TEST_CASE_TEMPLATE("sampling: any thread count, a row alone or not -> the same draws", T, float, double) {
  const std::int64_t rows = 7, items = 5000;  // more than a chunk of ring times
  const auto p = probabilities<T>(rows, items, 2);
  const std::vector<std::int64_t> draws{1, 2, 30, 4, 100, 6, 7};
  const auto check = [&](const auto& by) {
    cpu one{.threads = 1};
    const auto want = draw(one, by, sampling::distributions<T>{p.view()}, draws);
    test::in_every_way([&](cpu& backend) {
      CHECK(draw(backend, by, sampling::distributions<T>{p.view()}, draws) == want);
      for (const std::int64_t s : {0, 3, 4, 6}) {
        const std::vector<std::int64_t> which{s};
        const auto n = draws[static_cast<std::size_t>(s)];
        const auto own = want[static_cast<std::size_t>(s)];
        CHECK(draw(backend, by, sampling::distributions<T>{p.view(), list_of(which), list_of(which)}, {n})[0] == own);
        const sampling::distributions<T> alone{p.view().rows(s, 1), {}, list_of(which)};
        CHECK(draw(backend, by, alone, {n})[0] == own);
      }
    });
  };
  check(sampling::without_replacement{});
  check(sampling::with_replacement{});
  check(sampling::stratified{});
  check(sampling::uniform{});
  check(sampling::top_n{});
}

TEST_CASE("sampling: float and double of the same values draw the same") {
  const auto p = probabilities<float>(3, 700, 2);
  tensor<double, 2> wide(p.shape());
  std::copy_n(p.data(), p.size(), wide.data());
  const auto check = [&](const auto& by) {
    for (const auto how : {drawing::random, drawing::most_likely}) {
      cpu backend;
      const auto a = draw(backend, by, sampling::distributions<float>{p.view()}, {5, 40, 200}, how);
      const auto b = draw(backend, by, sampling::distributions<double>{wide.view()}, {5, 40, 200}, how);
      for (std::size_t s = 0; s < 3; ++s) {
        CHECK(a[s].items == b[s].items);
        CHECK(a[s].counts == b[s].counts);
        CHECK(test::relative_error(a[s].weights, b[s].weights) <= 1e-7);
      }
    }
  };
  check(sampling::without_replacement{});
  check(sampling::without_replacement{.law = ops::draw_law::exp_p});
  check(sampling::with_replacement{});
  check(sampling::stratified{});
  check(sampling::uniform{});
}

TEST_CASE_TEMPLATE("sampling: most likely and uniform draws -> their documented weights", T, MILKIT_FLOATS) {
  const auto p = row_of<T>({0.1, 0.4, 0.05, 0.25, 0.2});
  const auto top = draw_one(sampling::top_n{}, p, 2);
  CHECK(top.items == std::vector<double>{1, 3});
  CHECK(test::relative_error(top.weights, std::vector<double>{0.4 / 0.65, 0.25 / 0.65}) <= 1e-7);
  CHECK(draw_one(sampling::without_replacement{}, p, 3, drawing::most_likely).items == std::vector<double>{1, 3, 4});
  CHECK(draw_one(sampling::with_replacement{}, p, 20, drawing::most_likely).counts ==
        std::vector<double>{2, 8, 1, 5, 4});
  CHECK(draw_one(sampling::uniform{}, p, 4).weights == std::vector<double>(4, 0.25));
  const auto all = draw_one(sampling::exact{}, p, 1);
  CHECK(all.items == std::vector<double>{1, 3, 4, 0, 2});
  for (std::size_t k = 0; k < 5; ++k) CHECK(all.weights[k] == p.data()[static_cast<std::int64_t>(all.items[k])]);
}

TEST_CASE_TEMPLATE("sampling: probability 0 -> drawn only when nothing else is left", T, MILKIT_FLOATS) {
  const auto p = row_of<T>({0, 0.5, 0, 0.25, 0.25, 0});
  for (const std::int64_t n : {1, 2, 3})
    for (const double item : draw_one(sampling::without_replacement{}, p, n).items)
      CHECK((item == 1 || item == 3 || item == 4));
  const auto five = draw_one(sampling::without_replacement{}, p, 5);
  CHECK(std::vector(five.items.begin() + 3, five.items.end()) == std::vector<double>{0, 2});
  CHECK(std::vector(five.weights.begin() + 3, five.weights.end()) == std::vector<double>{0, 0});
  CHECK(std::abs(sum(five.weights) - 1) <= 1e-7);
  for (const double item : draw_one(sampling::with_replacement{}, p, 1000).items)
    CHECK((item == 1 || item == 3 || item == 4));
  for (const double item : draw_one(sampling::stratified{}, p, 1000).items)
    CHECK((item == 1 || item == 3 || item == 4));
  const auto certain = row_of<T>({0, 0, 1});
  CHECK(draw_one(sampling::with_replacement{}, certain, 9).counts == std::vector<double>{9});
  CHECK(draw_one(sampling::without_replacement{}, certain, 2).items == std::vector<double>{2, 0});
}

TEST_CASE_TEMPLATE("sampling: one item, one draw, no rows, no draws -> documented outcomes", T, MILKIT_FLOATS) {
  const auto alone = row_of<T>({1});
  const auto check = [&](const auto& by) {
    const auto made = draw_one(by, alone, 1);
    CHECK(made.items == std::vector<double>{0});
    CHECK(made.weights == std::vector<double>{1});
    cpu backend;
    CHECK(draw(backend, by, sampling::distributions<T>{matrix_view<const T>(alone.data(), {0, 1})}, {}).empty());
  };
  check(sampling::without_replacement{});
  check(sampling::with_replacement{});
  check(sampling::stratified{});
  check(sampling::uniform{});
  check(sampling::top_n{});
  check(sampling::exact{});
  CHECK(draw_one(sampling::without_replacement{}, row_of<T>({0.3, 0.7}), 1).weights == std::vector<double>{1});
  CHECK(draw_one(sampling::without_replacement{}, row_of<T>({0.3, 0.7}), 0).items.empty());
  CHECK(draw_one(sampling::with_replacement{}, alone, 5).counts == std::vector<double>{5});
}

TEST_CASE_TEMPLATE("sampling: NaN gives valid draws and the weight NaN", T, MILKIT_FLOATS) {
  const auto p = row_of<T>({0.3, 0.2, NAN, 0.5, NAN});
  for (const auto how : {drawing::random, drawing::most_likely}) {
    const auto made = draw_one(sampling::without_replacement{}, p, 4, how);
    CHECK(made.items[0] == 2);
    CHECK(made.items[1] == 4);
    CHECK(std::set<double>(made.items.begin(), made.items.end()).size() == 4);
    for (const double each : made.weights) CHECK(std::isnan(each));
    const auto counted = draw_one(sampling::with_replacement{}, p, 4, how);
    CHECK(counted.items == std::vector<double>{2});
    CHECK(counted.counts == std::vector<double>{4});
    CHECK(std::isnan(counted.weights[0]));
  }
  for (const double each : draw_one(sampling::without_replacement{ops::draw_estimator::ordered}, p, 2).weights)
    CHECK(std::isnan(each));
}

TEST_CASE("sampling: no distribution -> refused with a sentence") {
  const auto refused = [](const auto& by, const std::vector<double>& p, std::int64_t n, const char* text) {
    CHECK_THROWS_WITH_AS(draw_one(by, row_of<double>(p), n), doctest::Contains(text), value_error);
  };
  const std::vector<double> good{0.5, 0.5}, negative{1.5, -0.5}, heavy{0.5, 0.75};
  refused(sampling::without_replacement{}, negative, 1, "a probability is -0.5, expected 0 or more");
  refused(sampling::with_replacement{}, negative, 1, "a probability is -0.5, expected 0 or more");
  refused(sampling::without_replacement{}, heavy, 1, "the probabilities sum to 1.25, expected 1");
  refused(sampling::stratified{}, heavy, 1, "the probabilities sum to 1.25, expected 1");
  refused(sampling::with_replacement{}, {0, 0}, 1, "the probabilities sum to 0, expected 1");
  refused(sampling::without_replacement{}, good, 3, "3 draws without replacement from 2 items");
  refused(sampling::without_replacement{}, good, -1, "-1 draws without replacement from 2 items");
  refused(sampling::uniform{}, good, 3, "expected at most as many as there are (sampling::clamp_draws)");
  refused(sampling::with_replacement{}, good, 0, "n is 0, expected at least 1");
  refused(sampling::without_replacement{ops::draw_estimator::unordered, true}, good, 1, "all weight on the last draw");
  refused(sampling::with_replacement{}, {}, 1, "there are no items");

  cpu backend;
  const auto p = row_of<double>(good);
  auto q = p.clone();
  const auto one = row_of<double>({1});
  auto other = one.clone();
  CHECK_THROWS_WITH_AS(ops::complement(backend, one.view(), other.view()), doctest::Contains("one has no complement"),
                       value_error);
  CHECK_THROWS_AS(ops::complement(backend, p.view(), other.view()), shape_error);
  const std::vector<std::int64_t> draws{1, 1};
  CHECK_THROWS_AS(static_cast<void>(sampling::without_replacement{}.draw(
                      backend, sampling::distributions<double>{p.view()}, list_of(draws), drawing::random, noise)),
                  shape_error);
}

TEST_CASE_TEMPLATE("sampling: complements sum to 1 and are those of the golden files", T, MILKIT_FLOATS) {
  for (const char* name : {"sampling_complement", "sampling_complement_two"}) {
    const test::golden_case golden(name);
    const auto logits = golden.get<T, 1>("logits");
    const std::int64_t items = logits.extent(0);
    cpu backend;
    tensor<T, 2> p({1, items}), q(p.shape()), dlogits(p.shape());
    ops::softmax(backend, matrix_view<const T>(logits.data(), {1, items}), p.view(), vector_view<T>());
    ops::complement(backend, p.view(), q.view());
    CHECK(std::abs(sum(test::elements(q)) - 1) <= test::tolerance_of<T>(1e-15, 1e-7));
    CHECK(golden.error("complement", q) <= test::golden_tolerance<T>);
    // A gradient of all of q, as one of all items' draws: dL / d log q_i = g_i q_i.
    const std::int64_t ends[] = {0, items};
    tensor<std::int32_t, 1> all(shape<1>{items});
    auto d = golden.get<T, 1>("grad_output");
    for (std::int64_t i = 0; i < items; ++i) {
      all.data()[i] = static_cast<std::int32_t>(i);
      d.data()[i] *= q.data()[i];
    }
    const ops::draw_list<> list{vector_view<const std::int64_t>(ends, {2}), std::as_const(all).view()};
    ops::complement_log_gradient(backend, p.view(), q.view(), list, d.view());
    ops::add_logit_gradient(backend, p.view(), list, d.view(), dlogits.view());
    CHECK(golden.error("grad.logits", dlogits) <= test::tolerance_of<T>(1e-10, 1e-4));
  }
  const auto p = probabilities<T>(4, 300, 8);
  auto q = p.clone();
  cpu backend;
  ops::complement(backend, p.view(), q.view());
  for (std::int64_t r = 0; r < 4; ++r)
    CHECK(std::abs(sum(test::elements(q.view().rows(r, 1))) - 1) <= test::tolerance_of<T>(1e-14, 1e-6));
}

// A smoothed distribution (docs/papers/zoom_in.md 8) needs no op: q = (1 - e) p + e / K, and what comes back for q goes
// to p times 1 - e.
TEST_CASE("sampling: a smoothed distribution -> its gradient by plain loops") {
  const test::golden_case golden("sampling_smoothing");
  const auto logits = golden.get<double, 1>("logits");
  const std::int64_t items = logits.extent(0);
  const auto e = golden.option<double>("smoothing");
  cpu backend;
  tensor<double, 2> p({1, items}), q(p.shape()), dq(p.shape()), dlogits(p.shape());
  ops::softmax(backend, matrix_view<const double>(logits.data(), {1, items}), p.view(), vector_view<double>());
  const auto upstream = golden.get<double, 1>("grad_output");
  for (std::int64_t i = 0; i < items; ++i) {
    q.data()[i] = (1 - e) * p.data()[i] + e / static_cast<double>(items);
    dq.data()[i] = (1 - e) * upstream.data()[i];
  }
  ops::softmax_backward(backend, p.view(), dq.view(), vector_view<const double>(), dlogits.view());
  CHECK(golden.error("output", q) <= 1e-12);
  CHECK(golden.error("grad.logits", dlogits) <= 1e-12);
}

TEST_CASE("largest_remainder: capacities -> the sum and the order among equals are kept") {
  for (std::uint64_t seed = 0; seed < 200; ++seed) {
    const auto random = [&](std::uint64_t bound, std::uint64_t i) {
      return static_cast<std::int64_t>(random_stream(seed, 0, 0).below(bound, i, 0));
    };
    const std::int64_t items = 1 + random(12, 0), n = random(60, 1);
    auto p = probabilities<double>(1, items, static_cast<double>(random(6, 2)));
    if (seed % 5 == 0) std::fill_n(p.data(), (items + 1) / 2, 0.0);  // what is left need not sum to 1
    tensor<std::int64_t, 1> capacity(shape<1>{items}), counts(shape<1>{items}), clamped(shape<1>{items});
    std::int64_t room = 0;
    for (std::int64_t i = 0; i < items; ++i) room += capacity.data()[i] = random(9, 3 + static_cast<std::uint64_t>(i));
    const vector_view<const double> row(p.data(), {items});
    CHECK(sampling::largest_remainder(row, n, std::as_const(capacity).view(), counts.view()) == std::min(n, room));
    CHECK(sum(test::elements(counts)) == static_cast<double>(std::min(n, room)));
    for (std::int64_t i = 0; i < items; ++i) CHECK(counts.data()[i] <= capacity.data()[i]);

    CHECK(sampling::largest_remainder(row, n, {}, counts.view()) == n);
    double mass = sum(test::elements(p));
    for (std::int64_t i = 0; i < items && mass > 0; ++i)
      CHECK(std::abs(static_cast<double>(counts.data()[i]) - static_cast<double>(n) * p.data()[i] / mass) < 1 + 1e-9);

    std::copy_n(counts.data(), items, clamped.data());
    const std::int64_t limit = 1 + random(8, 50);
    CHECK(sampling::clamp_draws(row, limit, clamped.view()) == std::min(n, limit * items));
    CHECK(sum(test::elements(clamped)) == static_cast<double>(std::min(n, limit * items)));
    for (std::int64_t i = 0; i < items; ++i) {
      CHECK(clamped.data()[i] <= limit);
      CHECK(clamped.data()[i] >= std::min(counts.data()[i], limit));
    }
  }
  tensor<std::int64_t, 1> counts(shape<1>{4});
  const auto equal = row_of<double>({0.25, 0.25, 0.25, 0.25});
  CHECK(sampling::largest_remainder(vector_view<const double>(equal.data(), {4}), 6, {}, counts.view()) == 6);
  CHECK(test::elements(counts) == std::vector<double>{2, 2, 1, 1});
  const auto refused = [&](const std::vector<double>& p, std::int64_t n, const char* text) {
    const auto row = row_of<double>(p);
    CHECK_THROWS_WITH_AS(static_cast<void>(sampling::share_draws(vector_view<const double>(row.data(), {row.extent(1)}),
                                                                 n, {}, counts.view())),
                         doctest::Contains(text), value_error);
  };
  refused({0.5, 0.5, 0, 0}, -1, "n is -1, expected 0 or more");
  refused({0.5, -0.5, 1, 0}, 1, "probability 1 is -0.5, expected 0 or more");
  refused({0.5, 0.5, NAN, 0}, 1, "probability 2 is nan, expected 0 or more");
}
