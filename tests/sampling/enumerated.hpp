#pragma once

#include <milkit/sampling/without_replacement.hpp>

#include <support/golden.hpp>

#include "stages.hpp"

/// Every outcome of draws in one stage and in two, with its probability, as the golden files list them.
namespace milkit::test {

struct problem {
  two_stages given;
  given_counts outer;
  given_draws inner;
  std::int64_t images = 0, draws = 0;
  std::vector<double> probability, upstream;

  struct result {
    moments output, dlogits1, dlogits2, dfeatures;
  };
  result with(ops::draw_estimator form, bool last = false) const {
    cpu backend;
    auto by = inner;
    by.how = {form, last};
    const auto got =
        given.run(backend, images, draws, outer, by, [&](matrix_view<double> output, matrix_view<double> gradient) {
          for (std::int64_t r = 0; r < output.rows(); ++r) std::copy(upstream.begin(), upstream.end(), gradient.row(r));
        });
    result made;
    made.output.add(got.output, probability.data());
    made.dlogits1.add(got.dlogits1, probability.data());
    made.dlogits2.add(got.dlogits2, probability.data());
    made.dfeatures.add(got.dfeatures, probability.data());
    return made;
  }
};

inline std::vector<double> values(const golden_case& golden, const std::string& name) {
  return golden.file().read<double>(name, data::conversion::nearest).values;
}

inline problem one_stage(const golden_case& golden) {
  problem p;
  const auto attention = golden.get<double, 1>("attention");
  const auto features = golden.get<double, 2>("features");
  const auto outcomes = golden.get<std::int64_t, 2>("outcomes");
  const std::int64_t items = attention.extent(0), width = features.extent(1);
  p.images = outcomes.extent(0);
  p.draws = outcomes.extent(1);
  p.given = {tensor<double, 1>(shape<1>{1}), tensor<double, 2>({1, items}), tensor<double, 3>({1, items, width})};
  p.given.attention1.data()[0] = 1;
  std::copy_n(attention.data(), items, p.given.attention2.data());
  std::copy_n(features.data(), items * width, p.given.features.data());
  p.outer.counts = tensor<std::int64_t, 2>({p.images, 1});
  std::fill_n(p.outer.counts.data(), p.images, p.draws);
  p.inner.all.assign(outcomes.data(), outcomes.data() + outcomes.size());
  p.probability = values(golden, "probability");
  p.upstream = values(golden, "grad_output");
  return p;
}
inline problem both_stages(const golden_case& golden) {
  problem p;
  p.given = {golden.get<double, 1>("attention1"), golden.get<double, 2>("attention2"),
             golden.get<double, 3>("features"), golden.has("complement1")};
  p.outer.counts = golden.get<std::int64_t, 2>("counts");
  const auto positions = golden.get<std::int64_t, 2>("positions");
  p.images = positions.extent(0);
  p.draws = positions.extent(1);
  p.inner.all.assign(positions.data(), positions.data() + positions.size());
  p.probability = values(golden, "probability");
  if (golden.has("grad_output")) p.upstream = values(golden, "grad_output");
  return p;
}

}  // namespace milkit::test
