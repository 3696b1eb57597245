#pragma once

#include <tuple>
#include <utility>

#include <milkit/nn/sequential.hpp>
#include <milkit/ops/rows/fill.hpp>

namespace milkit::nn {

namespace detail {

/// Instantiated for the first branch and each other, so that the compiler's message shows both numbers.
template <std::int64_t First, std::int64_t Other>
struct branches {
  static constexpr bool fit = First == Other || First < 0 || Other < 0;
  static_assert(
      fit,
      "milkit::nn::parallel: two branches take different numbers of features, but get one input; see the two numbers "
      "in branches<First, Other>");
};

/// The first of the branches' widths that the type knows.
constexpr std::int64_t known_features(std::initializer_list<std::int64_t> branches) {
  for (const std::int64_t each : branches)
    if (each >= 0) return each;
  for (const std::int64_t each : branches)
    if (each == dynamic_extent) return each;
  return any_features;
}

/// The sum of the branches' widths, where the types know them all; `any_features` gives what it takes.
constexpr std::int64_t total_features(std::int64_t in, std::initializer_list<std::int64_t> branches) {
  std::int64_t total = 0;
  for (const std::int64_t each : branches) {
    const std::int64_t width = each == any_features ? in : each;
    if (width < 0) return dynamic_extent;
    total += width;
  }
  return total;
}

}  // namespace detail

/// Branches on one input, outputs side by side: y = [f_1(x) | f_2(x) | ...]. Shapes: branches give rows [n, d_i], and y is [n,
/// d_1 + d_2 + ...], or images [n, c_i, height, width] of one size, and y is [n, c_1 + c_2 + ..., height, width]. The gradient
/// of x is the sum of theirs. Children are named "0", "1", .... Input widths that the types know are compared at compile time,
/// the rest when a bag comes (shape_error).
template <class... Layers>
struct parallel {
  static_assert(sizeof...(Layers) > 0, "milkit::nn::parallel: at least one branch");

  static constexpr int size = sizeof...(Layers);
  static constexpr std::int64_t in_features = detail::known_features({Layers::in_features...});
  static constexpr std::int64_t out_features = detail::total_features(in_features, {Layers::out_features...});
  static_assert((detail::branches<in_features, Layers::in_features>::fit && ...));
  static constexpr bool row_wise = (layer_traits<Layers>::row_wise && ...);
  static constexpr bool keeps_output = (layer_traits<Layers>::keeps_output || ...);

  std::tuple<Layers...> layers;

  constexpr parallel() = default;
  constexpr explicit parallel(Layers... each) : layers(std::move(each)...) {}

  template <int Rank>
  requires(layer<Layers, Rank>&&...) auto output_shape(shape<Rank> input) const {
    auto sum = branch_shape(std::get<0>(layers), input);
    for_each([&](auto i, const auto& branch) {
      if constexpr (i > 0) {
        const auto own = branch_shape(branch, input);
        for (int axis = 2; axis < own.rank; ++axis)
          if (own[axis] != sum[axis])
            throw shape_error(message("milkit::nn::parallel: of ", to_string(input), " branch 0 makes ",
                                      to_string(branch_shape(std::get<0>(layers), input)), ", but branch ", i + 0, " ",
                                      to_string(own), "; expected images of one size"));
        sum[1] += own[1];
      }
    });
    return sum;
  }

  constexpr auto list(auto& l) const { return list_of(l, std::make_integer_sequence<int, size>()); }

  template <class Input>
  struct saved {
    std::tuple<saved_of<Layers, Input>...> each;
    shape<Input::rank> input;
  };
  template <class Input>
  void forward(const auto& at, Input input, auto output, saved<Input>& kept) const {
    kept.input = input.shape();
    std::int64_t column = 0;
    for_each([&](auto i, const auto& branch) {
      const std::int64_t width = branch_shape(branch, input.shape())[1];
      branch.forward(at.template child<i>(*this), input, part_of(output, column, width), std::get<i>(kept.each));
      column += width;
    });
  }
  template <class Dinput>
  void backward(const auto& at, const auto& kept, auto doutput, Dinput dinput) const {
    const auto scope = at.backend.workspace.scope();
    const bool more = size > 1 && !dinput.absent();
    using T = typename decltype(doutput)::value_type;
    const auto other = more ? at.backend.workspace.template allocate<T>(kept.input) : Dinput();
    std::int64_t column = 0;
    for_each([&](auto i, const auto& branch) {
      const std::int64_t width = branch_shape(branch, kept.input)[1];
      branch.backward(at.template child<i>(*this), std::get<i>(kept.each), part_of(doutput, column, width),
                      i == 0 ? dinput : other);
      if (i > 0 && !dinput.absent()) ops::copy_rows(at.backend, other, dinput, true);
      column += width;
    });
  }
  void infer(const auto& at, auto input, auto output) const {
    std::int64_t column = 0;
    for_each([&](auto i, const auto& branch) {
      const std::int64_t width = branch_shape(branch, input.shape())[1];
      nn::infer(branch, at.template child<i>(*this), input, part_of(output, column, width));
      column += width;
    });
  }

 private:
  template <int... Index>
  constexpr auto list_of(auto& l, std::integer_sequence<int, Index...>) const {
    return std::array{l.child(detail::index_name<Index>::text, std::get<Index>(layers))...};
  }
  /// Calls body(i, branch) for each branch, i being a constant.
  template <class Body>
  constexpr void for_each(Body&& body) const {
    [&]<int... Index>(std::integer_sequence<int, Index...>) {
      (body(std::integral_constant<int, Index>(), std::get<Index>(layers)), ...);
    }
    (std::make_integer_sequence<int, size>());
  }

  template <class First, class Layer, int Rank>
  static constexpr bool gives_alike = decltype(std::declval<const First&>().output_shape(shape<Rank>()))::rank ==
                                      decltype(std::declval<const Layer&>().output_shape(shape<Rank>()))::rank;
  template <class Layer, int Rank>
  static auto branch_shape(const Layer& branch, shape<Rank> input) {
    static_assert(gives_alike<std::tuple_element_t<0, std::tuple<Layers...>>, Layer, Rank>,
                  "milkit::nn::parallel: one branch gives rows and another one images, expected all alike; nn::flatten "
                  "makes rows of images");
    return branch.output_shape(input);
  }
  /// What of the output is a branch's: columns of rows, channels of images.
  template <class View>
  static View part_of(View whole, std::int64_t first, std::int64_t count) {
    if constexpr (View::rank == 2) return whole.columns(first, count);
    else return whole.channels(first, count);
  }
};
template <class... Layers>
parallel(Layers...) -> parallel<Layers...>;

}  // namespace milkit::nn
