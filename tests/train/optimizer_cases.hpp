#pragma once

#include <milkit/train/optimizer.hpp>

#include <support/floats.hpp>
#include <support/golden.hpp>
#include <support/on_backend.hpp>
#include <support/unoptimised.hpp>

MILKIT_UNOPTIMISED_BEGIN

namespace milkit::test::optimizer_cases {

/// The error of the whole trajectory of a golden file.
template <class T, train::optimizer Optimizer>
double trajectory_error(const std::string& name, Optimizer (*described)(const golden_case&)) {
  const golden_case golden(name);
  const Optimizer optimizer = described(golden);
  auto weights = put(golden.get<T, 1>("theta"));
  const auto gradients = put(golden.get<T, 2>("gradients"));
  const std::int64_t n = weights.size();
  resident<T, 2> memory(shape<2>{Optimizer::moments, n});
  tensor<T, 2> trajectory(gradients.shape());
  std::array<vector_view<T, backend_space>, Optimizer::moments> moments;
  for (std::size_t i = 0; i < moments.size(); ++i)
    moments[i] = {memory.view().row(static_cast<std::int64_t>(i)), shape<1>{n}};
  backend_type backend = make_backend();
  for (std::int64_t t = 0; t < gradients.rows(); ++t) {
    const vector_view<const T, backend_space> gradient(gradients.view().row(t), shape<1>{n});
    optimizer.step(backend, weights.view(), gradient, moments,
                   {.step = t + 1, .learning_rate = optimizer.learning_rate});
    std::copy_n(fetch(weights).data(), n, trajectory.view().row(t));
  }
  return golden.error("trajectory", trajectory);
}

inline double option(const golden_case& golden, const std::string& name) {
  return golden.has(name) ? golden.option<double>(name) : 0.0;
}
/// The papers' cases call it `lr`.
inline double learning_rate(const golden_case& golden) {
  return golden.option<double>(golden.has("lr") ? "lr" : "learning_rate");
}

template <class Adam>
Adam adam_of(const golden_case& golden) {
  return {.learning_rate = learning_rate(golden),
          .beta1 = golden.option<double>("beta1"),
          .beta2 = golden.option<double>("beta2"),
          .eps = golden.option<double>("eps"),
          .weight_decay = option(golden, "weight_decay")};
}

inline train::sgd sgd_of(const golden_case& golden) {
  return {.learning_rate = learning_rate(golden),
          .momentum = option(golden, "momentum"),
          .weight_decay = option(golden, "weight_decay")};
}

TEST_CASE_TEMPLATE("golden trajectories of SGD", T, MILKIT_FLOATS) {
  for (const char* name : {"core_sgd", "core_sgd_momentum"})
    CHECK(trajectory_error<T>(name, &sgd_of) <= golden_tolerance<T>);
}

TEST_CASE_TEMPLATE("golden trajectories of Adam and AdamW", T, MILKIT_FLOATS) {
  for (const char* name : {"core_adam", "core_adam_l2", "mhim_adam"})
    CHECK(trajectory_error<T>(name, &adam_of<train::adam>) <= golden_tolerance<T>);
  for (const char* name : {"core_adamw", "local_adamw"})
    CHECK(trajectory_error<T>(name, &adam_of<train::adamw>) <= golden_tolerance<T>);
}

}  // namespace milkit::test::optimizer_cases

MILKIT_UNOPTIMISED_END
