#pragma once

#include <functional>
#include <limits>
#include <numeric>

#include <milkit/nn/parameters.hpp>
#include <milkit/pooling/bag_embedding.hpp>

#include <reference/pooling.hpp>
#include <support/golden.hpp>
#include <support/on_backend.hpp>
#include <support/unoptimised.hpp>

MILKIT_UNOPTIMISED_BEGIN

namespace milkit::test {

template <class Pooler>
using pooling_of = pooling::bag_embedding<nn::identity, Pooler>;

/// Bags one behind the other, and the gradients that come back to them.
template <class T>
struct ragged {
  std::vector<std::int64_t> offsets = {0};
  tensor<T, 2> x, dembedding, dattention;  ///< [n, d], [bags, d], and [n, attentions] or absent

  std::int64_t bags() const { return static_cast<std::int64_t>(offsets.size()) - 1; }
  vector_view<const std::int64_t> bounds() const { return {offsets.data(), {bags() + 1}}; }
};

/// Normal instances and gradients; attentions 0: no gradient on the attention.
template <class T>
ragged<T> random_bags(const std::vector<std::int64_t>& sizes, std::int64_t d, int attentions = 0,
                      std::uint64_t seed = 1) {
  ragged<T> bags;
  for (const std::int64_t size : sizes) bags.offsets.push_back(bags.offsets.back() + size);
  bags.x = normals<T>(shape<2>{bags.offsets.back(), d}, seed);
  bags.dembedding = normals<T>(shape<2>{bags.bags(), d}, seed + 1000);
  if (attentions > 0) bags.dattention = normals<T>(shape<2>{bags.offsets.back(), attentions}, seed + 2000, 3);
  return bags;
}

/// Bags alone and together, of sizes around the limits of warps, blocks and chunks.
inline const std::vector<std::vector<std::int64_t>> bag_sizes{
    {1}, {2}, {31}, {32}, {33}, {255}, {257}, {1000}, {31, 1, 257, 2, 33, 1, 1, 32}};
/// More instances than a grid has blocks; with few features, so that an emulated card is done in time.
inline const std::vector<std::vector<std::int64_t>> many_instances{{65537}};

struct pooling_setup {
  std::int64_t chunk_rows = 0;
  std::size_t saved_bytes = std::size_t{40} << 20;
  milkit::pass how = {.training = true};
  bool backward = true;
};

template <class T>
struct pooling_result {
  tensor<T, 2> embedding, logits, attention, dx;
  tensor<T, 1> gradient;
};

template <class T>
bool same_bits(const pooling_result<T>& a, const pooling_result<T>& b) {
  return same_bits(a.embedding, b.embedding) && same_bits(a.logits, b.logits) && same_bits(a.attention, b.attention) &&
         same_bits(a.dx, b.dx) && same_bits(a.gradient, b.gradient);
}
/// The largest relative error of all five.
template <class T, class U>
double relative_error(const pooling_result<T>& got, const pooling_result<U>& want) {
  return (std::max)({relative_error(got.embedding, want.embedding), relative_error(got.logits, want.logits),
                     relative_error(got.attention, want.attention), relative_error(got.dx, want.dx),
                     relative_error(got.gradient, want.gradient)});
}

/// One forward and backward pass, from the host to the host.
template <class T, class Pooler>
pooling_result<T> run_pooling(backend_type& backend, const Pooler& pooler,
                              vector_view<const std::type_identity_t<T>> weights, const ragged<T>& bags,
                              const pooling_setup& setup = {}) {
  const pooling_of<Pooler> network{.pooler = pooler, .chunk_rows = setup.chunk_rows, .saved_bytes = setup.saved_bytes};
  const std::int64_t n = bags.x.rows();
  const auto w = put(weights);
  const auto x = put(bags.x), dembedding = put(bags.dembedding), dattention = put(bags.dattention);
  resident<T, 2> embedding({bags.bags(), bags.x.extent(1)}), logits({n, Pooler::scores}),
      attention({n, Pooler::attentions}), dx(bags.x.shape());
  resident<T, 1> gradient(w.shape());
  const bag_view<T, 2, backend_space> source{x.view()};
  typename pooling_of<Pooler>::template saved<bag_view<T, 2, backend_space>, backend_type> kept;
  const auto scope = backend.workspace.scope();
  const context at{backend, w.view(), gradient.view(), setup.how};
  network.forward(at, source, bags.bounds(), embedding.view(), logits.view(), attention.view(), kept);
  if (setup.backward)
    network.backward(at, source, kept, dembedding.view(),
                     dattention.size() > 0 ? dattention.view() : matrix_view<const T, backend_space>(), dx.view());
  return {fetch(embedding), fetch(logits), fetch(attention), fetch(dx), fetch(gradient)};
}
template <class T, class Pooler>
pooling_result<T> run_pooling(const Pooler& pooler, vector_view<const std::type_identity_t<T>> weights,
                              const ragged<T>& bags, const pooling_setup& setup = {}) {
  backend_type backend = make_backend();
  return run_pooling<T>(backend, pooler, weights, bags, setup);
}

/// A row of a table as a bag of the oracle.
template <class T>
reference::instances oracle_bag(const ragged<T>& bags, std::int64_t b) {
  const auto first = bags.offsets[static_cast<std::size_t>(b)],
             count = bags.offsets[static_cast<std::size_t>(b) + 1] - first;
  return {static_cast<std::size_t>(count), static_cast<std::size_t>(bags.x.extent(1)),
          elements(bags.x.view().rows(first, count))};
}

/// The oracle for (gated, dual) attention, in the layout of the parameters of `pooling_of<Pooler>`.
template <class Pooler, class T>
class attention_oracle {
 public:
  attention_oracle(const parameters<pooling_of<Pooler>, T>& weights, reference::branch_function f)
      : weights_(weights), f_(f) {}

  pooling_result<double> operator()(const ragged<T>& bags) const {
    const std::int64_t n = bags.x.rows(), d = bags.x.extent(1);
    pooling_result<double> out{tensor<double, 2>({bags.bags(), d}), tensor<double, 2>({n, Pooler::scores}),
                               tensor<double, 2>({n, Pooler::attentions}), tensor<double, 2>(bags.x.shape()),
                               tensor<double, 1>(weights_.flat().shape())};
    for (int h = 0; h < Pooler::scores; ++h) {
      const reference::attention_head head = head_of(h);
      reference::attention_head gradient = head;
      for (auto* each : {&gradient.v, &gradient.u, &gradient.v_bias, &gradient.u_bias, &gradient.w})
        each->assign(each->size(), 0.0);
      gradient.w_bias = 0;
      for (std::int64_t b = 0; b < bags.bags(); ++b) one_bag(bags, b, h, head, gradient, out);
      put(h, gradient, out.gradient);
    }
    return out;
  }

 private:
  static std::string name(int h, const char* which) { return std::string(h == 0 ? "pooler." : "pooler.zoom.") + which; }
  bool has(const std::string& name) const {
    for (const auto& each : weights_.entries())
      if (each.name == name) return true;
    return false;
  }
  reference::numbers values(const std::string& name) const {
    return has(name) ? elements(weights_[name]) : reference::numbers();
  }
  reference::attention_head head_of(int h) const {
    reference::attention_head head;
    head.v = values(name(h, "v.weight"));
    head.u = values(name(h, "u.weight"));
    head.v_bias = values(name(h, "v.bias"));
    head.u_bias = values(name(h, "u.bias"));
    head.w = values(name(h, "w.weight"));
    head.width = head.w.size();
    if (has(name(h, "w.bias"))) head.w_bias = values(name(h, "w.bias"))[0];
    return head;
  }
  void put(int h, const reference::attention_head& gradient, tensor<double, 1>& flat) const {
    const auto copy = [&](const char* which, const reference::numbers& from) {
      for (const auto& each : weights_.entries())
        if (each.name == name(h, which)) std::copy(from.begin(), from.end(), flat.data() + each.offset);
    };
    copy("v.weight", gradient.v);
    copy("u.weight", gradient.u);
    copy("v.bias", gradient.v_bias);
    copy("u.bias", gradient.u_bias);
    copy("w.weight", gradient.w);
    copy("w.bias", {gradient.w_bias});
  }
  void one_bag(const ragged<T>& bags, std::int64_t b, int h, const reference::attention_head& head,
               reference::attention_head& gradient, pooling_result<double>& out) const {
    const auto x = oracle_bag(bags, b);
    const std::int64_t first = bags.offsets[static_cast<std::size_t>(b)];
    const auto pooled = reference::attention_pool(x, head, f_);
    reference::numbers dembedding, dattention, dx(x.values.size(), 0.0);
    if (h == 0) dembedding = elements(bags.dembedding.view().rows(b, 1));
    for (std::size_t i = 0; i < x.n && bags.dattention.size() > 0; ++i)
      dattention.push_back(static_cast<double>(bags.dattention.view()(first + static_cast<std::int64_t>(i), h)));
    reference::attention_pool_backward(x, head, f_, pooled, dembedding, dattention, dx, gradient);
    for (std::size_t i = 0; i < x.n; ++i) {
      const std::int64_t row = first + static_cast<std::int64_t>(i);
      out.logits.view()(row, h) = pooled.logits[i];
      out.attention.view()(row, h) = pooled.attention[i];
      for (std::size_t j = 0; j < x.d; ++j) out.dx.view()(row, static_cast<std::int64_t>(j)) += dx[i * x.d + j];
    }
    if (h == 0) std::copy(pooled.embedding.begin(), pooled.embedding.end(), out.embedding.view().row(b));
  }

  const parameters<pooling_of<Pooler>, T>& weights_;
  reference::branch_function f_;
};

/// What is promised of every pooler, whatever it computes.
template <class Pooler, class T>
class pooling_check {
 public:
  pooling_check(Pooler pooler, std::int64_t d)
      : pooler_(pooler), d_(d), weights_(initial_parameters<T>(pooling_of<Pooler>{.pooler = pooler}, {.seed = 4})) {
    for (std::int64_t i = 0; i < weights_.flat().extent(0); ++i) weights_.flat()(i) *= T(3);
  }
  const parameters<pooling_of<Pooler>, T>& weights() const { return weights_; }

  void all() const {
    same_bits_however_it_runs();
    chunks_anywhere();
    bags_are_independent();
    order_does_not_matter();
    copies_do_not_matter();
    adds_to_the_gradient();
  }

  pooling_result<T> run(backend_type& backend, const ragged<T>& bags, const pooling_setup& setup = {}) const {
    return run_pooling<T>(backend, pooler_, weights_.flat(), bags, setup);
  }
  pooling_result<T> run(const ragged<T>& bags, const pooling_setup& setup = {}) const {
    backend_type backend = make_backend();
    return run(backend, bags, setup);
  }

  /// How it runs and what is kept for the backward pass change no bit, with dropout where there is some.
  void same_bits_however_it_runs() const {
    const pass how{.training = true, .random = random_stream(7, 5, 3)};
    const auto bags = random_bags<T>({33, 1, 100, 31}, d_, Pooler::attentions);
    for (const std::int64_t chunk_rows : {0, 16, 13}) {
      CAPTURE(chunk_rows);
      backend_type one = make_backend(1);
      const auto want = run(one, bags, {.chunk_rows = chunk_rows, .how = how});
      in_every_way([&](backend_type& backend) {
        for (const std::size_t saved_bytes : {std::size_t{0}, std::size_t{20000}, std::size_t{1} << 30}) {
          CAPTURE(saved_bytes);
          CHECK(same_bits(run(backend, bags, {chunk_rows, saved_bytes, how}), want));
        }
      });
    }
  }

  /// Chunks that cut bags anywhere change rounding only.
  void chunks_anywhere() const {
    const pass how{.training = true, .random = random_stream(7, 5, 3)};
    const auto bags = random_bags<T>({33, 1, 1, 100, 31}, d_, Pooler::attentions);
    const auto want = run(bags, {.chunk_rows = 1000, .how = how});
    for (const std::int64_t chunk_rows : {1, 2, 31, 32, 33, 34, 35, 165, 166, 167}) {
      CAPTURE(chunk_rows);
      CHECK(relative_error(run(bags, {.chunk_rows = chunk_rows, .how = how}), want) <= rounding);
    }
  }

  /// A bag gives the same alone and in a batch, and the gradients of bags add up.
  void bags_are_independent() const {
    const std::vector<std::int64_t> sizes = {2, 33, 1, 64};
    const auto bags = random_bags<T>(sizes, d_, Pooler::attentions);
    const auto want = run(bags);
    tensor<T, 1> sum(want.gradient.shape());
    for (std::int64_t b = 0; b < bags.bags(); ++b) {
      const std::int64_t first = bags.offsets[static_cast<std::size_t>(b)], size = sizes[static_cast<std::size_t>(b)];
      ragged<T> alone{{0, size},
                      copy(bags.x.view().rows(first, size)),
                      copy(bags.dembedding.view().rows(b, 1)),
                      copy(bags.dattention.view().rows(first, size))};
      const auto got = run(alone);
      CHECK(relative_error(got.embedding, want.embedding.view().rows(b, 1)) <= rounding);
      CHECK(relative_error(got.attention, want.attention.view().rows(first, size)) <= rounding);
      CHECK(relative_error(got.dx, want.dx.view().rows(first, size)) <= rounding);
      for (std::int64_t i = 0; i < sum.size(); ++i) sum.data()[i] += got.gradient.data()[i];
    }
    CHECK(relative_error(sum, want.gradient) <= rounding);
  }

  /// Another order of the instances: the same embedding, the same attention in that order.
  void order_does_not_matter() const {
    auto bags = random_bags<T>({57}, d_, Pooler::attentions);
    const auto want = run(bags);
    const auto swap_rows = [](auto& t) {
      for (std::int64_t i = 0; i < t.rows() / 2; ++i)
        std::swap_ranges(t.view().row(i), t.view().row(i) + t.extent(1), t.view().row(t.rows() - 1 - i));
    };
    swap_rows(bags.x);
    swap_rows(bags.dattention);
    auto got = run(bags, {.chunk_rows = 16});
    swap_rows(got.attention);
    swap_rows(got.logits);
    swap_rows(got.dx);
    CHECK(relative_error(got, want) <= rounding);
  }

  /// A bag in which every instance occurs twice has the same embedding, and half the attention for each copy of all
  /// poolers but max, where the first copy keeps it.
  void copies_do_not_matter() const {
    const auto once = random_bags<T>({40}, d_);
    ragged<T> twice{{0, 80}, tensor<T, 2>({80, d_}), once.dembedding.clone(), {}};
    std::copy_n(once.x.data(), once.x.size(), twice.x.data());
    std::copy_n(once.x.data(), once.x.size(), twice.x.data() + once.x.size());
    const auto want = run(once), got = run(twice);
    CHECK(relative_error(got.embedding, want.embedding) <= rounding);
    CHECK(relative_error(got.gradient, want.gradient) <= rounding);
    tensor<T, 2> sum(want.attention.shape());
    for (std::int64_t i = 0; i < sum.size(); ++i)
      sum.data()[i] = got.attention.data()[i] + got.attention.data()[sum.size() + i];
    CHECK(relative_error(sum, want.attention) <= rounding);
  }

  void adds_to_the_gradient() const {
    const auto bags = random_bags<T>({40, 3}, d_, Pooler::attentions);
    const pooling_of<Pooler> network{.pooler = pooler_};
    backend_type backend = make_backend();
    const auto weights = put(weights_.flat());
    const auto x = put(bags.x), dembedding = put(bags.dembedding), dattention = put(bags.dattention);
    tensor<T, 1> gradient(weights.shape());
    std::fill_n(gradient.data(), gradient.size(), T(1));
    auto sum = put(gradient);
    resident<T, 2> embedding(bags.dembedding.shape());
    const bag_view<T, 2, backend_space> source{x.view()};
    typename pooling_of<Pooler>::template saved<bag_view<T, 2, backend_space>, backend_type> kept;
    const auto scope = backend.workspace.scope();
    using none = matrix_view<T, backend_space>;
    const context at{backend, weights.view(), sum.view()};
    network.forward(at, source, bags.bounds(), embedding.view(), none(), none(), kept);
    network.backward(at, source, kept, dembedding.view(), dattention.view(), none());
    const auto want = run(bags);
    CHECK(same_bits(fetch(embedding), want.embedding));
    gradient = fetch(sum);
    for (std::int64_t i = 0; i < gradient.size(); ++i) gradient.data()[i] -= T(1);
    CHECK(relative_error(gradient, want.gradient) <= 10 * rounding);
  }

  /// Attention is at least 0 and sums to 1 in each bag.
  static void sums_to_one(const pooling_result<T>& got, const ragged<T>& bags) {
    for (std::int64_t b = 0; b < bags.bags(); ++b)
      for (int k = 0; k < Pooler::attentions; ++k) {
        double sum = 0;
        for (std::int64_t i = bags.offsets[static_cast<std::size_t>(b)];
             i < bags.offsets[static_cast<std::size_t>(b) + 1]; ++i) {
          const double a = static_cast<double>(got.attention.view()(i, k));
          sum += a >= 0 ? a : std::nan("");
        }
        CHECK(close(sum, 1, {.absolute = tolerance_of<T>(1e-12, 1e-5)}));
      }
  }

 private:
  static constexpr double rounding = tolerance_of<T>(1e-11, 1e-5);

  static tensor<T, 2> copy(matrix_view<const T> v) {
    tensor<T, 2> t(v.shape());
    for (std::int64_t i = 0; i < v.rows(); ++i) std::copy_n(v.row(i), v.cols(), t.view().row(i));
    return t;
  }

  Pooler pooler_;
  std::int64_t d_;
  parameters<pooling_of<Pooler>, T> weights_;
};

/// Gradients of a pooler in x and in its weights against central differences, the attention's own gradient included.
template <class Pooler>
void check_pooling_gradients(const Pooler& pooler, std::int64_t d, int attentions, const pooling_setup& setup,
                             double tolerance = 1e-7) {
  auto weights = initial_parameters<double>(pooling_of<Pooler>{.pooler = pooler}, {.seed = 9});
  auto bags = random_bags<double>({3, 1, 6}, d, attentions);
  backend_type backend = make_backend(1);
  const auto got = run_pooling<double>(backend, pooler, weights.flat(), bags, setup);
  pooling_setup forward = setup;
  forward.backward = false;
  const auto loss = [&] {
    const auto now = run_pooling<double>(backend, pooler, weights.flat(), bags, forward);
    return inner(now.embedding, bags.dembedding) + (attentions > 0 ? inner(now.attention, bags.dattention) : 0.0);
  };
  CHECK(relative_error(got.dx, central_differences(bags.x.view(), loss)) <= tolerance);
  if (got.gradient.size() > 0)
    CHECK(relative_error(got.gradient, central_differences(weights.flat(), loss)) <= tolerance);
}

/// Golden bags: `x`, and `offsets` where it is a batch; `grad_output`.
template <class T>
ragged<T> golden_bags(const golden_case& golden) {
  ragged<T> bags;
  bags.x = golden.get<T, 2>("x");
  bags.offsets = {0, bags.x.rows()};
  if (golden.has("offsets")) bags.offsets = golden.file().read<std::int64_t>("offsets").values;
  bags.dembedding = tensor<T, 2>({bags.bags(), bags.x.extent(1)});
  const auto upstream = golden.file().read<T>("grad_output", data::conversion::nearest).values;
  REQUIRE(static_cast<std::int64_t>(upstream.size()) == bags.dembedding.size());
  std::copy(upstream.begin(), upstream.end(), bags.dembedding.data());
  return bags;
}

}  // namespace milkit::test

MILKIT_UNOPTIMISED_END
