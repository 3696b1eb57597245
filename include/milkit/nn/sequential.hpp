#pragma once

#include <algorithm>
#include <array>
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

/// What layers one after the other save.
template <class Input, class... Layers>
struct layer_chain {
  using saved = std::tuple<>;
};
template <class Input, class First, class... Rest>
struct layer_chain<Input, First, Rest...> {
  static_assert(
      milkit::detail::takes_rank<First, Input::rank>,
      "milkit::nn::sequential: a layer does not take inputs of this rank; rows [n, features] and images [n, channels, "
      "height, width] differ, and nn::flatten makes rows of images");
  static_assert(!milkit::detail::takes_rank<First, Input::rank> || layer<First, Input::rank>,
                "milkit::nn::sequential: the verbs of a layer are not those of nn/layer.hpp: void forward(at, input, "
                "output, saved) and void backward(at, saved, doutput, dinput)");
  using rest = layer_chain<output_of<First, Input>, Rest...>;
  using saved = decltype(std::tuple_cat(std::declval<std::tuple<saved_of<First, Input>>>(),
                                        std::declval<typename rest::saved>()));
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
  static constexpr bool row_wise = (layer_traits<Layers>::row_wise && ...);
  static constexpr bool in_place = size == 1 && layer_traits<layer_at<0>>::in_place;
  static constexpr bool keeps_output = layer_traits<layer_at<size - 1>>::keeps_output;

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

  constexpr auto list(auto& l) const {
    static_cast<void>(widths_fit(std::make_integer_sequence<int, size - 1>()));
    return list_of(l, std::make_integer_sequence<int, size>());
  }

  template <class Input>
  struct saved {
    typename detail::layer_chain<Input, Layers...>::saved each;
    shape<Input::rank> input;
  };
  template <class Input>
  void forward(const auto& at, Input input, auto output, saved<Input>& kept) const {
    kept.input = input.shape();
    forward_from<0>(at, input, view<typename Input::value_type, Input::rank, typename Input::space>(), output, kept);
  }
  void backward(const auto& at, const auto& kept, auto doutput, auto dinput) const {
    backward_from<size - 1>(at, kept, doutput, dinput);
  }

  /// In two buffers, each as large as the largest that it holds: layers read one and write the other, and those that may
  /// work in place, in the memory of the layer before them. The last ones write the output itself.
  void infer(const auto& at, auto input, auto output) const {
    using T = typename decltype(output)::value_type;
    auto& workspace = at.backend.workspace;
    const auto scope = workspace.scope();
    std::array<std::int64_t, 2> elements{};
    measure<T>(input, elements, std::make_integer_sequence<int, size - 1>());
    std::array<T*, 2> buffers{};
    for (std::size_t i = 0; i < 2; ++i) buffers[i] = workspace.template allocate<T>(elements[i]).data();
    infer_from<0>(at, input, output, buffers);
  }

 private:
  template <int... Index>
  static constexpr bool widths_fit(std::integer_sequence<int, Index...>) {
    return (detail::neighbours<detail::features_after<Index + 1, Layers...>(), layer_at<Index + 1>::in_features>::fit &&
            ...);
  }
  template <int... Index>
  constexpr auto list_of(auto& l, std::integer_sequence<int, Index...>) const {
    return std::array{l.child(detail::index_name<Index>::text, get<Index>())...};
  }

  template <int Count, int Rank>
  auto shape_after(shape<Rank> input) const {
    if constexpr (Count == 0) return input;
    else return get<Count - 1>().output_shape(shape_after<Count - 1>(input));
  }

  /// True where layers First .. size - 1 all write over their input.
  template <int First, bool Kept>
  static constexpr bool rest_in_place() {
    if constexpr (First >= size) return true;
    else
      return layer_traits<layer_at<First>>::in_place && !(Kept && layer_traits<layer_at<First - 1>>::keeps_output) &&
             rest_in_place<First + 1, Kept>();
  }
  /// True where layer `Index` writes over its input, which is not the caller's.
  template <int Index, bool Kept>
  static constexpr bool over_input() {
    if constexpr (Index == 0) return false;
    else return layer_traits<layer_at<Index>>::in_place && !(Kept && layer_traits<layer_at<Index - 1>>::keeps_output);
  }

  template <int Index, class Input, class Own, class Output>
  void forward_from(const auto& at, Input input, Own own_input, Output output, auto& kept) const {
    using T = typename Output::value_type;
    const auto& layer = get<Index>();
    auto& layer_kept = std::get<Index>(kept.each);
    if constexpr (Index == size - 1) {
      layer.forward(at.template child<Index>(*this), input, output, layer_kept);
    } else {
      const auto shape = layer.output_shape(input.shape());
      const auto target = [&] {
        if constexpr (rest_in_place<Index + 1, true>()) return output.as_rows_of(shape);
        else if constexpr (over_input<Index, true>()) return own_input.as_rows_of(shape);
        else return at.backend.kept_memory().template allocate_rows<T>(shape);
      }();
      layer.forward(at.template child<Index>(*this), input, target, layer_kept);
      using next_input = view<const T, decltype(shape)::rank, typename Input::space>;
      forward_from<Index + 1>(at, next_input(target), target, output, kept);
    }
  }

  template <int Index, class Doutput>
  void backward_from(const auto& at, const auto& kept, Doutput doutput, auto dinput) const {
    using T = typename Doutput::value_type;
    const auto& layer_kept = std::get<Index>(kept.each);
    if constexpr (Index == 0) {
      get<0>().backward(at.template child<0>(*this), layer_kept, doutput, dinput);
    } else {
      const auto scope = at.backend.workspace.scope();
      const auto shape = shape_after<Index>(kept.input);
      const auto dx = [&] {
        if constexpr (layer_traits<layer_at<Index>>::in_place) return doutput.as_rows_of(shape);
        else return at.backend.workspace.template allocate_rows<T>(shape);
      }();
      get<Index>().backward(at.template child<Index>(*this), layer_kept, doutput, dx);
      backward_from<Index - 1>(at, kept, dx, dinput);
    }
  }

  /// Which of the two buffers layer `Index` writes in inference: they take turns.
  template <int Index>
  static constexpr std::size_t buffer_of() {
    if constexpr (Index == 0) return 0;
    else return over_input<Index, false>() ? buffer_of<Index - 1>() : 1 - buffer_of<Index - 1>();
  }
  template <class T, class Input, int... Index>
  void measure(const Input& input, std::array<std::int64_t, 2>& elements, std::integer_sequence<int, Index...>) const {
    (
        [&] {
          if constexpr (!rest_in_place<Index + 1, false>()) {
            const auto shape = shape_after<Index + 1>(input.shape());
            auto& most = elements[buffer_of<Index>()];
            most =
                (std::max)(most, shape[0] * workspace<typename Input::space>::template row_stride<T>(shape.row_size()));
          }
        }(),
        ...);
  }
  template <int Index, class T>
  void infer_from(const auto& at, auto input, auto output, const std::array<T*, 2>& buffers) const {
    const auto& layer = get<Index>();
    if constexpr (Index == size - 1) {
      nn::infer(layer, at.template child<Index>(*this), input, output);
    } else {
      const auto shape = layer.output_shape(input.shape());
      using Space = typename decltype(input)::space;
      const auto target = [&] {
        if constexpr (rest_in_place<Index + 1, false>()) return output.as_rows_of(shape);
        else
          return view<T, decltype(shape)::rank, Space>(buffers[buffer_of<Index>()], shape,
                                                       workspace<Space>::template row_stride<T>(shape.row_size()));
      }();
      nn::infer(layer, at.template child<Index>(*this), input, target);
      infer_from<Index + 1>(at, view<const T, decltype(shape)::rank, Space>(target), output, buffers);
    }
  }
};

template <class... Layers>
sequential(Layers...) -> sequential<Layers...>;

}  // namespace milkit::nn
