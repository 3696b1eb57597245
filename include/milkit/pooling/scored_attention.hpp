#pragma once

#include <milkit/nn/layer.hpp>
#include <milkit/ops/bags/gate.hpp>
#include <milkit/ops/products/linear.hpp>
#include <milkit/ops/rows/dropout.hpp>
#include <milkit/pooling/pooler.hpp>

namespace milkit::pooling {

namespace detail {
/// What `scored_attention` lists; outside of it, because nvcc 13 loses whether a deduction guide of a class is public.
template <class Matrix, class Vector>
struct scored_attention_parameters {
  Matrix branches;  ///< [heads branches L, D]
  Vector branch_bias;
  Matrix w;  ///< [heads, L]
  Vector bias;
};
template <class Matrix, class Vector>
scored_attention_parameters(Matrix, Vector, Matrix, Vector) -> scored_attention_parameters<Matrix, Vector>;
}  // namespace detail

/// Attention pooling with a small scoring network; `attention`, `gated_attention` and `dual_gated_attention` are its
/// names. For head h: z_i = w . f(V h_i + b_V) + b_w, or with two branches z_i = w . (f(V h_i + b_V) * sigmoid(U h_i +
/// b_U)) + b_w; a = softmax(z) over the bag; the first head gives the embedding g = sum_i a_i h_i. Gradients:
/// docs/papers/zoommil.md 2.2. Shapes: h [n, D], V and U [L, D], w [L], logits and attention [n, heads], g [D].
/// Parameters, head by
/// head (the second one's have the prefix `zoom.`): v.weight, u.weight, v.bias, u.bias, w.weight, w.bias; V and U of
/// all heads lie next to each other, so that one matrix product makes all branches. `dropout` is the rate on both
/// branches in training; value_error outside [0, 1). Cost: 2 n D L FLOPs a branch; O(n heads) memory beside the
/// branches. NaN in a bag makes its attention and embedding NaN, and so does a logit of +infinity (an infinite feature
/// under relu or gelu); under tanh an infinite feature saturates the branches and comes out in its column of the
/// embedding.
template <std::int64_t D, std::int64_t Width, int Branches, int Heads, class Function, bool Bias>
struct scored_attention {
  static_assert(Branches == 1 || Branches == 2, "milkit::pooling: attention has one branch, or two when gated");
  static_assert(Heads == 1 || Heads == 2, "milkit::pooling: attention has one head, or two when dual");
  static constexpr std::int64_t in_features = D, out_features = D;
  static constexpr int scores = Heads, attentions = Heads;

  [[no_unique_address]] extent<D> in = {};
  [[no_unique_address]] extent<Width> width = {};
  double dropout = 0;
  init scheme = init::torch;

  std::int64_t state_width(std::int64_t d) const { return 2 + d + 2 * (Heads - 1); }

  constexpr auto list(auto& l) const {
    const parameter_options weight{.scheme = scheme}, bias{.what = role::bias, .fan_in = in, .scheme = scheme},
        score_bias{.what = role::bias, .fan_in = width, .scheme = scheme};
    constexpr bool two = Branches == 2, dual = Heads == 2;
    return detail::scored_attention_parameters{
        l.matrices({{"v.weight"}, {"u.weight", two}, {"zoom.v.weight", dual}, {"zoom.u.weight", two && dual}}, width,
                   in, weight),
        l.vectors({{"v.bias", Bias},
                   {"u.bias", Bias && two},
                   {"zoom.v.bias", Bias && dual},
                   {"zoom.u.bias", Bias && two && dual}},
                  width, bias),
        l.matrices({{"w.weight"}, {"zoom.w.weight", dual}}, 1, width, weight),
        l.vectors({{"w.bias", Bias}, {"zoom.w.bias", Bias && dual}}, 1, score_bias)};
  }

  template <class T, class Space>
  struct saved {
    matrix_view<T, Space> branches;
  };

  template <class T, class Space>
  void score(const auto& at, auto h, auto logits, saved<T, Space>& kept) const {
    const auto p = at.weights_of(*this);
    kept.branches = at.backend.kept_memory().template allocate_rows<T>(shape<2>{h.rows(), gate_shape().columns()});
    ops::matmul(at.backend, h, p.branches, kept.branches, {.transpose_b = true});
    with_mask(at, kept.branches, [&](auto mask) {
      ops::gate(at.backend, gate_shape(), Function{}, kept.branches, p.branch_bias, p.w, p.bias, mask,
                1 / (1 - dropout), logits);
    });
  }

  void score_backward(const auto& at, auto h, const auto& kept, auto dlogits, auto dh) const {
    const auto p = at.weights_of(*this);
    const auto d = at.gradients_of(*this);
    with_mask(at, kept.branches, [&](auto mask) {
      // A softmax does not feel a shift of its logits: the gradient of their bias is exactly 0. Its rounding errors,
      // once Adam has divided them by their own size, would move it.
      ops::gate_backward(at.backend, gate_shape(), Function{}, kept.branches, p.w, mask, 1 / (1 - dropout), dlogits,
                         at.or_unused(d.w, p.w), decltype(d.bias)());
    });
    if (!d.branches.absent())
      ops::matmul(at.backend, kept.branches, h, d.branches, {.transpose_a = true, .accumulate = true});
    if (!d.branch_bias.absent()) ops::add_column_sums(at.backend, kept.branches, d.branch_bias);
    if (!dh.absent()) ops::matmul(at.backend, kept.branches, p.branches, dh, {.accumulate = true});
  }

  template <class Backend, class Chunk, class Instances, class Logits, class Part>
  void pool(Backend& backend, const Chunk& chunk, Instances h, Logits logits, Part part) const {
    ops::softmax_pool(backend, chunk, h, logits.columns(0, 1), head(part, 0));
    if constexpr (Heads == 2) ops::softmax_pool(backend, chunk, h.columns(0, 0), logits.columns(1, 1), head(part, 1));
  }
  template <class Backend, class Part, class States>
  void merge(Backend& backend, Part part, States states) const {
    for (int h = 0; h < Heads; ++h) ops::softmax_pool_merge(backend, head(part, h), head(states, h));
  }
  template <class Backend, class Offsets, class States, class Embedding>
  void finish(Backend& backend, Offsets, States states, Embedding embedding) const {
    ops::softmax_pool_finish(backend, head(states, 0), embedding);
  }
  template <class Backend, class Chunk, class Logits, class States, class Attention>
  void attention(Backend& backend, const Chunk& chunk, Logits logits, States states, Attention attention) const {
    for (int h = 0; h < Heads; ++h)
      ops::softmax_weights(backend, chunk, logits.columns(h, 1), head(states, h), attention.columns(h, 1));
  }
  template <class Backend, class Chunk, class Logits, class States, class Dattention, class Dots>
  void dots(Backend& backend, const Chunk& chunk, Logits logits, States states, Dattention dattention,
            Dots dots) const {
    for (int h = 0; h < Heads; ++h)
      ops::softmax_dots(backend, chunk, logits.columns(h, 1), head(states, h), dattention.columns(h, 1),
                        dots.rows(h * states.rows(), states.rows()));
  }
  template <class Backend, class Chunk, class Instances, class Logits, class States, class Dembedding, class Dattention,
            class Dots, class Dlogits, class Dh>
  void pool_backward(Backend& backend, const Chunk& chunk, Instances h, Logits logits, States states,
                     Dembedding dembedding, Dattention dattention, Dots dots, Dlogits dlogits, Dh dh) const {
    for (int i = 0; i < Heads; ++i) {
      const auto upstream = dattention.absent() ? dattention : dattention.columns(i, 1);
      const auto own_dots = dots.absent() ? dots : dots.rows(i * states.rows(), states.rows());
      if (i == 0)
        ops::softmax_pool_backward(backend, chunk, h, logits.columns(0, 1), head(states, 0), dembedding, upstream,
                                   own_dots, dlogits.columns(0, 1), dh);
      else
        ops::softmax_pool_backward(backend, chunk, Instances(), logits.columns(1, 1), head(states, 1), Dembedding(),
                                   upstream, own_dots, dlogits.columns(1, 1), Dh());
    }
  }

 private:
  constexpr ops::gate_shape gate_shape() const { return {.width = width, .branches = Branches, .heads = Heads}; }

  /// Head h's columns of the states: (peak, mass, sum of d) and behind them (peak, mass).
  template <class States>
  static States head(States states, int h) {
    const std::int64_t first = states.cols() - 2 * (Heads - 1);
    return h == 0 ? states.columns(0, first) : states.columns(first, 2);
  }

  void with_mask(const auto& at, auto branches, auto&& use) const {
    expect_value(dropout >= 0 && dropout < 1, "milkit::pooling::scored_attention", "dropout is ", dropout,
                 ", expected 0 <= dropout < 1");
    const auto scope = at.backend.workspace.scope();
    matrix_view<std::uint8_t, typename decltype(branches)::space> mask;
    if (at.pass.training && dropout > 0) {
      mask = at.backend.workspace.template allocate<std::uint8_t>(branches.shape());
      ops::dropout_mask(at.backend, at.pass.random, at.pass.first_row, dropout, mask);
    }
    use(mask);
  }
};

}  // namespace milkit::pooling
