#include <doctest/doctest.h>

#include <milkit/data/safetensors.hpp>
#include <milkit/train/schedule.hpp>

#include <support/close.hpp>
#include <support/paths.hpp>

using namespace milkit;

static_assert(train::schedule<train::constant_schedule> && train::schedule<train::step_schedule> &&
              train::schedule<train::cosine_schedule> && train::schedule<train::reduce_on_plateau>);
static_assert(!train::schedule<train::schedule_state>);

namespace {

struct golden {
  data::safetensors_reader file;
  explicit golden(const std::string& name) : file(test::golden_file(name)) {}
  double operator()(const std::string& name) const {
    return file.read<double>(name, data::conversion::nearest).values[0];
  }
  std::int64_t count(const std::string& name) const { return file.read<std::int64_t>(name).values[0]; }
  std::vector<double> list(const std::string& name) const { return file.read<double>(name).values; }
};

template <class Schedule>
std::vector<double> rates(const Schedule& schedule, double base, std::size_t epochs) {
  std::vector<double> all;
  for (std::size_t e = 0; e < epochs; ++e) all.push_back(schedule.rate(base, static_cast<std::int64_t>(e), {}));
  return all;
}

double plateau_error(const std::string& name) {
  const golden g(name);
  const train::reduce_on_plateau schedule{
      .factor = g("factor"), .patience = g.count("patience"), .threshold = g("threshold"), .minimum = g("minimum")};
  train::schedule_state state;
  std::vector<double> got;
  std::int64_t epoch = 0;
  for (const double loss : g.list("losses")) {
    got.push_back(schedule.rate(g("learning_rate"), epoch++, state));
    schedule.observe(state, loss);
    state = train::schedule_state::from_doubles(state.to_doubles());  // a checkpoint at every epoch changes nothing
  }
  got.push_back(schedule.rate(g("learning_rate"), epoch, state));
  return test::relative_error(got, g.list("rates"));
}

}  // namespace

TEST_CASE("golden rates: step, cosine, plateau") {
  const golden step("core_schedule_step.safetensors"), cosine("core_schedule_cosine.safetensors");
  const auto step_want = step.list("rates"), cosine_want = cosine.list("rates");
  CHECK(test::relative_error(
            rates(train::step_schedule{step("factor"), step.count("period")}, step("learning_rate"), step_want.size()),
            step_want) <= 1e-10);
  CHECK(test::relative_error(rates(train::cosine_schedule{cosine.count("epochs"), cosine("minimum")},
                                   cosine("learning_rate"), cosine_want.size()),
                             cosine_want) <= 1e-10);
  CHECK(plateau_error("core_schedule_plateau.safetensors") <= 1e-10);
  CHECK(plateau_error("core_schedule_plateau_threshold.safetensors") <= 1e-10);
}

TEST_CASE("schedules: constant, cosine -> their rates at the first and last epoch") {
  CHECK(train::constant_schedule{}.rate(0.3, 1000, {}) == 0.3);
  const train::cosine_schedule cosine{.epochs = 10, .minimum = 0.1};
  CHECK(cosine.rate(0.3, 0, {}) == 0.3);
  CHECK(test::close(cosine.rate(0.3, 5, {}), 0.2, {0, 1e-14}));
  CHECK(cosine.rate(0.3, 10, {}) == 0.1);
  CHECK(cosine.rate(0.3, 11, {}) == 0.1);
}

TEST_CASE("reduce_on_plateau: NaN, negative losses -> no improvement, lower is better") {
  const train::reduce_on_plateau schedule{.factor = 0.5, .patience = 1};
  train::schedule_state state;
  schedule.observe(state, std::nan(""));
  schedule.observe(state, std::nan(""));
  CHECK(schedule.rate(1, 2, state) == 0.5);
  schedule.observe(state, -0.9);
  CHECK(state == train::schedule_state{.best = -0.9, .waited = 0, .reductions = 1});
  schedule.observe(state, -0.9);  // equal is not better
  schedule.observe(state, -0.9);
  CHECK(schedule.rate(1, 5, state) == 0.25);
  schedule.observe(state, -0.95);
  CHECK(state.best == -0.95);
}

TEST_CASE("schedules refuse what makes no sense") {
  CHECK_THROWS_WITH_AS(train::cosine_schedule{.epochs = 0}.rate(1, 0, {}),
                       "milkit::train::cosine_schedule: epochs is 0, expected at least 1", value_error);
  CHECK_THROWS_AS((train::cosine_schedule{.epochs = 5, .minimum = 2}.rate(1, 0, {})), value_error);
  CHECK_THROWS_AS((train::step_schedule{.factor = 0.1, .period = 0}.rate(1, 0, {})), value_error);
  CHECK_THROWS_AS((train::step_schedule{.factor = 0, .period = 1}.rate(1, 0, {})), value_error);
  CHECK_THROWS_AS(train::step_schedule{}.rate(1, -1, {}), value_error);
  CHECK_THROWS_AS(train::reduce_on_plateau{.factor = 2}.rate(1, 0, {}), value_error);
  train::schedule_state state;
  CHECK_THROWS_AS((train::reduce_on_plateau{.factor = 0.5, .patience = -1}.observe(state, 1)), value_error);
}
