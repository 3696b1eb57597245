#include <milkit/ops/training/optimizer_step_cpu.hpp>

#include "optimizer_cases.hpp"

using namespace milkit;

static_assert(train::optimizer<train::sgd> && train::optimizer<train::adam> && train::optimizer<train::adamw>);
static_assert(!train::optimizer<double> && !train::optimizer<train::step_options>);

TEST_CASE("sgd without momentum needs no memory for its moment") {
  cpu backend{.threads = 1};
  float weight = 1, gradient = 2;
  const shape<1> one{1};
  train::sgd{}.step(backend, vector_view<float>(&weight, one), vector_view<const float>(&gradient, one),
                    std::array{vector_view<float>()}, {.learning_rate = 0.25});
  CHECK(weight == 0.5f);
}

TEST_CASE("clip_factor shortens to the limit and refuses a norm that is no number") {
  CHECK(train::clip_factor(0.5, 1) == 1);
  CHECK(train::clip_factor(1, 1) == 1);
  CHECK(train::clip_factor(4, 1) == 0.25);
  CHECK(train::clip_factor(4, 0) == 1);
  CHECK(train::clip_factor(0, 1) == 1);
  CHECK_THROWS_AS(train::clip_factor(std::nan(""), 1), value_error);
  CHECK_THROWS_AS(train::clip_factor(HUGE_VAL, 0), value_error);
  CHECK_THROWS_AS(train::clip_factor(1, -1), value_error);
}
