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

/// Branches on one input, outputs side by side: y = [f_1(x) | f_2(x) | ...]. Shapes: x [n, d], y [n, d_1 + d_2 + ...];
/// branches give rows [n, d_i]. The gradient of x is the sum of theirs. Children are named "0", "1", .... Input widths
/// that the types know are compared at compile time, the others when a bag comes (shape_error).
template <class... Layers>
struct parallel {
  static_assert(sizeof...(Layers) > 0, "milkit::nn::parallel: at least one branch");

  static constexpr int size = sizeof...(Layers);
  static constexpr std::int64_t in_features = detail::known_features({Layers::in_features...});
  static constexpr std::int64_t out_features = detail::total_features(in_features, {Layers::out_features...});
  static_assert((detail::branches<in_features, Layers::in_features>::fit && ...));
  static constexpr bool row_wise = (Layers::row_wise && ...), in_place = false,
                        keeps_output = (Layers::keeps_output || ...);

  std::tuple<Layers...> layers;

  constexpr parallel() = default;
  constexpr explicit parallel(Layers... each) : layers(std::move(each)...) {}

  template <int Rank>
  requires(layer<Layers, Rank>&&...) shape<2> output_shape(shape<Rank> input)
  const {
    shape<2> sum{input[0], 0};
    for_each([&](auto, const auto& branch, std::int64_t) { sum[1] += branch_shape(branch, input)[1]; });
    return sum;
  }

  template <class Visitor>
  constexpr void describe(Visitor& v) const {
    for_each([&](auto i, const auto& branch, std::int64_t) {
      v.child(detail::index_name<decltype(i)::value>::text, branch);
    });
  }

  template <class Input>
  struct saved {
    std::tuple<typename Layers::template saved<Input>...> each;
    shape<Input::rank> input;
  };

  template <class Backend, class Weights, class Input, class Output>
  void forward(Backend& backend, Weights weights, Input input, Output output, saved<Input>& kept,
               const pass& pass) const {
    kept.input = input.shape();
    std::int64_t column = 0;
    for_each([&](auto i, const auto& branch, std::int64_t at) {
      const std::int64_t width = branch_shape(branch, input.shape())[1];
      branch.forward(backend, weights.rows(at, parameter_stretch(branch)), input, output.columns(column, width),
                     std::get<i>(kept.each), pass.child(i));
      column += width;
    });
  }

  template <class Backend, class Weights, class Input, class Doutput, class Dinput, class Gradient>
  void backward(Backend& backend, Weights weights, const saved<Input>& kept, Doutput doutput, Dinput dinput,
                Gradient gradient, const pass& pass) const {
    const auto scope = backend.workspace.scope();
    const bool more = size > 1 && !dinput.absent();
    const auto other = more ? backend.workspace.template allocate<typename Doutput::value_type>(kept.input) : Dinput();
    std::int64_t column = 0;
    for_each([&](auto i, const auto& branch, std::int64_t at) {
      const std::int64_t width = branch_shape(branch, kept.input)[1], stretch = parameter_stretch(branch);
      branch.backward(backend, weights.rows(at, stretch), std::get<i>(kept.each), doutput.columns(column, width),
                      i == 0 ? dinput : other, gradient.rows(at, stretch), pass.child(i));
      if (i > 0 && !dinput.absent()) ops::copy_rows(backend, other, dinput, true);
      column += width;
    });
  }

 private:
  /// Calls body(i, branch, first element of its stretch) for each branch, i being a constant.
  template <class Body>
  constexpr void for_each(Body&& body) const {
    std::int64_t at = 0;
    [&]<std::size_t... Index>(std::index_sequence<Index...>) {
      (
          [&] {
            const auto& branch = std::get<Index>(layers);
            body(std::integral_constant<int, static_cast<int>(Index)>(), branch, at);
            at += parameter_stretch(branch);
          }(),
          ...);
    }
    (std::make_index_sequence<sizeof...(Layers)>());
  }

  template <class Layer, int Rank>
  static shape<2> branch_shape(const Layer& branch, shape<Rank> input) {
    const auto output = branch.output_shape(input);
    static_assert(
        decltype(output)::rank == 2,
        "milkit::nn::parallel: a branch gives images, expected rows [n, features]; nn::flatten makes rows of images");
    return output;
  }
};
template <class... Layers>
parallel(Layers...) -> parallel<Layers...>;

}  // namespace milkit::nn
