#include <doctest/doctest.h>

#include <milkit/ops/bags/gate_cpu.hpp>

#include <reference/gate.hpp>
#include <support/floats.hpp>
#include <support/golden.hpp>
#include <support/gradient_check.hpp>

using namespace milkit;
using test::golden_tolerance, test::relative_error;

namespace {

double relu_of(double x) { return x > 0 ? x : 0; }
double tanh_of(double x) { return std::tanh(x); }
double sigmoid_of(double x) { return 1 / (1 + std::exp(-x)); }
double gelu_of(double x) { return x * std::erfc(-x / std::sqrt(2.0)) / 2; }

/// Everything that a gate reads, and what it gives.
template <class T>
struct gate_case {
  ops::gate_shape gate;
  tensor<T, 2> products, w, dlogits;
  tensor<T, 1> branch_bias, bias;
  tensor<std::uint8_t, 2> mask;
  double scale = 1;

  gate_case(ops::gate_shape shape_of_gate, std::int64_t n, bool with_bias, bool with_mask)
      : gate(shape_of_gate),
        products(test::normals<T>(shape<2>{n, gate.columns()}, 1)),
        w(test::normals<T>(shape<2>{gate.heads, gate.width}, 2)),
        dlogits(test::normals<T>(shape<2>{n, gate.heads}, 3)) {
    if (with_bias) {
      branch_bias = test::normals<T>(shape<1>{gate.columns()}, 4);
      bias = test::normals<T>(shape<1>{gate.heads}, 5);
    }
    if (with_mask) {
      mask = tensor<std::uint8_t, 2>(products.shape());
      for (std::int64_t i = 0; i < mask.size(); ++i) mask.data()[i] = i % 3 != 0;
      scale = 1.5;
    }
  }

  matrix_view<const std::uint8_t> mask_view() const {
    return mask.size() ? mask.view() : matrix_view<const std::uint8_t>();
  }
  static vector_view<const T> optional(const tensor<T, 1>& v) { return v.size() ? v.view() : vector_view<const T>(); }

  struct result {
    tensor<T, 2> logits, branches, dw;
    tensor<T, 1> dbias;
  };
  template <class Function>
  result run(cpu& backend, Function f) const {
    result r{tensor<T, 2>(dlogits.shape()), products.clone(), tensor<T, 2>(w.shape()),
             tensor<T, 1>(shape<1>{gate.heads})};
    ops::gate(backend, gate, f, r.branches.view(), optional(branch_bias), w.view(), optional(bias), mask_view(), scale,
              r.logits.view());
    ops::gate_backward(backend, gate, f, r.branches.view(), w.view(), mask_view(), scale, dlogits.view(), r.dw.view(),
                       bias.size() ? r.dbias.view() : vector_view<T>());
    return r;
  }

  std::vector<double> oracle(double (*f)(double)) const {
    const reference::gate plain{f, static_cast<std::size_t>(gate.width), static_cast<std::size_t>(gate.branches),
                                static_cast<std::size_t>(gate.heads), scale};
    std::vector<double> all;
    for (std::int64_t i = 0; i < products.rows(); ++i)
      for (const double z :
           plain(test::elements(products.view().rows(i, 1)), test::elements(branch_bias), test::elements(w),
                 test::elements(bias), mask.size() ? test::elements(mask.view().rows(i, 1)) : std::vector<double>()))
        all.push_back(z);
    return all;
  }
};

template <class Body>
void for_each_function(Body&& body) {
  body(ops::tanh_function{}, tanh_of);
  body(ops::relu_function{}, relu_of);
  body(ops::sigmoid_function{}, sigmoid_of);
  body(ops::gelu_function{}, gelu_of);
}

}  // namespace

TEST_CASE_TEMPLATE("gate agrees with the oracle: branches, heads, masks, biases, functions", T, MILKIT_FLOATS) {
  cpu backend{.threads = 2};
  for (const ops::gate_shape& gate : {ops::gate_shape{8, 2, 1}, {5, 1, 1}, {1, 2, 1}, {33, 2, 2}, {7, 1, 3}})
    for (const std::int64_t n : {0, 1, 2, 31, 65})
      for (const bool bias : {false, true})
        for (const bool mask : {false, true}) {
          const gate_case<T> example(gate, n, bias, mask);
          for_each_function([&](auto f, auto plain) {
            CHECK(relative_error(example.run(backend, f).logits, example.oracle(plain)) <=
                  test::tolerance_of<T>(1e-13, 1e-5));
          });
        }
}

TEST_CASE("gate gradients agree with central differences") {
  cpu backend{.threads = 1};
  for (const ops::gate_shape& gate : {ops::gate_shape{4, 2, 1}, {3, 1, 2}, {2, 2, 2}})
    for (const bool mask : {false, true})
      for_each_function([&](auto f, auto) {
        gate_case<double> example(gate, 5, true, mask);
        const auto got = example.run(backend, f);
        const auto loss = [&] { return test::inner(example.run(backend, f).logits, example.dlogits); };
        CHECK(relative_error(got.branches, test::central_differences(example.products.view(), loss)) <= 1e-8);
        CHECK(relative_error(got.dw, test::central_differences(example.w.view(), loss)) <= 1e-8);
        CHECK(relative_error(got.dbias, test::central_differences(example.bias.view(), loss)) <= 1e-8);
      });
}

TEST_CASE_TEMPLATE("gate gives the same bits at any thread count, and for rows in chunks", T, MILKIT_FLOATS) {
  cpu one{.threads = 1}, three{.threads = 3};
  const gate_case<T> example({33, 2, 2}, 801, true, true);
  const auto want = example.run(one, ops::tanh_function{}), got = example.run(three, ops::tanh_function{});
  CHECK(test::same_bits(got.logits, want.logits));
  CHECK(test::same_bits(got.branches, want.branches));
  CHECK(test::same_bits(got.dw, want.dw));
  CHECK(test::same_bits(got.dbias, want.dbias));
  for (const bool mask : {false, true}) {
    const gate_case<T> other({33, 2, 2}, 301, true, mask);
    const auto whole = other.run(one, ops::tanh_function{}).logits;
    for (std::int64_t i = 0; i < 301; ++i) {
      tensor<T, 2> row(shape<2>{1, other.gate.columns()}), logits(shape<2>{1, 2});
      std::copy_n(other.products.view().row(i), row.size(), row.data());
      ops::gate(one, other.gate, ops::tanh_function{}, row.view(), other.branch_bias.view(), other.w.view(),
                other.bias.view(), mask ? other.mask_view().rows(i, 1) : other.mask_view(), other.scale, logits.view());
      REQUIRE(test::same_bits(logits, whole.view().rows(i, 1)));
    }
  }
}

TEST_CASE("gate keeps NaN, and refuses what does not fit") {
  cpu backend{.threads = 1};
  gate_case<float> example({4, 2, 1}, 3, true, false);
  example.products.view()(1, 6) = std::nanf("");
  const auto got = example.run(backend, ops::relu_function{});
  CHECK(std::isnan(got.logits.view()(1, 0)));
  CHECK_FALSE(std::isnan(got.logits.view()(0, 0)));
  CHECK_FALSE(std::isnan(got.logits.view()(2, 0)));
  example.gate.width = 5;
  CHECK_THROWS_WITH_AS(example.run(backend, ops::relu_function{}),
                       "milkit::ops::gate: columns of the branches is 8, expected 10", shape_error);
}

TEST_CASE("gate: other extents, or a bias with gaps -> refused") {
  cpu backend{.threads = 1};
  const ops::gate_shape gate{.width = 3, .branches = 2, .heads = 2};
  tensor<float, 2> branches({4, 12}), w({2, 3}), logits({4, 2}), narrow({2, 2});
  const tensor<float, 1> all({12}), eleven({11}), two({2}), three({3});
  const tensor<float, 2> apart({12, 2});
  const matrix_view<const std::uint8_t> no_mask;
  const auto forward = [&](vector_view<const float> branch_bias, matrix_view<const float> weights,
                           vector_view<const float> bias) {
    ops::gate(backend, gate, ops::tanh_function{}, branches.view(), branch_bias, weights, bias, no_mask, 1.0,
              logits.view());
  };
  CHECK_NOTHROW(forward(all.view(), w.view(), two.view()));
  CHECK_THROWS_WITH_AS(forward(eleven.view(), w.view(), two.view()),
                       "milkit::ops::gate: extent of branch_bias is 11, expected 12", shape_error);
  CHECK_THROWS_WITH_AS(forward(vector_view<const float>(apart.data(), {12}, 2), w.view(), two.view()),
                       "milkit::ops::gate: rows of branch_bias lie 2 elements apart, expected 1", shape_error);
  CHECK_THROWS_WITH_AS(forward(all.view(), w.view(), three.view()),
                       "milkit::ops::gate: extent of bias is 3, expected 2", shape_error);
  CHECK_THROWS_AS(forward(all.view(), narrow.view(), two.view()), shape_error);
  const auto backward = [&](matrix_view<const float> weights, std::int64_t biases) {
    tensor<float, 2> dw({2, 3});
    tensor<float, 1> dbias({biases});
    ops::gate_backward(backend, gate, ops::tanh_function{}, branches.view(), weights, no_mask, 1.0, logits.view(),
                       dw.view(), dbias.view());
  };
  CHECK_NOTHROW(backward(w.view(), 2));
  CHECK_THROWS_WITH_AS(backward(w.view(), 1), "milkit::ops::gate_backward: extent of dbias is 1, expected 2",
                       shape_error);
  CHECK_THROWS_WITH_AS(backward(narrow.view(), 2), "milkit::ops::gate_backward: w is [2, 2], expected [2, 3]",
                       shape_error);
}

TEST_CASE_TEMPLATE("gate agrees with the golden tensors", T, MILKIT_FLOATS) {
  cpu backend{.threads = 2};
  const auto check = [&](const char* name, auto f) {
    CAPTURE(name);
    const test::golden_case golden(name);
    const auto p = golden.get<T, 2>("p"), q = golden.get<T, 2>("q"), dy = golden.get<T, 2>("grad_output");
    const std::int64_t n = p.rows(), width = p.extent(1);
    const ops::gate_shape gate{width, 2, 1};
    tensor<T, 2> output(p.shape()), dp(p.shape()), dq(p.shape());
    for (std::int64_t j = 0; j < width; ++j) {  // the score with w = e_j is column j of the product
      tensor<T, 2> branches(shape<2>{n, 2 * width}), w(shape<2>{1, width}), logits(shape<2>{n, 1}),
          dlogits(shape<2>{n, 1}), dw(w.shape());
      w.view()(0, j) = 1;
      for (std::int64_t i = 0; i < n; ++i) {
        std::copy_n(p.view().row(i), width, branches.view().row(i));
        std::copy_n(q.view().row(i), width, branches.view().row(i) + width);
        dlogits.view()(i, 0) = dy.view()(i, j);
      }
      const vector_view<const T> none;
      ops::gate(backend, gate, f, branches.view(), none, w.view(), none, matrix_view<const std::uint8_t>(), 1,
                logits.view());
      ops::gate_backward(backend, gate, f, branches.view(), w.view(), matrix_view<const std::uint8_t>(), 1,
                         dlogits.view(), dw.view(), vector_view<T>());
      for (std::int64_t i = 0; i < n; ++i) {
        output.view()(i, j) = logits.view()(i, 0);
        dp.view()(i, j) = branches.view()(i, j);
        dq.view()(i, j) = branches.view()(i, width + j);
      }
    }
    CHECK(golden.error("output", output) <= golden_tolerance<T>);
    CHECK(golden.error("grad.p", dp) <= golden_tolerance<T>);
    CHECK(golden.error("grad.q", dq) <= golden_tolerance<T>);
  };
  check("core_gate_tanh", ops::tanh_function{});
  check("core_gate_relu", ops::relu_function{});
}
