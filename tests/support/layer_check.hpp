#pragma once

#include <milkit/nn/parameters.hpp>

#include <support/on_backend.hpp>
#include <support/unoptimised.hpp>

MILKIT_UNOPTIMISED_BEGIN

namespace milkit::test {

/// What one forward and backward pass of a layer gives, on the host.
template <class T, int InRank, int OutRank>
struct layer_result {
  tensor<T, OutRank> output;
  tensor<T, InRank> dinput;
  tensor<T, 1> gradient;
};

/// Runs a layer on rows of a bag. The gradient starts from zeros.
template <class T, int Rank, class Layer, int OutRank>
auto run_layer(backend_type& backend, const Layer& layer, const tensor<T, 1>& weights, view<const T, Rank> input,
               view<const T, OutRank> doutput, const pass& pass) {
  const auto w = put(weights);
  const auto x = put(input);
  auto dy = put(doutput);
  resident<T, OutRank> y(layer.output_shape(input.shape()));
  resident<T, Rank> dx(input.shape());
  resident<T, 1> gradient(weights.shape());
  const auto scope = backend.workspace.scope();
  saved_of<Layer, view<const T, Rank, backend_space>> kept{};
  const context at{backend, w.view(), gradient.view(), pass};
  layer.forward(at, constant(x), y.view(), kept);
  layer.backward(at, kept, dy.view(), dx.view());
  return layer_result<T, Rank, OutRank>{fetch(y), fetch(dx), fetch(gradient)};
}

/// What the forward pass alone gives.
template <class T, int Rank, class Layer>
auto layer_output(backend_type& backend, const Layer& layer, const tensor<T, 1>& weights, const tensor<T, Rank>& input,
                  const pass& pass) {
  const auto w = put(weights);
  const auto x = put(input);
  resident<T, decltype(layer.output_shape(input.shape()))::rank> y(layer.output_shape(input.shape()));
  const auto scope = backend.workspace.scope();
  saved_of<Layer, view<const T, Rank, backend_space>> kept{};
  layer.forward(context{backend, w.view(), {}, pass}, constant(x), y.view(), kept);
  return fetch(y);
}

/// A layer with weights, a bag of inputs and an upstream gradient, and what the contract in nn/layer.hpp promises about
/// it.
template <class Layer, int Rank>
class layer_check {
 public:
  static constexpr int out_rank = decltype(std::declval<Layer>().output_shape(shape<Rank>()))::rank;
  pass how{.training = true, .random = random_stream(11, 2, 3), .first_row = 5};
  double tolerance = 1e-7;  ///< of central differences

  layer_check(Layer layer, shape<Rank> input_shape)
      : layer_(std::move(layer)),
        input_(normals<double>(input_shape, 1)),
        doutput_(normals<double>(layer_.output_shape(input_shape), 2)),
        weights_(away_from_zero(layer_)) {}

  /// All of it.
  void all() {
    gradients();
    floats();
    rows_are_independent();
    ways<float>();
    ways<double>();
    adds_to_gradient();
    absent_dinput();
    frozen();
    inference();
    zero_rows();
    in_place();
    strided();
    memory();
  }

  void gradients() {
    backend_type backend = make_backend();
    const auto result = run(backend, weights_, input_, doutput_);
    const auto loss = [&] { return inner(layer_output(backend, layer_, weights_, input_, how), doutput_); };
    CHECK(relative_error(result.dinput, central_differences(input_.view(), loss)) <= tolerance);
    if (weights_.size() > 0)
      CHECK(relative_error(trainable(elements(result.gradient)),
                           trainable(central_differences(weights_.view(), loss))) <= tolerance);
  }

  /// float differs from double by rounding alone.
  void floats() {
    backend_type backend = make_backend();
    const auto want = run(backend, rounded<double>(weights_), rounded<double>(input_), rounded<double>(doutput_));
    const auto got = run(backend, rounded<float>(weights_), rounded<float>(input_), rounded<float>(doutput_));
    CHECK(relative_error(got.output, want.output) <= 1e-5);
    CHECK(relative_error(got.dinput, want.dinput) <= 1e-5);
    CHECK(relative_error(got.gradient, want.gradient) <= 1e-5);
  }

  /// A row-wise layer gives the same for a bag in chunks.
  void rows_are_independent() {
    if constexpr (layer_traits<Layer>::row_wise) {
      rows_of<float>();
      rows_of<double>();
    }
  }

  /// The same bits in every way to run.
  template <class T>
  void ways() {
    const auto weights = rounded<T>(weights_);
    const auto input = repeated(rounded<T>(input_));
    const auto doutput = repeated(rounded<T>(doutput_));
    backend_type one = make_backend(1);
    const auto want = run(one, weights, input, doutput);
    in_every_way([&](backend_type& backend) {
      const auto got = run(backend, weights, input, doutput);
      CHECK(same_bits(got.output, want.output));
      CHECK(same_bits(got.dinput, want.dinput));
      CHECK(same_bits(got.gradient, want.gradient));
    });
  }

  void adds_to_gradient() {
    backend_type backend = make_backend(1);
    const auto want = run(backend, weights_, input_, doutput_);
    tensor<double, 1> gradient(weights_.shape());
    std::fill_n(gradient.data(), gradient.size(), 3.0);
    const auto dinput = backward_into(backend, true, gradient);
    for (std::int64_t i = 0; i < gradient.size(); ++i) gradient.data()[i] -= 3;
    CHECK(relative_error(gradient, want.gradient) <= 1e-13);
    CHECK(same_bits(dinput, want.dinput));
  }

  void absent_dinput() {
    backend_type backend = make_backend(1);
    const auto want = run(backend, weights_, input_, doutput_);
    tensor<double, 1> gradient(weights_.shape());
    backward_into(backend, false, gradient);
    CHECK(same_bits(gradient, want.gradient));
  }

  /// Without a gradient, as where all is frozen, the input's is the same.
  void frozen() {
    backend_type backend = make_backend(1);
    const auto want = run(backend, weights_, input_, doutput_);
    const auto weights = put(weights_);
    const auto input = put(input_);
    auto doutput = put(doutput_), output = put(doutput_);
    resident<double, Rank> dinput(input_.shape());
    const auto scope = backend.workspace.scope();
    saved_of<Layer, view<const double, Rank, backend_space>> kept{};
    const context at{backend, weights.view(), {}, how};
    layer_.forward(at, constant(input), output.view(), kept);
    layer_.backward(at, kept, doutput.view(), dinput.view());
    CHECK(same_bits(fetch(dinput), want.dinput));
  }

  /// `infer` gives the output of a forward pass, and keeps nothing.
  void inference() {
    for (const bool training : {false, true}) {
      const pass once{.training = training, .random = how.random, .first_row = how.first_row};
      backend_type backend = make_backend();
      const auto want = layer_output(backend, layer_, weights_, input_, once);
      const auto weights = put(weights_);
      const auto input = put(input_);
      auto output = put(doutput_);
      nn::infer(layer_, context{backend, weights.view(), {}, once}, constant(input), output.view());
      CHECK(same_bits(fetch(output), want));
      CHECK(backend.workspace.bytes_in_use() == 0);
    }
  }

  void zero_rows() {
    backend_type backend = make_backend();
    const tensor<double, Rank> input(input_.shape().with_rows(0));
    const tensor<double, out_rank> doutput(doutput_.shape().with_rows(0));
    const auto result = run(backend, weights_, input, doutput);
    CHECK(result.output.shape() == doutput.shape());
    for (const double each : elements(result.gradient)) CHECK(each == 0);
  }

  /// The same bits where output is the input's memory and dinput doutput's.
  void in_place() {
    if constexpr (layer_traits<Layer>::in_place) {
      backend_type backend = make_backend();
      const auto want = run(backend, weights_, input_, doutput_);
      const auto weights = put(weights_);
      auto values = put(input_);
      auto gradients = put(doutput_);
      resident<double, 1> gradient(weights_.shape());
      const auto output = values.view().as_rows_of(doutput_.shape());
      const auto scope = backend.workspace.scope();
      saved_of<Layer, view<const double, Rank, backend_space>> kept{};
      const context at{backend, weights.view(), gradient.view(), how};
      layer_.forward(at, constant(values), output, kept);
      CHECK(same_bits(fetch(values), want.output));
      layer_.backward(at, kept, gradients.view(), gradients.view().as_rows_of(input_.shape()));
      CHECK(same_bits(fetch(gradients), want.dinput));
      CHECK(same_bits(fetch(gradient), want.gradient));
    }
  }

  /// Rows that lie apart give the same, and what lies between them is left alone.
  void strided() {
    backend_type backend = make_backend();
    const auto want = run(backend, weights_, input_, doutput_);
    const auto weights = put(weights_);
    rows_apart<double, Rank> input(input_), dinput((tensor<double, Rank>(input_.shape())));
    rows_apart<double, out_rank> doutput(doutput_), output((tensor<double, out_rank>(doutput_.shape())));
    resident<double, 1> gradient(weights_.shape());
    const auto scope = backend.workspace.scope();
    saved_of<Layer, view<const double, Rank, backend_space>> kept{};
    const context at{backend, weights.view(), gradient.view(), how};
    layer_.forward(at, view<const double, Rank, backend_space>(input.rows()), output.rows(), kept);
    CHECK(same_rows(output.values(), want.output, rounding<double>));
    layer_.backward(at, kept, doutput.rows(), dinput.rows());
    CHECK(same_rows(dinput.values(), want.dinput, rounding<double>));
    CHECK(same_rows(fetch(gradient), want.gradient, rounding<double>));
    for (const bool untouched : {input.untouched(), dinput.untouched(), output.untouched(), doutput.untouched()})
      CHECK(untouched);
  }

  /// A planner counts the very bytes that a pass uses, and after the first pass nothing comes from the system.
  void memory() {
    backend_type backend = make_backend(), planner = backend.planner();
    run(planner, weights_, input_, doutput_);
    for (int step = 0; step < 3; ++step) {
      const std::size_t reserved = backend.workspace.reserved_bytes();
      run(backend, weights_, input_, doutput_);
      if (step == 2) CHECK(backend.workspace.reserved_bytes() == reserved);
    }
    CHECK(backend.peak_bytes() == planner.peak_bytes());
    CHECK(backend.workspace.bytes_in_use() == 0);
  }

  const Layer& layer() const { return layer_; }
  const tensor<double, Rank>& input() const { return input_; }
  tensor<double, 1>& weights() { return weights_; }

 private:
  template <class T>
  static constexpr double rounding = sizeof(T) == 4 ? 1e-6 : 1e-14;

  template <class T, int AnyRank>
  static view<const T, AnyRank> as_const(const tensor<T, AnyRank>& t) {
    return t.view();
  }

  template <class T>
  auto run(backend_type& backend, const tensor<T, 1>& weights, const tensor<T, Rank>& input,
           const tensor<T, out_rank>& doutput) const {
    return run_layer<T>(backend, layer_, weights, as_const(input), as_const(doutput), how);
  }

  /// Runs both ways, adds to `gradient` and gives dinput where it is wanted.
  tensor<double, Rank> backward_into(backend_type& backend, bool wanted, tensor<double, 1>& gradient) {
    const auto weights = put(weights_);
    const auto input = put(input_);
    auto doutput = put(doutput_), output = put(doutput_);
    resident<double, Rank> dinput(input_.shape());
    auto sum = put(gradient);
    const auto scope = backend.workspace.scope();
    saved_of<Layer, view<const double, Rank, backend_space>> kept{};
    const context at{backend, weights.view(), sum.view(), how};
    layer_.forward(at, constant(input), output.view(), kept);
    layer_.backward(at, kept, doutput.view(), wanted ? dinput.view() : view<double, Rank, backend_space>());
    gradient = fetch(sum);
    return fetch(dinput);
  }

  template <class T>
  void rows_of() {
    backend_type backend = make_backend();
    const auto weights = rounded<T>(weights_);
    const auto input = repeated(rounded<T>(input_));
    const auto doutput = repeated(rounded<T>(doutput_));
    const auto want = run(backend, weights, input, doutput);
    for (const std::int64_t size : {1, 3, 64}) {
      tensor<T, out_rank> output(want.output.shape());
      tensor<T, Rank> dinput(input.shape());
      for (std::int64_t first = 0; first < input.rows(); first += size) {
        const std::int64_t count = (std::min)(size, input.rows() - first);
        const auto part = run_layer<T>(backend, layer_, weights, as_const(input).rows(first, count),
                                       as_const(doutput).rows(first, count), how.from_row(first));
        std::copy_n(part.output.data(), part.output.size(), output.view().row(first));
        std::copy_n(part.dinput.data(), part.dinput.size(), dinput.view().row(first));
      }
      CAPTURE(size);
      CHECK(same_rows(output, want.output, rounding<T>));
      CHECK(same_rows(dinput, want.dinput, rounding<T>));
    }
  }

  template <class T, int AnyRank>
  static tensor<T, AnyRank> rounded(const tensor<double, AnyRank>& from) {
    tensor<T, AnyRank> to(from.shape());
    for (std::int64_t i = 0; i < from.size(); ++i) to.data()[i] = static_cast<T>(static_cast<float>(from.data()[i]));
    return to;
  }

  /// More rows than one chunk of any op, none like another.
  template <class T, int AnyRank>
  static tensor<T, AnyRank> repeated(const tensor<T, AnyRank>& from) {
    const std::int64_t rows = from.rows() == 0 ? 0 : 301;
    tensor<T, AnyRank> to(from.shape().with_rows(rows));
    const std::int64_t size = from.shape().row_size();
    for (std::int64_t i = 0; i < rows; ++i)
      for (std::int64_t j = 0; j < size; ++j)
        to.view().row(i)[j] = from.view().row(i % from.rows())[j] * (T(1) + static_cast<T>(i / from.rows()) / T(64));
    return to;
  }

  /// Without statistics, whose stretch of the gradient says something else, and without what is frozen, which has none.
  std::vector<double> trainable(std::vector<double> gradient) const {
    for (const auto& entry : parameter_entries(layer_))
      if (is_statistic(entry.what) || entry.rate == 0) std::fill_n(gradient.begin() + entry.offset, entry.size(), 0.0);
    return gradient;
  }

  static tensor<double, 1> away_from_zero(const Layer& layer) {
    parameters<Layer, double> weights = initial_parameters<double>(layer, {.seed = 3});
    const tensor<double, 1> noise = normals<double>(weights.flat().shape(), 4, 0.3);
    tensor<double, 1> values(weights.flat().shape());
    for (const auto& entry : weights.entries())
      for (std::int64_t i = entry.offset; i < entry.offset + entry.size(); ++i)
        values.data()[i] = weights.flat()(i) + noise.data()[i];
    return values;
  }

  Layer layer_;
  tensor<double, Rank> input_;
  tensor<double, out_rank> doutput_;
  tensor<double, 1> weights_;
};
template <class Layer, int Rank>
layer_check(Layer, shape<Rank>) -> layer_check<Layer, Rank>;

}  // namespace milkit::test

MILKIT_UNOPTIMISED_END
