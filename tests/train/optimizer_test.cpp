#include <doctest/doctest.h>

#include <milkit/data/safetensors.hpp>
#include <milkit/ops/optimizer_step_cpu.hpp>
#include <milkit/train/optimizer.hpp>

#include <support/close.hpp>
#include <support/paths.hpp>

using namespace milkit;

static_assert(train::optimizer<train::sgd> && train::optimizer<train::adam> && train::optimizer<train::adamw>);
static_assert(!train::optimizer<double> && !train::optimizer<train::step_options>);

namespace {

/// The error of the whole trajectory of a golden file.
template <class T, train::optimizer Optimizer>
double trajectory_error(const std::string& name, Optimizer (*described)(const data::safetensors_reader&)) {
  const data::safetensors_reader file(test::golden_file(name));
  const Optimizer optimizer = described(file);
  auto weights = file.read<T, 1>("theta", data::conversion::nearest);
  const auto gradients = file.read<T, 2>("gradients", data::conversion::nearest);
  const auto want = file.read<double, 2>("trajectory");
  const std::int64_t n = weights.size();
  tensor<T, 2> memory(shape<2>{Optimizer::moments, n}), got(shape<2>{gradients.rows(), n});
  std::array<vector_view<T>, Optimizer::moments> moments;
  for (std::size_t i = 0; i < moments.size(); ++i)
    moments[i] = {memory.view().row(static_cast<std::int64_t>(i)), shape<1>{n}};
  cpu backend{.threads = 2};
  for (std::int64_t t = 0; t < gradients.rows(); ++t) {
    optimizer.step(backend, weights.view(), vector_view<const T>(gradients.view().row(t), shape<1>{n}), moments,
                   {.step = t + 1, .learning_rate = optimizer.learning_rate});
    std::copy_n(weights.data(), n, got.view().row(t));
  }
  return test::relative_error(got, want);
}

double option(const data::safetensors_reader& file, const std::string& name) {
  return file.read<double, 1>(name).view()(0);
}

template <class Adam>
Adam adam_of(const data::safetensors_reader& file) {
  return {.learning_rate = option(file, "learning_rate"),
          .beta1 = option(file, "beta1"),
          .beta2 = option(file, "beta2"),
          .eps = option(file, "eps"),
          .weight_decay = file.contains("weight_decay") ? option(file, "weight_decay") : 0};
}

train::sgd sgd_of(const data::safetensors_reader& file) {
  return {.learning_rate = option(file, "learning_rate"),
          .momentum = file.contains("momentum") ? option(file, "momentum") : 0,
          .weight_decay = file.contains("weight_decay") ? option(file, "weight_decay") : 0};
}

template <class T>
constexpr double bound = sizeof(T) == 4 ? 1e-5 : 1e-10;

}  // namespace

TEST_CASE_TEMPLATE("golden trajectories of SGD", T, float, double) {
  CHECK(trajectory_error<T>("core_sgd.safetensors", &sgd_of) <= bound<T>);
  CHECK(trajectory_error<T>("core_sgd_momentum.safetensors", &sgd_of) <= bound<T>);
}

TEST_CASE_TEMPLATE("golden trajectories of Adam and AdamW", T, float, double) {
  CHECK(trajectory_error<T>("core_adam.safetensors", &adam_of<train::adam>) <= bound<T>);
  CHECK(trajectory_error<T>("core_adam_l2.safetensors", &adam_of<train::adam>) <= bound<T>);
  CHECK(trajectory_error<T>("core_adamw.safetensors", &adam_of<train::adamw>) <= bound<T>);
}

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
