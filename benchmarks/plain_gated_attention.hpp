#pragma once

#include <cmath>
#include <vector>

/// AB-MIL with gated attention in plain loops over doubles: one bag, its cross-entropy, and every gradient.
namespace milkit::bench {

using numbers = std::vector<double>;

/// [rows, cols], row by row.
struct plain_matrix {
  std::size_t rows = 0, cols = 0;
  numbers values = numbers(rows * cols);
  double& operator()(std::size_t i, std::size_t j) { return values[i * cols + j]; }
  double operator()(std::size_t i, std::size_t j) const { return values[i * cols + j]; }
};

/// A layer y = x W^T + b, or its gradient.
struct plain_linear {
  plain_matrix weight;
  numbers bias;

  plain_matrix operator()(const plain_matrix& x) const {
    plain_matrix y{x.rows, weight.rows};
    for (std::size_t i = 0; i < x.rows; ++i)
      for (std::size_t o = 0; o < weight.rows; ++o) {
        double sum = bias[o];
        for (std::size_t k = 0; k < x.cols; ++k) sum += x(i, k) * weight(o, k);
        y(i, o) = sum;
      }
    return y;
  }
  /// Adds dy W to dx, and gives the gradient of weight and bias.
  plain_linear backward(const plain_matrix& x, const plain_matrix& dy, plain_matrix& dx) const {
    plain_linear gradient{{weight.rows, weight.cols}, numbers(bias.size())};
    for (std::size_t i = 0; i < x.rows; ++i)
      for (std::size_t o = 0; o < weight.rows; ++o) {
        gradient.bias[o] += dy(i, o);
        for (std::size_t k = 0; k < x.cols; ++k) {
          gradient.weight(o, k) += dy(i, o) * x(i, k);
          dx(i, k) += dy(i, o) * weight(o, k);
        }
      }
    return gradient;
  }
};

struct plain_gated_attention {
  plain_linear encoder, v, u, w, classifier;
};

struct plain_step {
  double loss = 0;
  numbers logits;
  plain_gated_attention gradient;
  plain_matrix bag_gradient;
};

inline plain_step gated_attention_step(const plain_gated_attention& net, const plain_matrix& bag, std::size_t label) {
  const std::size_t n = bag.rows;
  plain_matrix h = net.encoder(bag);
  for (double& each : h.values) each = each > 0 ? each : 0;
  plain_matrix t = net.v(h), s = net.u(h), gate{n, t.cols};
  for (std::size_t i = 0; i < gate.values.size(); ++i) {
    t.values[i] = std::tanh(t.values[i]);
    s.values[i] = 1 / (1 + std::exp(-s.values[i]));
    gate.values[i] = t.values[i] * s.values[i];
  }
  const auto softmax = [](numbers x) {
    double mass = 0;
    for (double& each : x) mass += each = std::exp(each);
    for (double& each : x) each /= mass;
    return x;
  };
  const numbers attention = softmax(net.w(gate).values);
  plain_matrix embedding{1, h.cols};
  for (std::size_t i = 0; i < n; ++i)
    for (std::size_t j = 0; j < h.cols; ++j) embedding(0, j) += attention[i] * h(i, j);
  const plain_matrix logits = net.classifier(embedding);
  plain_matrix dlogits{1, logits.cols, softmax(logits.values)};

  plain_step step{-std::log(dlogits(0, label)), logits.values, {}, {}};
  dlogits(0, label) -= 1;
  plain_matrix dembedding{1, h.cols}, dh{n, h.cols}, dz{n, 1}, dgate{n, gate.cols}, dt{n, t.cols}, ds{n, s.cols},
      dbag{n, bag.cols};
  step.gradient.classifier = net.classifier.backward(embedding, dlogits, dembedding);
  for (std::size_t i = 0; i < n; ++i)
    for (std::size_t j = 0; j < h.cols; ++j) {
      dz(i, 0) += attention[i] * (h(i, j) - embedding(0, j)) * dembedding(0, j);
      dh(i, j) += attention[i] * dembedding(0, j);
    }
  step.gradient.w = net.w.backward(gate, dz, dgate);
  for (std::size_t i = 0; i < gate.values.size(); ++i) {
    dt.values[i] = dgate.values[i] * s.values[i] * (1 - t.values[i] * t.values[i]);
    ds.values[i] = dgate.values[i] * t.values[i] * s.values[i] * (1 - s.values[i]);
  }
  step.gradient.v = net.v.backward(h, dt, dh);
  step.gradient.u = net.u.backward(h, ds, dh);
  for (std::size_t i = 0; i < h.values.size(); ++i)
    if (h.values[i] <= 0) dh.values[i] = 0;
  step.gradient.encoder = net.encoder.backward(bag, dh, dbag);
  step.bag_gradient = dbag;
  return step;
}

}  // namespace milkit::bench
