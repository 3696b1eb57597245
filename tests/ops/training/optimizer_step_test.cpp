#include <doctest/doctest.h>

#include <cstring>

#include <milkit/core/cpu.hpp>
#include <milkit/ops/training/optimizer_step_cpu.hpp>

#include <reference/optimizer.hpp>
#include <support/close.hpp>
#include <support/floats.hpp>
#include <support/normals.hpp>

using namespace milkit;

namespace {

template <class T>
vector_view<const T> constant(const tensor<T, 1>& x) {
  return x.view();
}

template <class T>
constexpr double bound = sizeof(T) == 4 ? 1e-5 : 1e-10;

}  // namespace

TEST_CASE_TEMPLATE("sgd_step agrees with plain loops", T, MILKIT_FLOATS) {
  cpu backend{.threads = 2};
  for (const std::int64_t n : {0, 1, 2, 31, 33, 257, 1000, 1025, 16385, 40000})
    for (const double momentum : {0.0, 0.9}) {
      tensor<T, 1> weights = test::normals<T>(shape<1>{n}, 1), velocity(shape<1>{n});
      auto theta = test::elements(weights);
      reference::numbers v(static_cast<std::size_t>(n));
      for (int t = 1; t <= 4; ++t) {
        const tensor<T, 1> gradient = test::normals<T>(shape<1>{n}, 10 + static_cast<std::uint64_t>(t));
        ops::sgd_step(backend, weights.view(), constant(gradient), velocity.view(),
                      {.learning_rate = 0.03, .momentum = momentum, .weight_decay = 0.01, .gradient_scale = 0.25});
        reference::sgd_step(theta, test::elements(gradient), v, 0.03, momentum, 0.01, 0.25);
      }
      CHECK(test::relative_error(weights, theta) <= bound<T>);
      if (momentum > 0) CHECK(test::relative_error(velocity, v) <= bound<T>);
    }
}

TEST_CASE_TEMPLATE("adam_step agrees with plain loops", T, MILKIT_FLOATS) {
  cpu backend{.threads = 2};
  for (const std::int64_t n : {0, 1, 2, 31, 33, 257, 1000, 1025, 16385, 40000})
    for (const bool decoupled : {false, true}) {
      tensor<T, 1> weights = test::normals<T>(shape<1>{n}, 1), m(shape<1>{n}), v(shape<1>{n});
      auto theta = test::elements(weights);
      reference::numbers m_want(theta.size()), v_want(theta.size());
      for (int t = 1; t <= 5; ++t) {
        const tensor<T, 1> gradient = test::normals<T>(shape<1>{n}, 10 + static_cast<std::uint64_t>(t));
        ops::adam_step(backend, weights.view(), constant(gradient), m.view(), v.view(),
                       {.step = t,
                        .learning_rate = 0.01,
                        .beta1 = 0.8,
                        .beta2 = 0.99,
                        .eps = 1e-6,
                        .weight_decay = 0.1,
                        .decoupled = decoupled,
                        .gradient_scale = 0.5});
        reference::adam_step(theta, test::elements(gradient), m_want, v_want, {0.01, 0.8, 0.99, 1e-6, 0.1, decoupled},
                             t, 0.5);
      }
      CHECK(test::relative_error(weights, theta) <= bound<T>);
      CHECK(test::relative_error(m, m_want) <= bound<T>);
      CHECK(test::relative_error(v, v_want) <= bound<T>);
    }
}

TEST_CASE_TEMPLATE("optimizer steps give the same bits at any thread count", T, MILKIT_FLOATS) {
  constexpr std::int64_t n = 100003;
  const tensor<T, 1> gradient = test::normals<T>(shape<1>{n}, 2);
  const auto run = [&](int threads) {
    cpu backend{.threads = threads};
    tensor<T, 1> weights = test::normals<T>(shape<1>{n}, 1), velocity(shape<1>{n}), m(shape<1>{n}), v(shape<1>{n});
    for (int t = 1; t <= 2; ++t) {
      ops::sgd_step(backend, weights.view(), constant(gradient), velocity.view(),
                    {.learning_rate = 0.1, .momentum = 0.9});
      ops::adam_step(backend, weights.view(), constant(gradient), m.view(), v.view(),
                     {.step = t, .learning_rate = 0.01});
    }
    return weights;
  };
  const tensor<T, 1> one = run(1), three = run(3), eight = run(8);
  CHECK(std::memcmp(one.data(), three.data(), n * sizeof(T)) == 0);
  CHECK(std::memcmp(one.data(), eight.data(), n * sizeof(T)) == 0);
}

TEST_CASE("optimizer steps take no workspace") {
  cpu backend{.threads = 1};
  tensor<float, 1> weights = test::normals<float>(shape<1>{100}, 1), m(shape<1>{100}), v(shape<1>{100});
  const tensor<float, 1> gradient = test::normals<float>(shape<1>{100}, 2);
  ops::adam_step(backend, weights.view(), constant(gradient), m.view(), v.view(), {.learning_rate = 0.1});
  CHECK(backend.workspace.peak_bytes() == 0);
}

TEST_CASE("the first step of Adam has the learning rate's size, however small the gradient") {
  cpu backend{.threads = 1};
  tensor<float, 1> weights(shape<1>{3}), gradient(shape<1>{3}), m(shape<1>{3}), v(shape<1>{3});
  gradient.view()(0) = 1e-3f, gradient.view()(1) = -1e3f, gradient.view()(2) = 0;
  ops::adam_step(backend, weights.view(), constant(gradient), m.view(), v.view(), {.learning_rate = 0.5});
  CHECK(test::relative_error(weights, std::vector<double>{-0.5, 0.5, 0}) <= 2e-5);
  CHECK(weights.view()(2) == 0.f);
}

TEST_CASE("NaN in the gradient stays in its element") {
  cpu backend{.threads = 1};
  tensor<double, 1> weights(shape<1>{3}), gradient(shape<1>{3}), m(shape<1>{3}), v(shape<1>{3});
  gradient.view()(1) = std::nan("");
  ops::adam_step(backend, weights.view(), constant(gradient), m.view(), v.view(), {.learning_rate = 0.5});
  CHECK(weights.view()(0) == 0);
  CHECK(std::isnan(weights.view()(1)));
  CHECK(weights.view()(2) == 0);
}

TEST_CASE("optimizer steps refuse bad sizes and rates, and change nothing") {
  cpu backend{.threads = 1};
  tensor<double, 1> weights = test::normals<double>(shape<1>{3}, 1), gradient = test::normals<double>(shape<1>{3}, 2),
                    m(shape<1>{3}), v(shape<1>{3});
  const auto before = test::elements(weights);
  tensor<double, 1> shorter(shape<1>{2});
  const vector_view<const double> g = gradient.view();
  CHECK_THROWS_WITH_AS(ops::sgd_step(backend, weights.view(), constant(shorter), m.view(), {.learning_rate = 1}),
                       "milkit::ops::sgd_step: gradient is 2, expected 3", shape_error);
  CHECK_THROWS_WITH_AS(ops::adam_step(backend, weights.view(), g, m.view(), shorter.view(), {.learning_rate = 1}),
                       "milkit::ops::adam_step: second is 2, expected 3", shape_error);
  tensor<double, 2> table(shape<2>{3, 2});
  const vector_view<double> strided(table.data(), shape<1>{3}, 2);
  CHECK_THROWS_AS(ops::sgd_step(backend, weights.view(), g, strided, {.learning_rate = 1, .momentum = 0.5}),
                  shape_error);
  CHECK_THROWS_AS(ops::sgd_step(backend, weights.view(), g, {}, {.learning_rate = 1, .momentum = 0.5}), shape_error);
  CHECK_THROWS_AS(ops::sgd_step(backend, weights.view(), g, m.view(), {.learning_rate = -1}), value_error);
  CHECK_THROWS_AS(ops::sgd_step(backend, weights.view(), g, m.view(), {.learning_rate = std::nan("")}), value_error);
  CHECK_THROWS_AS(ops::sgd_step(backend, weights.view(), g, m.view(), {.learning_rate = 1, .momentum = 1}),
                  value_error);
  CHECK_THROWS_AS(ops::sgd_step(backend, weights.view(), g, m.view(), {.learning_rate = 1, .gradient_scale = HUGE_VAL}),
                  value_error);
  CHECK_THROWS_AS(ops::adam_step(backend, weights.view(), g, m.view(), v.view(), {.step = 0, .learning_rate = 1}),
                  value_error);
  CHECK_THROWS_AS(ops::adam_step(backend, weights.view(), g, m.view(), v.view(), {.beta2 = 1}), value_error);
  CHECK_THROWS_AS(ops::adam_step(backend, weights.view(), g, m.view(), v.view(), {.eps = 0}), value_error);
  CHECK(test::elements(weights) == before);
  CHECK_NOTHROW(ops::sgd_step(backend, weights.view(), g, {}, {.learning_rate = 1}));
}
