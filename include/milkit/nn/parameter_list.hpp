#pragma once

#include <cstdint>
#include <initializer_list>
#include <tuple>

#include <milkit/core/view.hpp>

/// How a layer lists its parameters and children: once, in
///
///     constexpr auto list(auto& l) const {
///       return std::tuple{l.matrix("weight", out, in, {.scheme = scheme}), l.child("norm", norm)};
///     }
///
/// A parameter that may be missing has `{name, exists}` for its name. What `l` is decides what the list is for: to count, to name, or to hand out views of the layer's own stretch of the flat
/// parameters, in the same order by construction. `l` has `vector`, `matrix` and `kernel` (name, extents, options),
/// `vectors` and `matrices` (several parameters one beneath the other, as one view), and `child` (name, layer, rate); a child
/// without a name ("") has its parameters among the parent's.
namespace milkit {

/// What a parameter is for, so that an initialiser can tell; fans as PyTorch counts them. A `statistic` is no trainable
/// parameter but lies among them, so that checkpoints and teachers carry it: a running mean of what a layer met. forward is
/// const, so while training backward adds to the gradient's stretch by how much each statistic should move, and 1 to the
/// `statistic_count` [1] that a layer lists behind its statistics. After the step the trainer moves them by the mean of
/// what was added (train/statistics.hpp); the optimizer and the gradient's norm pass them over.
enum class role { weight, bias, scale, shift, statistic, statistic_count };
constexpr bool is_statistic(role what) { return what == role::statistic || what == role::statistic_count; }

/// Initialisers by the field's names. `torch`: uniform in +-1/sqrt(fan_in) for weights and biases (PyTorch's default for
/// linear and convolution). `xavier_...` (Glorot & Bengio 2010, gain 1), `kaiming_...` (He et al. 2015, gain sqrt 2) and
/// `normal(deviation)` give noise to weights, and 0 to biases. `constant(value)` is that number for any parameter. Parameters
/// of role `scale` start as 1 and of role `shift` as 0, but for a constant.
struct init {
  enum class kind { torch, xavier_uniform, xavier_normal, kaiming_uniform, kaiming_normal, normal, constant };
  kind what = kind::torch;
  double value = 0;  ///< the deviation, or the constant

  static const init torch, xavier_uniform, xavier_normal, kaiming_uniform, kaiming_normal, zeros, ones;
  static constexpr init constant(double value) { return {kind::constant, value}; }
  static constexpr init normal(double deviation) { return {kind::normal, deviation}; }

  friend constexpr bool operator==(const init&, const init&) = default;
};
inline constexpr init init::torch{init::kind::torch};
inline constexpr init init::xavier_uniform{init::kind::xavier_uniform};
inline constexpr init init::xavier_normal{init::kind::xavier_normal};
inline constexpr init init::kaiming_uniform{init::kind::kaiming_uniform};
inline constexpr init init::kaiming_normal{init::kind::kaiming_normal};
inline constexpr init init::zeros{init::kind::constant, 0};
inline constexpr init init::ones{init::kind::constant, 1};

/// The extents of one parameter.
struct dims {
  static constexpr int max_rank = 4;
  template <int Rank>
  constexpr dims(const shape<Rank>& s) : rank(Rank) {  // NOLINT(google-explicit-constructor): the same numbers
    static_assert(Rank <= max_rank, "milkit: a parameter has at most 4 extents");
    for (int i = 0; i < Rank; ++i) extent[i] = s[i];
  }
  constexpr std::int64_t size() const {
    std::int64_t product = 1;
    for (int i = 0; i < rank; ++i) product *= extent[i];
    return product;
  }
  std::int64_t extent[max_rank] = {};
  int rank = 0;
};

/// What a layer says of a parameter beside its name and extents. A fan of 0 is that of the extents, [out, in, height, width].
/// The rate is times the optimizer's, and times that of every child which the parameter lies in; 0: frozen.
struct parameter_options {
  role what = role::weight;
  std::int64_t fan_in = 0;
  std::int64_t fan_out = 0;
  init scheme = init::torch;
  double rate = 1;
};

/// Every layer's stretch of the flat parameters starts at a multiple of this many elements; the rest is zeros.
inline constexpr std::int64_t parameter_alignment = 16;

/// A name, and whether there is such a parameter.
struct parameter_name {
  constexpr parameter_name(const char* text, bool is_there = true) : name(text), exists(is_there) {}  // NOLINT
  const char* name;
  bool exists;
};

/// What all lists share: the verbs that a layer uses, and, here alone, where each parameter and each child begins. A list
/// `Self` has `place(names, shape, options)`, for parameters of one shape one beneath the other, and `place_child(name, layer,
/// rate)`.
template <class Self>
class parameter_list {
 public:
  using names_type = std::initializer_list<parameter_name>;

  /// Absent where the name says so.
  constexpr auto vector(parameter_name name, std::int64_t count, const parameter_options& options = {}) {
    return vectors({name}, count, options);
  }
  constexpr auto matrix(parameter_name name, std::int64_t rows, std::int64_t cols,
                        const parameter_options& options = {}) {
    return matrices({name}, rows, cols, options);
  }
  constexpr auto kernel(parameter_name name, std::int64_t out, std::int64_t in, std::int64_t height, std::int64_t width,
                        const parameter_options& options = {}) {
    return self().place({name}, shape<4>{out, in, height, width}, options);
  }
  /// Several of these extents, one beneath the other as one view.
  constexpr auto vectors(names_type names, std::int64_t count, const parameter_options& options = {}) {
    return self().place(names, shape<1>{count}, options);
  }
  constexpr auto matrices(names_type names, std::int64_t rows, std::int64_t cols,
                          const parameter_options& options = {}) {
    return self().place(names, shape<2>{rows, cols}, options);
  }
  template <class Layer>
  constexpr auto child(const char* name, const Layer& layer, double rate = 1) {
    return self().place_child(name, layer, rate);
  }

 protected:
  static constexpr std::int64_t count_of(names_type names) {
    std::int64_t count = 0;
    for (const parameter_name& each : names) count += each.exists;
    return count;
  }
  /// The first of the next `count` elements.
  constexpr std::int64_t take(std::int64_t count) {
    const std::int64_t first = at_;
    at_ += count;
    return first;
  }
  static constexpr std::int64_t aligned(std::int64_t count) {
    return (count + parameter_alignment - 1) / parameter_alignment * parameter_alignment;
  }
  constexpr std::int64_t take_child(std::int64_t stretch) {
    at_ = aligned(at_);
    return take(stretch);
  }
  /// The length of the stretch so far.
  constexpr std::int64_t taken() const { return aligned(at_); }

 private:
  constexpr Self& self() { return static_cast<Self&>(*this); }
  std::int64_t at_ = 0;
};

namespace detail {

struct nothing {};

/// Calls the layer's `list`; one without parameters need not have it.
template <class Layer, class List>
concept lists_for = requires(const Layer& layer, List& l) {
  layer.list(l);
};
template <class Layer, class List>
constexpr auto listed(const Layer& layer, List& l) {
  if constexpr (lists_for<Layer, List>) return layer.list(l);
  else return std::tuple<>();
}

class parameter_counter : public parameter_list<parameter_counter> {
 public:
  template <class Layer>
  explicit constexpr parameter_counter(const Layer& layer) {
    listed(layer, *this);
  }
  constexpr std::int64_t stretch() const { return taken(); }
  constexpr std::int64_t count() const { return count_; }  ///< without gaps, statistics and what is frozen

 private:
  friend parameter_list;
  template <int Rank>
  constexpr nothing place(names_type names, const shape<Rank>& s, const parameter_options& options) {
    const std::int64_t count = count_of(names) * s.size();
    take(count);
    if (!is_statistic(options.what) && options.rate != 0) count_ += count;
    return {};
  }
  template <class Layer>
  constexpr nothing place_child(const char*, const Layer& layer, double rate) {
    const parameter_counter inner(layer);
    take_child(inner.stretch());
    if (rate != 0) count_ += inner.count();
    return {};
  }
  std::int64_t count_ = 0;
};

}  // namespace detail

/// The number of trainable parameters of a network, as papers count them.
template <class Layer>
constexpr std::int64_t parameter_count(const Layer& layer) {
  return detail::parameter_counter(layer).count();
}
/// The length of a layer's stretch in the flat parameters: its parameters, aligned.
template <class Layer>
constexpr std::int64_t parameter_stretch(const Layer& layer) {
  return detail::parameter_counter(layer).stretch();
}

/// Hands out views of a layer's stretch, and to its children stretches of their own. Of an absent stretch all are absent;
/// of a gradient's, those of frozen parameters, and it may end where only frozen ones follow. Errors: shape_error past the
/// end, and for a stretch whose elements lie apart.
template <class T, class Space>
class parameter_views : public parameter_list<parameter_views<T, Space>> {
 public:
  explicit parameter_views(vector_view<T, Space> stretch, bool is_gradient = false)
      : stretch_(stretch), is_gradient_(is_gradient) {
    if (!stretch.contiguous())
      throw shape_error(message("milkit: a layer's parameters lie ", stretch.stride(), " elements apart, expected 1"));
  }

 private:
  friend parameter_list<parameter_views>;
  template <int Rank>
  view<T, Rank, Space> place(std::initializer_list<parameter_name> names, const shape<Rank>& s,
                             const parameter_options& options) {
    const std::int64_t parameters = this->count_of(names), count = parameters * s.size(), first = this->take(count);
    if (count == 0 || stretch_.absent() || (is_gradient_ && options.rate == 0)) return {};
    expect_room(first + count);
    return {stretch_.data() + first, s.with_rows(parameters * s[0])};
  }
  template <class Layer>
  vector_view<T, Space> place_child(const char*, const Layer& layer, double rate) {
    const std::int64_t count = parameter_stretch(layer), first = this->take_child(count);
    if (stretch_.absent() || (is_gradient_ && rate == 0)) return {};
    if (is_gradient_ && first + count > stretch_.extent(0))
      return first < stretch_.extent(0) ? stretch_.rows(first, stretch_.extent(0) - first) : vector_view<T, Space>();
    expect_room(first + count);
    return stretch_.rows(first, count);
  }
  void expect_room(std::int64_t end) const {
    if (end > stretch_.extent(0))
      throw shape_error(
          message("milkit: a layer's parameters end at ", stretch_.extent(0), ", element ", end, " was asked for"));
  }
  vector_view<T, Space> stretch_;
  bool is_gradient_;
};

template <class T, class Space>
parameter_views(view<T, 1, Space>) -> parameter_views<T, Space>;

}  // namespace milkit
