#pragma once

#include <milkit/ops/rows/fill_cpu.hpp>
#include <milkit/ops/selection/draws_cpu.hpp>
#include <milkit/sampling/sampler.hpp>

#include <support/close.hpp>

/// An expectation in two stages over draws of R images at once, composed of the ops as a network composes them. One
/// stage is the case of one tile. All on the CPU, in double.
namespace milkit::test {

/// Stands for a sampler without replacement whose draws are known: those of one row after the other.
struct given_draws {
  ops::draw_rule how;
  std::vector<std::int64_t> all;
  static constexpr bool repeats = true;
  ops::draw_rule rule() const { return how; }

  template <class Backend, class T, class Space>
  sampling::drawn<T, Space> draw(Backend& backend, const sampling::distributions<T, Space>& of,
                                 vector_view<const std::int64_t> draws, sampling::drawing, random_stream) const {
    return sampling::detail::without_repeats(backend, of, draws, how, [&](const auto&, auto items) {
      for (std::int64_t k = 0; k < items.extent(0); ++k)
        items(k) = static_cast<std::int32_t>(all[static_cast<std::size_t>(k)]);
    });
  }
};
/// And for one with replacement.
struct given_counts {
  tensor<std::int64_t, 2> counts;
  static constexpr bool repeats = true;
  ops::draw_rule rule() const { return {}; }

  template <class Backend, class T, class Space>
  sampling::drawn<T, Space> draw(Backend& backend, const sampling::distributions<T, Space>& of,
                                 vector_view<const std::int64_t>, sampling::drawing, random_stream) const {
    return sampling::detail::with_counts(
        backend, of, [&](std::int64_t s, std::int64_t i) -> std::int64_t { return counts.view()(s, i); });
  }
};

struct two_stages {
  tensor<double, 1> attention1;  ///< [C]
  tensor<double, 2> attention2;  ///< [C, P]
  tensor<double, 3> features;    ///< [C, P, D]
  bool complement = false;

  /// Of each image: F, and the gradients of <upstream, F> in the logits of both stages and in the features.
  struct outcome {
    tensor<double, 2> output, dlogits1, dlogits2, dfeatures;  ///< [R, D], [R, C], [R, C P], [R, C P D]
  };

  /// `upstream(output, gradient)`, both [R, D], says what the gradient of each image's F is.
  template <class Outer, class Inner, class Upstream>
  outcome run(cpu& backend, std::int64_t images, std::int64_t draws, const Outer& outer, const Inner& inner,
              Upstream&& upstream, random_stream random = {}) const {
    const auto scope = backend.workspace.scope();
    const std::int64_t tiles = attention1.extent(0), places = attention2.extent(1), width = features.extent(2);
    const auto table = [&](std::int64_t rows, std::int64_t cols) {
      const auto m = backend.workspace.allocate<double>(shape<2>{rows, cols});
      ops::fill(backend, m, 0.0);
      return m;
    };
    const auto p1 = table(images, tiles), p2 = table(images * tiles, places), q1 = table(images, tiles),
               q2 = table(images * tiles, places);
    for (std::int64_t r = 0; r < images; ++r) {
      std::copy_n(attention1.data(), tiles, p1.row(r));
      std::copy_n(attention2.data(), tiles * places, p2.row(r * tiles));
    }
    if (complement) ops::complement(backend, p1, q1), ops::complement(backend, p2, q2);
    const sampling::distributions<double> of1{complement ? q1 : p1};
    const std::vector<std::int64_t> each(static_cast<std::size_t>(images), draws);
    const auto first = outer.draw(backend, of1, vector_view<const std::int64_t>(each.data(), {images}),
                                  sampling::drawing::random, random.child(1));
    const std::int64_t visited = first.offsets(images);
    std::vector<std::int64_t> rows;
    for (std::int64_t r = 0; r < images; ++r)
      for (std::int64_t k = first.offsets(r); k < first.offsets(r + 1); ++k) rows.push_back(r * tiles + first.items(k));
    const vector_view<const std::int64_t> which(rows.data(), {visited});
    const sampling::distributions<double> of2{complement ? q2 : p2, which, which};
    const auto second = inner.draw(backend, of2, first.counts, sampling::drawing::random, random.child(2));
    const std::int64_t drawn = second.offsets(visited);

    const auto f = table(drawn, width), df = table(drawn, width), of_tiles = table(visited, width),
               dof_tiles = table(visited, width), output = table(images, width), doutput = table(images, width);
    std::vector<std::int64_t> place(static_cast<std::size_t>(drawn));
    for (std::int64_t v = 0; v < visited; ++v)
      for (std::int64_t k = second.offsets(v); k < second.offsets(v + 1); ++k) {
        place[static_cast<std::size_t>(k)] = which(v) * places + second.items(k);
        const std::int64_t in_image = place[static_cast<std::size_t>(k)] % (tiles * places);
        std::copy_n(features.data() + in_image * width, width, f.row(k));
      }
    ops::expectation(backend, second.list, second.weights, f, of_tiles);
    ops::expectation(backend, first.list, first.weights, of_tiles, output);
    upstream(output, doutput);
    const auto a1 = backend.workspace.allocate<double>(visited), a2 = backend.workspace.allocate<double>(drawn);
    ops::expectation_backward(backend, first.list, first.backward, of_tiles, doutput, a1, dof_tiles);
    ops::expectation_backward(backend, second.list, second.backward, f, dof_tiles, a2, df);
    const auto d1 = sampling::log_gradient(backend, outer, of1, first, a1);
    const auto d2 = sampling::log_gradient(backend, inner, of2, second, a2);
    if (complement) {
      ops::complement_log_gradient(backend, p1, q1, first.list, d1);
      ops::complement_log_gradient(backend, p2, q2, second.list, d2);
    }
    outcome made{tensor<double, 2>(output.shape()), tensor<double, 2>({images, tiles}),
                 tensor<double, 2>({images, tiles * places}), tensor<double, 2>({images, tiles * places * width})};
    ops::add_logit_gradient(backend, p1, first.list, d1, made.dlogits1.view());
    ops::add_logit_gradient(backend, p2, second.list, d2,
                            matrix_view<double>(made.dlogits2.data(), {images * tiles, places}));
    std::copy_n(output.data(), output.size(), made.output.data());
    for (std::int64_t k = 0; k < drawn; ++k)
      std::copy_n(df.row(k), width, made.dfeatures.data() + place[static_cast<std::size_t>(k)] * width);
    return made;
  }
};

/// Mean, variance and range of every component, of outcomes with these probabilities or of equal ones. Summed as differences
/// to the first outcome, so that what does not vary has no variance.
struct moments {
  std::vector<double> origin, mean, square, least, most;
  double mass = 0;

  void add(const tensor<double, 2>& values, const double* probability = nullptr) {
    const auto size = static_cast<std::size_t>(values.extent(1));
    if (origin.empty()) origin.assign(values.data(), values.data() + size);
    for (auto* each : {&mean, &square, &least, &most}) each->resize(size);
    for (std::int64_t r = 0; r < values.extent(0); ++r) {
      const double p = probability ? probability[r] : 1;
      mass += p;
      for (std::size_t i = 0; i < size; ++i) {
        const double own = values.view().row(r)[i] - origin[i];
        mean[i] += p * own;
        square[i] += p * own * own;
        least[i] = (std::min)(least[i], own);
        most[i] = (std::max)(most[i], own);
      }
    }
  }
  std::vector<double> average() const {
    auto all = origin;
    for (std::size_t i = 0; i < all.size(); ++i) all[i] += mean[i] / mass;
    return all;
  }
  std::vector<double> variance() const {
    auto all = square;
    for (std::size_t i = 0; i < all.size(); ++i)
      all[i] = (std::max)(0.0, all[i] / mass - (mean[i] / mass) * (mean[i] / mass));
    return all;
  }
};

inline double total(const std::vector<double>& all) {
  double sum = 0;
  for (const double each : all) sum += each;
  return sum;
}
inline double distance(const std::vector<double>& a, const std::vector<double>& b) {
  double sum = 0;
  for (std::size_t i = 0; i < a.size(); ++i) sum += (a[i] - b[i]) * (a[i] - b[i]);
  return std::sqrt(sum);
}

}  // namespace milkit::test
