#pragma once

#include <cstdint>
#include <initializer_list>

#include <milkit/core/backend.hpp>
#include <milkit/core/random.hpp>

/// Layers. A layer is a small value that describes: its dimensions are its type, its options its members; it owns no
/// weights. It has
///
///     static constexpr std::int64_t in_features, out_features;  // `any_features`: takes and gives what comes;
///                                                               // `dynamic_extent`: a member; images: channels
///     static constexpr bool row_wise;             // a row of the output depends on that row of the input alone
///     static constexpr bool in_place;             // output may be the input's memory
///     static constexpr bool keeps_output;         // backward reads the values of the output
///     shape<R'> output_shape(shape<R>) const;     // checks, shape_error
///     void describe(Visitor&) const;              // its parameters and children, in order: see parameters.hpp
///     template <class Input> using saved = ...;   // what backward needs: views, trivially copyable
///     void forward(backend, weights, input, output, saved&, pass) const;
///     void backward(backend, weights, saved, doutput, dinput, gradient, pass) const;
///
/// `weights` and `gradient` are the layer's own stretch of the flat parameters. forward writes `output`, takes memory
/// for what it saves from `backend.kept_memory()` and leaves it there: the caller opens that scope and ends it after
/// backward. What it needs for the moment comes from `backend.workspace`, in a scope of its own. backward may use up
/// `doutput` and what was saved, writes `dinput` (which may be doutput's memory where `in_place`, and is absent where
/// nobody wants it) and adds to `gradient`. Both work on any number of rows, 0 included.
namespace milkit {

/// A dimension that is known at run time: `linear<dynamic_extent, 512>{.in = {166}}`.
inline constexpr std::int64_t dynamic_extent = -1;
/// A layer that works on any number of features and keeps it.
inline constexpr std::int64_t any_features = -2;

/// A dimension of a layer: a constant of the type or, for `dynamic_extent`, a member.
template <std::int64_t Size>
struct extent {
  static_assert(Size > 0, "milkit: a dimension of a layer is positive, or dynamic_extent");
  constexpr operator std::int64_t() const { return Size; }  // NOLINT(google-explicit-constructor): it is that number
};
template <>
struct extent<dynamic_extent> {
  std::int64_t value = 0;
  constexpr operator std::int64_t() const {
    if (value <= 0)
      throw value_error(message("milkit: a dimension known at run time is ", value, "; set it in the layer's braces"));
    return value;
  }
};

/// One pass through a network: whether it trains (dropout is on), its random numbers, and which instance row 0 of the
/// input is, so that a bag in chunks draws the numbers of the whole bag. A trainer also says in which epoch it is, counted from
/// 0, and with which labels the bags of this step come, for losses that depend on them.
struct pass {
  bool training = false;
  random_stream random = {};
  std::int64_t first_row = 0;
  std::int64_t epoch = 0;
  vector_view<const std::int64_t> step_labels = {};

  /// The pass through the `i`-th child of a combinator, with random numbers of its own.
  pass child(std::uint64_t i) const { return {training, random.child(i), first_row, epoch, step_labels}; }
  pass from_row(std::int64_t row) const { return {training, random, first_row + row, epoch, step_labels}; }
};

/// What a parameter is for, so that an initialiser can tell; fans as PyTorch counts them. A `statistic` is no trainable
/// parameter but lies among them, so that checkpoints and teachers carry it: a running mean of what a layer met. forward is
/// const, so while training backward adds to the gradient's stretch by how much each statistic should move, and 1 to the
/// `statistic_count` [1] that a layer describes behind its statistics. After the step the trainer moves them by the mean of
/// what was added (train/statistics.hpp); the optimizer and the gradient's norm pass them over.
enum class role { weight, bias, scale, shift, statistic, statistic_count };
constexpr bool is_statistic(role what) { return what == role::statistic || what == role::statistic_count; }

/// Initialisers by the field's names. `torch`: uniform in +-1/sqrt(fan_in) for weights and biases (PyTorch's default
/// for linear and convolution); the others set biases to 0 and weights to Xavier (Glorot & Bengio 2010, gain 1) or
/// Kaiming (He et al. 2015, gain sqrt 2) noise.
enum class init { torch, xavier_uniform, xavier_normal, kaiming_uniform, kaiming_normal, zeros, ones };

/// The extents of one parameter.
struct dims {
  static constexpr int max_rank = 4;
  constexpr dims(std::initializer_list<std::int64_t> list) {
    if (list.size() > max_rank)
      throw shape_error(message("milkit: a parameter has ", list.size(), " extents, expected at most ", max_rank));
    for (const std::int64_t e : list) extent[rank++] = e;
  }
  constexpr std::int64_t size() const {
    std::int64_t product = 1;
    for (int i = 0; i < rank; ++i) product *= extent[i];
    return product;
  }
  std::int64_t extent[max_rank] = {};
  int rank = 0;
};

/// A parameter as a layer describes it.
struct parameter_spec {
  const char* name;
  dims shape;
  role what = role::weight;
  std::int64_t fan_in = 1;
  std::int64_t fan_out = 1;
  init scheme = init::torch;
};

/// Every layer's stretch of the flat parameters starts at a multiple of this many elements; the rest is zeros.
inline constexpr std::int64_t parameter_alignment = 16;

namespace detail {
constexpr std::int64_t aligned(std::int64_t count) {
  return (count + parameter_alignment - 1) / parameter_alignment * parameter_alignment;
}
struct parameter_counter {
  std::int64_t stretch = 0;  ///< with alignment
  std::int64_t count = 0;    ///< without, and without statistics
  constexpr void parameter(const parameter_spec& p) {
    stretch += p.shape.size();
    if (!is_statistic(p.what)) count += p.shape.size();
  }
  template <class Layer>
  constexpr void child(const char*, const Layer& layer) {
    parameter_counter inner;
    layer.describe(inner);
    stretch = aligned(stretch) + aligned(inner.stretch);
    count += inner.count;
  }
};
template <class Layer>
constexpr parameter_counter count_parameters(const Layer& layer) {
  parameter_counter counter;
  layer.describe(counter);
  counter.stretch = aligned(counter.stretch);
  return counter;
}
}  // namespace detail

/// The number of trainable parameters of a network, as papers count them.
template <class Layer>
constexpr std::int64_t parameter_count(const Layer& layer) {
  return detail::count_parameters(layer).count;
}
/// The length of a layer's stretch in the flat parameters: its parameters, aligned.
template <class Layer>
constexpr std::int64_t parameter_stretch(const Layer& layer) {
  return detail::count_parameters(layer).stretch;
}

/// Takes views off a layer's stretch one after the other, in the order in which the layer describes them. A stretch of
/// length 0 (absent) gives absent views. Errors: shape_error past the end, and for a stretch whose elements lie apart.
template <class T, class Space>
class parameter_cursor {
 public:
  explicit parameter_cursor(vector_view<T, Space> stretch) : rest_(stretch) {
    if (!stretch.contiguous())
      throw shape_error(message("milkit: a layer's parameters lie ", stretch.stride(), " elements apart, expected 1"));
  }
  matrix_view<T, Space> matrix(std::int64_t rows, std::int64_t cols) { return {take(rows * cols), {rows, cols}}; }
  vector_view<T, Space> vector(std::int64_t count) { return {take(count), {count}}; }
  template <class Layer>
  vector_view<T, Space> child(const Layer& layer) {
    at_ = detail::aligned(at_);
    return vector(parameter_stretch(layer));
  }
  view<T, 4, Space> kernel(std::int64_t out, std::int64_t in, std::int64_t height, std::int64_t width) {
    return {take(out * in * height * width), {out, in, height, width}};
  }

 private:
  T* take(std::int64_t count) {
    if (at_ + count > rest_.extent(0))
      throw shape_error(message("milkit: a layer's parameters end at ", rest_.extent(0), ", element ", at_ + count,
                                " was asked for"));
    T* data = rest_.data() + at_;
    at_ += count;
    return data;
  }
  vector_view<T, Space> rest_;
  std::int64_t at_ = 0;
};
template <class T, class Space>
parameter_cursor(view<T, 1, Space>) -> parameter_cursor<T, Space>;

/// A value that the compiler can use as a layer on inputs of rank `Rank` (see the head of this file).
template <class Layer, int Rank>
concept layer = requires(const Layer l, shape<Rank> s, detail::parameter_counter counter) {
  Layer::in_features;
  Layer::out_features;
  { Layer::row_wise } -> std::convertible_to<bool>;
  { Layer::in_place } -> std::convertible_to<bool>;
  { Layer::keeps_output } -> std::convertible_to<bool>;
  l.output_shape(s);
  l.describe(counter);
};

}  // namespace milkit
