#pragma once

#include <tuple>
#include <utility>

#include <milkit/nn/layer.hpp>

namespace milkit::nn {

namespace detail {

/// Instantiated for each pair of neighbours, so that the compiler's message shows both numbers.
template <std::int64_t Gives, std::int64_t Takes>
struct neighbours {
  static constexpr bool fit = Gives == Takes || Gives < 0 || Takes < 0;
  static_assert(
      fit,
      "milkit::nn::sequential: a layer gives another number of features than the next one takes; see the two numbers "
      "in neighbours<Gives, Takes>");
};

/// The features after the first `Count` layers, as far as the types know.
template <int Count, class... Layers>
constexpr std::int64_t features_after() {
  constexpr std::int64_t out[] = {Layers::out_features...};
  std::int64_t features = any_features;
  for (int i = 0; i < Count; ++i)
    if (out[i] != any_features) features = out[i];
  return features;
}

/// The name of the I-th child: "0", "1", ...
template <int Index>
struct index_name {
  static_assert(Index < 100);
  static constexpr char text[3] = {Index < 10 ? '0' + Index : '0' + Index / 10, Index < 10 ? '\0' : '0' + Index % 10,
                                   '\0'};
};

/// The view that a layer's output is, for an input view.
template <class Layer, class Input>
using output_view = view<typename Input::element_type,
                         decltype(std::declval<const Layer&>().output_shape(std::declval<Input>().shape()))::rank,
                         typename Input::space>;

/// What layers one after the other save, and the views that each of them gets.
template <class Input, class... Layers>
struct layer_chain {
  using saved = std::tuple<>;
  using inputs = std::tuple<Input>;
};
template <class Input, class First, class... Rest>
struct layer_chain<Input, First, Rest...> {
  static_assert(
      layer<First, Input::rank>,
      "milkit::nn::sequential: a layer does not take inputs of this rank; rows [n, features] and images [n, channels, "
      "height, width] differ, and nn::flatten makes rows of images");
  using rest = layer_chain<output_view<First, Input>, Rest...>;
  using saved = decltype(std::tuple_cat(std::declval<std::tuple<typename First::template saved<Input>>>(),
                                        std::declval<typename rest::saved>()));
  using inputs = decltype(std::tuple_cat(std::declval<std::tuple<Input>>(), std::declval<typename rest::inputs>()));
};

}  // namespace detail

/// Layers one after the other: y = f_n(... f_1(x)). Children are named "0", "1", ..., as in PyTorch. Widths that the
/// types know are checked at compile time, the others when a bag comes (shape_error). Elementwise layers work in the
/// memory of the layer before them where its output is not needed any more.
template <class... Layers>
struct sequential {
  static_assert(sizeof...(Layers) > 0, "milkit::nn::sequential: at least one layer");

  static constexpr int size = sizeof...(Layers);
  template <int Index>
  using layer_at = std::tuple_element_t<static_cast<std::size_t>(Index), std::tuple<Layers...>>;

  static constexpr std::int64_t in_features = layer_at<0>::in_features;
  static constexpr std::int64_t out_features = detail::features_after<size, Layers...>();
  static constexpr bool row_wise = (Layers::row_wise && ...);
  static constexpr bool in_place = size == 1 && layer_at<0>::in_place;
  static constexpr bool keeps_output = layer_at<size - 1>::keeps_output;

  std::tuple<Layers...> layers;

  constexpr sequential() = default;
  constexpr explicit sequential(Layers... each) : layers(std::move(each)...) {}

  template <int Index>
  constexpr const layer_at<Index>& get() const {
    return std::get<static_cast<std::size_t>(Index)>(layers);
  }

  template <int Rank>
  auto output_shape(shape<Rank> input) const {
    return shape_after<size>(input);
  }

  template <class Visitor>
  constexpr void describe(Visitor& v) const {
    static_cast<void>(widths_fit(std::make_integer_sequence<int, size - 1>()));
    describe_from<0>(v);
  }

  template <class Input>
  struct saved {
    typename detail::layer_chain<Input, Layers...>::saved each;
    shape<Input::rank> input;
  };

  template <class Backend, class Weights, class Input, class Output>
  void forward(Backend& backend, Weights weights, Input input, Output output, saved<Input>& kept,
               const pass& pass) const {
    kept.input = input.shape();
    forward_from<0>(backend, weights, input, view<typename Output::value_type, Input::rank, typename Input::space>(),
                    output, kept, pass);
  }

  template <class Backend, class Weights, class Input, class Doutput, class Dinput, class Gradient>
  void backward(Backend& backend, Weights weights, const saved<Input>& kept, Doutput doutput, Dinput dinput,
                Gradient gradient, const pass& pass) const {
    backward_from<size - 1>(backend, weights, kept, doutput, dinput, gradient, pass);
  }

 private:
  template <int... Index>
  static constexpr bool widths_fit(std::integer_sequence<int, Index...>) {
    return (detail::neighbours<detail::features_after<Index + 1, Layers...>(), layer_at<Index + 1>::in_features>::fit &&
            ...);
  }

  template <int Count, int Rank>
  auto shape_after(shape<Rank> input) const {
    if constexpr (Count == 0) return input;
    else return get<Count - 1>().output_shape(shape_after<Count - 1>(input));
  }

  template <int Index, class Visitor>
  constexpr void describe_from(Visitor& v) const {
    v.child(detail::index_name<Index>::text, get<Index>());
    if constexpr (Index + 1 < size) describe_from<Index + 1>(v);
  }

  /// Child I's part of this layer's stretch.
  template <int Index, class Stretch>
  Stretch stretch_of(Stretch stretch) const {
    std::int64_t first = 0;
    [&]<int... Earlier>(std::integer_sequence<int, Earlier...>) { ((first += parameter_stretch(get<Earlier>())), ...); }
    (std::make_integer_sequence<int, Index>());
    return stretch.rows(first, parameter_stretch(get<Index>()));
  }

  /// True where layers First .. size - 1 all write over their input.
  template <int First>
  static constexpr bool rest_in_place() {
    if constexpr (First >= size) return true;
    else return layer_at<First>::in_place && !layer_at<First - 1>::keeps_output && rest_in_place<First + 1>();
  }

  template <int Index, class Backend, class Weights, class Input, class Own, class Output, class Saved>
  void forward_from(Backend& backend, Weights weights, Input input, Own own_input, Output output, Saved& kept,
                    const pass& pass) const {
    using T = typename Output::value_type;
    const auto& layer = get<Index>();
    auto& layer_kept = std::get<Index>(kept.each);
    if constexpr (Index == size - 1) {
      layer.forward(backend, stretch_of<Index>(weights), input, output, layer_kept, pass.child(Index));
    } else {
      const auto shape = layer.output_shape(input.shape());
      const auto target = [&] {
        if constexpr (rest_in_place<Index + 1>()) return output.as_rows_of(shape);
        else if constexpr (Index > 0 && layer_at<Index>::in_place &&
                           !layer_at<(Index > 0 ? Index : 1) - 1>::keeps_output)
          return own_input.as_rows_of(shape);
        else return backend.kept_memory().template allocate_rows<T>(shape);
      }();
      layer.forward(backend, stretch_of<Index>(weights), input, target, layer_kept, pass.child(Index));
      using next_input = view<const T, decltype(shape)::rank, typename Input::space>;
      forward_from<Index + 1>(backend, weights, next_input(target), target, output, kept, pass);
    }
  }

  template <int Index, class Backend, class Weights, class Saved, class Doutput, class Dinput, class Gradient>
  void backward_from(Backend& backend, Weights weights, const Saved& kept, Doutput doutput, Dinput dinput,
                     Gradient gradient, const pass& pass) const {
    using T = typename Doutput::value_type;
    const auto& layer_kept = std::get<Index>(kept.each);
    if constexpr (Index == 0) {
      get<0>().backward(backend, stretch_of<0>(weights), layer_kept, doutput, dinput, stretch_of<0>(gradient),
                        pass.child(0));
    } else {
      const auto scope = backend.workspace.scope();
      const auto shape = shape_after<Index>(kept.input);
      const auto dx = [&] {
        if constexpr (layer_at<Index>::in_place) return doutput.as_rows_of(shape);
        else return backend.workspace.template allocate_rows<T>(shape);
      }();
      get<Index>().backward(backend, stretch_of<Index>(weights), layer_kept, doutput, dx, stretch_of<Index>(gradient),
                            pass.child(Index));
      backward_from<Index - 1>(backend, weights, kept, dx, dinput, gradient, pass);
    }
  }
};

template <class... Layers>
sequential(Layers...) -> sequential<Layers...>;

}  // namespace milkit::nn
