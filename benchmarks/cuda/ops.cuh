#pragma once

#include <reference/cross_entropy.hpp>
#include <reference/images.hpp>
#include <reference/optimizer.hpp>
#include <reference/pooling.hpp>
#include <reference/softmax.hpp>

#include <support/images.hpp>

#include "measure.cuh"

#if defined(MILKIT_BENCH_CUDNN)
#include <milkit/ops/images/conv2d_cudnn.cuh>
#endif

/// Every op on a card, at the shapes of gated attention on a bag of 10,000 instances and of the colon network; and what
/// the card can do at best: a copy, and products of large square matrices. benchmarks/peers/ops.py has the same names.
namespace milkit::bench {

using test::relative_error;

inline double as_double(std::int64_t n) { return static_cast<double>(n); }
inline double float_bytes(std::int64_t count) { return 4 * as_double(count); }

/// How far `got` is from `want(i)`, its i-th number.
template <class Want>
double error_of(const std::vector<double>& got, Want want) {
  std::vector<double> expected;
  for (std::size_t i = 0; i < got.size(); ++i) expected.push_back(want(i));
  return relative_error(got, expected);
}

// ------------------------------------------------------------------------------------------------ products

/// Four rows of c = op(a) op(b) against plain loops.
inline double product_error(const array<float, 2>& a_, const array<float, 2>& b_, const array<float, 2>& c_,
                            const ops::matmul_options& o) {
  const auto a = a_->values.to<host_space>(), b = b_->values.to<host_space>(), c = c_->values.to<host_space>();
  const auto factor_a = a.view(), factor_b = b.view(), result = c.view();
  const std::int64_t k = o.transpose_a ? a.rows() : a.extent(1);
  std::vector<double> want, have;
  for (std::int64_t i = 0; i < c.rows(); i += (std::max)(c.rows() / 4, std::int64_t{1}))
    for (std::int64_t j = 0; j < c.extent(1); ++j) {
      double sum = 0;
      for (std::int64_t p = 0; p < k; ++p)
        sum += static_cast<double>(o.transpose_a ? factor_a(p, i) : factor_a(i, p)) *
               static_cast<double>(o.transpose_b ? factor_b(j, p) : factor_b(p, j));
      want.push_back(sum);
      have.push_back(static_cast<double>(result(i, j)));
    }
  return relative_error(have, want);
}
/// TF32 keeps 11 bits of a factor, bfloat16 8.
inline double product_bound(milkit::precision rounding) {
  return rounding == milkit::precision::float32 ? 1e-5 : rounding == milkit::precision::tf32 ? 2e-3 : 2e-2;
}

inline work matmul_work(milkit::cuda& gpu, std::int64_t m, std::int64_t n, std::int64_t k,
                        const ops::matmul_options& o) {
  const auto a = uniform(o.transpose_a ? shape{k, m} : shape{m, k}, 1),
             b = uniform(o.transpose_b ? shape{n, k} : shape{k, n}, 2), c = zeros(shape{m, n});
  const auto queue = [=, &gpu] { ops::matmul(gpu, a->read(), b->read(), c->view(), o); };
  return {.queue = queue,
          .error = [=] { return queue(), product_error(a, b, c, o); },
          .bound = product_bound(gpu.precision),
          .flops = 2 * as_double(m * n * k),
          .bytes = float_bytes(m * n + n * k + m * k)};
}

/// y = x W^T + b, features to width; or dx, dW and db.
inline work linear_work(milkit::cuda& gpu, const sizes& s, bool backward) {
  const std::int64_t n = s.instances, d = s.features, m = s.width;
  const auto x = uniform(shape{n, d}, 1), w = uniform(shape{m, d}, 2), y = uniform(shape{n, m}, 3);
  const auto bias = uniform(shape{m}, 4), db = zeros(shape{m});
  if (!backward) {
    const auto queue = [=, &gpu] { ops::linear(gpu, x->read(), w->read(), bias->read(), y->view()); };
    const auto error = [=] {
      bias->clear(), queue();
      return product_error(x, w, y, {.transpose_b = true});
    };
    return {.queue = queue,
            .error = error,
            .bound = product_bound(gpu.precision),
            .flops = 2 * as_double(n * m * d),
            .bytes = float_bytes(n * d + m * d + m + n * m)};
  }
  const auto dx = zeros(shape{n, d}), dw = zeros(shape{m, d});
  const auto queue = [=, &gpu] {
    ops::linear_backward(gpu, x->read(), w->read(), y->read(), dx->view(), dw->view(), db->view());
  };
  const auto error = [=] {
    dw->clear(), db->clear(), queue();
    std::vector<double> sums(static_cast<std::size_t>(m));
    const auto dy = y->numbers();
    for (std::size_t i = 0; i < dy.size(); ++i) sums[i % sums.size()] += dy[i];
    return (std::max)({product_error(y, x, dw, {.transpose_a = true}), product_error(y, w, dx, {}),
                       relative_error(db->numbers(), sums)});
  };
  return {.queue = queue,
          .error = error,
          .bound = product_bound(gpu.precision),
          .flops = 4 * as_double(n * m * d),
          .bytes = float_bytes(2 * n * d + 2 * m * d + m + n * m)};
}

// ------------------------------------------------------------------------------------------------ element by element

inline work copy_work(milkit::cuda& gpu, std::int64_t count) {
  const auto x = uniform(shape{count}, 1), y = zeros(shape{count});
  const auto queue = [=, &gpu] { copy_async(gpu, x->read(), y->view()); };
  const auto error = [=, &gpu] {
    queue(), gpu.synchronize();
    const auto want = x->values.to<host_space>(), got = y->values.to<host_space>();
    return std::equal(want.data(), want.data() + count, got.data()) ? 0.0 : 1.0;
  };
  return {.queue = queue, .error = error, .bound = 0, .bytes = float_bytes(2 * count)};
}
inline work copy_rows_work(milkit::cuda& gpu, const sizes& s) {
  const auto x = uniform(shape{s.instances, s.width}, 1), y = zeros(shape{s.instances, s.width});
  const auto queue = [=, &gpu] { ops::copy_rows(gpu, x->read(), y->view()); };
  return {.queue = queue,
          .error = [=] { return queue(), relative_error(y->numbers(), x->numbers()); },
          .bound = 0,
          .bytes = float_bytes(2 * s.instances * s.width)};
}
inline work fill_work(milkit::cuda& gpu, const sizes& s) {
  const auto x = zeros(shape{s.weights});
  const auto queue = [=, &gpu] { ops::fill(gpu, x->view(), 0.5f); };
  const auto error = [=] { return queue(), error_of(x->numbers(), [](std::size_t) { return 0.5; }); };
  return {.queue = queue, .error = error, .bound = 0, .bytes = float_bytes(s.weights)};
}

template <class Function>
work activation_work(milkit::cuda& gpu, const sizes& s, reference::branch_function f, bool backward) {
  const shape<2> all{s.instances, s.width};
  const auto x = uniform(all, 1), y = zeros(all), dy = uniform(all, 2), dx = zeros(all);
  const auto forward = [=, &gpu] { ops::activate(gpu, Function{}, x->read(), y->view()); };
  const auto back = [=, &gpu] {
    ops::activate_backward(gpu, Function{}, (Function::slope_from_output ? y : x)->read(), dy->read(), dx->view());
  };
  forward();
  const auto error = [=] {
    forward(), back();
    const auto at = x->numbers(), upstream = dy->numbers();
    if (!backward) return error_of(y->numbers(), [&](std::size_t i) { return f.value(at[i]); });
    return error_of(dx->numbers(), [&](std::size_t i) { return upstream[i] * f.slope(at[i]); });
  };
  const std::int64_t count = all.size();
  if (backward) return {.queue = back, .error = error, .bytes = float_bytes(3 * count)};
  return {.queue = forward, .error = error, .bytes = float_bytes(2 * count)};
}

inline work dropout_work(milkit::cuda& gpu, const sizes& s, bool backward) {
  constexpr double p = 0.25;
  const shape<2> all{s.instances, s.width};
  const auto x = uniform(all, 1), y = zeros(all);
  const auto mask = zeros<std::uint8_t>(all);
  const auto make_mask = [=, &gpu] { ops::dropout_mask(gpu, random_stream(1, 2, 3), 0, p, mask->view()); };
  const auto apply = [=, &gpu] { ops::apply_mask(gpu, x->read(), mask->read(), p, y->view()); };
  make_mask();
  const auto error = [=] {
    make_mask(), apply();
    const auto at = x->numbers(), kept = mask->numbers();
    double share = 0;
    for (const double each : kept) share += each / as_double(all.size());
    if (std::abs(share - (1 - p)) > 3 / std::sqrt(as_double(all.size()))) return 1.0;
    return error_of(y->numbers(), [&](std::size_t i) { return at[i] * kept[i] / (1 - p); });
  };
  const double bytes = float_bytes(2 * all.size()) + as_double(all.size());  // the mask is written, or read
  if (backward) return {.queue = apply, .error = error, .bytes = bytes};
  return {.queue = [=] { make_mask(), apply(); }, .error = error, .bytes = bytes};
}

// ------------------------------------------------------------------------------------------------ rows

/// Where each bag begins, later ones longer: [bags + 1].
inline std::vector<std::int64_t> ragged(std::int64_t rows, std::int64_t bags) {
  std::vector<std::int64_t> offsets;
  for (std::int64_t i = 0; i <= bags; ++i) offsets.push_back(rows * i * (i + bags) / (2 * bags * bags));
  return offsets;
}

inline std::vector<double> part(const std::vector<double>& all, std::int64_t first, std::int64_t last) {
  return {all.begin() + first, all.begin() + last};
}

/// Rows of softmax, or bags of different lengths in one long column; forward, or backward.
inline double softmax_error(const std::vector<std::int64_t>& ends, const std::vector<double>& x,
                            const std::vector<double>& y, const std::vector<double>& dy,
                            const std::vector<double>& dx) {
  double error = 0;
  const std::size_t step = (std::max)(ends.size() / 8, std::size_t{1});
  for (std::size_t b = 0; b + 1 < ends.size(); b += step) {
    const auto want = reference::softmax(part(x, ends[b], ends[b + 1]));
    const auto upstream = part(dy, ends[b], ends[b + 1]);
    double dot = 0;
    for (std::size_t j = 0; j < upstream.size(); ++j) dot += upstream[j] * want.y[j];
    error = (std::max)(
        {error, relative_error(part(y, ends[b], ends[b + 1]), want.y),
         error_of(part(dx, ends[b], ends[b + 1]), [&](std::size_t j) { return want.y[j] * (upstream[j] - dot); })});
  }
  return error;
}
template <class Forward, class Backward, class... Arrays>
work softmax_work(const std::vector<std::int64_t>& ends, bool backward, Forward forward, Backward back,
                  const Arrays&... arrays) {
  forward();
  const auto error = [=] { return forward(), back(), softmax_error(ends, arrays->numbers()...); };
  const std::int64_t count = ends.back();
  if (backward) return {.queue = back, .error = error, .bytes = float_bytes(3 * count)};
  return {.queue = forward, .error = error, .bytes = float_bytes(2 * count)};
}
inline work softmax_rows_work(milkit::cuda& gpu, const sizes& s, bool backward) {
  const shape<2> all{s.instances, s.width / 2};
  const auto x = uniform(all, 1), y = zeros(all), dy = uniform(all, 2), dx = zeros(all);
  std::vector<std::int64_t> ends;
  for (std::int64_t i = 0; i <= all[0]; ++i) ends.push_back(i * all[1]);
  return softmax_work(
      ends, backward, [=, &gpu] { ops::softmax(gpu, x->read(), y->view(), device_vector<float>()); },
      [=, &gpu] { ops::softmax_backward(gpu, y->read(), dy->read(), device_vector<const float>(), dx->view()); }, x, y,
      dy, dx);
}
inline work softmax_bags_work(milkit::cuda& gpu, const sizes& s, bool backward) {
  const shape<1> all{100 * s.instances};
  const auto x = uniform(all, 1), y = zeros(all), dy = uniform(all, 2), dx = zeros(all);
  const auto ends = ragged(all[0], s.bags);
  const auto offsets = values_of(ends);
  return softmax_work(
      ends, backward,
      [=, &gpu] { ops::segment_softmax(gpu, offsets->read(), x->read(), y->view(), device_vector<float>()); },
      [=, &gpu] {
        ops::segment_softmax_backward(gpu, offsets->read(), y->read(), dy->read(), device_vector<const float>(),
                                      dx->view());
      },
      x, y, dy, dx);
}

inline work layer_norm_work(milkit::cuda& gpu, const sizes& s, bool backward) {
  constexpr double eps = 1e-5;
  const std::int64_t n = s.instances, d = s.width;
  const shape<2> all{n, d};
  const auto x = uniform(all, 1), y = zeros(all), dy = uniform(all, 2), dx = zeros(all);
  const auto w = uniform(shape{d}, 3), b = uniform(shape{d}, 4), dw = zeros(shape{d}), db = zeros(shape{d});
  const auto moments = zeros<double>(shape{n, std::int64_t{2}});
  const auto forward = [=, &gpu] {
    ops::layer_norm(gpu, x->read(), w->read(), b->read(), eps, y->view(), moments->view());
  };
  const auto back = [=, &gpu] {
    ops::layer_norm_backward(gpu, x->read(), moments->read(), w->read(), dy->read(), dx->view(), dw->view(),
                             db->view());
  };
  forward();
  const auto error = [=] {
    dw->clear(), db->clear(), forward(), back();
    const auto at = x->numbers(), weight = w->numbers(), bias = b->numbers(), upstream = dy->numbers();
    const auto width = static_cast<std::size_t>(d);
    std::vector<double> want_y, want_dx, want_dw(width), want_db(width);
    for (std::size_t i = 0; i < at.size(); i += width) {
      double mean = 0, variance = 0, g_mean = 0, gh_mean = 0;
      for (std::size_t j = 0; j < width; ++j) mean += at[i + j] / as_double(d);
      for (std::size_t j = 0; j < width; ++j) variance += (at[i + j] - mean) * (at[i + j] - mean) / as_double(d);
      const double r = 1 / std::sqrt(variance + eps);
      for (std::size_t j = 0; j < width; ++j) {
        const double h = (at[i + j] - mean) * r, g = upstream[i + j] * weight[j];
        want_y.push_back(weight[j] * h + bias[j]);
        g_mean += g / as_double(d), gh_mean += g * h / as_double(d);
        want_dw[j] += upstream[i + j] * h, want_db[j] += upstream[i + j];
      }
      for (std::size_t j = 0; j < width; ++j) {
        const double h = (at[i + j] - mean) * r;
        want_dx.push_back(r * (upstream[i + j] * weight[j] - g_mean - h * gh_mean));
      }
    }
    return (std::max)({relative_error(y->numbers(), want_y), relative_error(dx->numbers(), want_dx),
                       relative_error(dw->numbers(), want_dw), relative_error(db->numbers(), want_db)});
  };
  if (backward) return {.queue = back, .error = error, .bytes = float_bytes(3 * all.size() + 3 * d)};
  return {.queue = forward, .error = error, .bytes = float_bytes(2 * all.size() + 2 * d)};
}

/// Scores of gated attention from the products of its branches, in place; and back.
inline work gate_work(milkit::cuda& gpu, const sizes& s, bool backward) {
  const std::int64_t n = s.instances, width = s.width / 2;
  const ops::gate_shape gate{.width = width, .branches = 2, .heads = 1};
  const shape<2> all{n, 2 * width};
  const auto given = uniform(all, 1), branches = zeros(all), activated = zeros(all);
  const auto z = zeros(shape{n, std::int64_t{1}}), dz = uniform(shape{n, std::int64_t{1}}, 2);
  const auto w = uniform(shape{std::int64_t{1}, width}, 3), dw = zeros(shape{std::int64_t{1}, width});
  const auto branch_bias = uniform(shape{2 * width}, 4);
  const auto bias = uniform(shape{std::int64_t{1}}, 5);
  const auto put = [&gpu, branches](const array<float, 2>& from) {
    ops::copy_rows(gpu, from->read(), branches->view());
  };
  const auto forward = [=, &gpu] {
    ops::gate(gpu, gate, ops::tanh_function{}, branches->view(), branch_bias->read(), w->read(), bias->read(),
              device_matrix<const std::uint8_t>(), 1.0, z->view());
  };
  const auto back = [=, &gpu] {
    ops::gate_backward(gpu, gate, ops::tanh_function{}, branches->view(), w->read(),
                       device_matrix<const std::uint8_t>(), 1.0, dz->read(), dw->view(), device_vector<float>());
  };
  put(given), forward();
  ops::copy_rows(gpu, branches->read(), activated->view());
  const auto error = [=] {
    put(given), forward(), dw->clear(), back();
    const auto at = given->numbers(), shift = branch_bias->numbers(), weight = w->numbers(), dlogits = dz->numbers();
    const double shift_of_score = bias->numbers()[0];
    const auto l = static_cast<std::size_t>(width);
    std::vector<double> logits, want, want_dw(l);
    for (std::size_t i = 0; i < dlogits.size(); ++i) {
      const auto t = [&](std::size_t j) { return std::tanh(at[2 * i * l + j] + shift[j]); };
      const auto g = [&](std::size_t j) { return 1 / (1 + std::exp(-at[(2 * i + 1) * l + j] - shift[l + j])); };
      double sum = shift_of_score;
      for (std::size_t j = 0; j < l; ++j) {
        sum += weight[j] * t(j) * g(j);
        want.push_back(dlogits[i] * weight[j] * g(j) * (1 - t(j) * t(j)));
        want_dw[j] += dlogits[i] * t(j) * g(j);
      }
      for (std::size_t j = 0; j < l; ++j) want.push_back(dlogits[i] * weight[j] * t(j) * g(j) * (1 - g(j)));
      logits.push_back(sum);
    }
    return (std::max)({relative_error(z->numbers(), logits), relative_error(branches->numbers(), want),
                       relative_error(dw->numbers(), want_dw)});
  };
  const double bytes = float_bytes(2 * all.size() + n + width);
  if (backward) return {.queue = back, .error = error, .bytes = bytes, .restore = [=] { put(activated); }};
  return {.queue = forward, .error = error, .bytes = bytes, .restore = [=] { put(given); }};
}

/// Which classes, for a loss: [rows].
inline array<std::int64_t, 1> labels_of(std::int64_t rows, std::int64_t classes) {
  std::vector<std::int64_t> labels;
  for (std::int64_t i = 0; i < rows; ++i) labels.push_back(i * 7 % classes);
  return values_of(labels);
}
inline work cross_entropy_work(milkit::cuda& gpu, const sizes& s) {
  const std::int64_t n = s.instances, classes = s.classes;
  const auto z = uniform(shape{n, classes}, 1), dz = zeros(shape{n, classes});
  const auto losses = zeros<double>(shape{n});
  const auto labels = labels_of(n, classes);
  const auto queue = [=, &gpu] {
    ops::cross_entropy(gpu, z->read(), labels->read(), device_vector<const double>(), 1.0, losses->view(), dz->view());
  };
  const auto error = [=] {
    queue();
    const auto logits = z->numbers(), of = labels->numbers();
    std::vector<double> want, gradient;
    for (std::int64_t i = 0; i < n; ++i) {
      const auto row = reference::cross_entropy(part(logits, i * classes, (i + 1) * classes),
                                                static_cast<std::size_t>(of[static_cast<std::size_t>(i)]), 1);
      want.push_back(row.loss);
      gradient.insert(gradient.end(), row.gradient.begin(), row.gradient.end());
    }
    return (std::max)(relative_error(losses->numbers(), want), relative_error(dz->numbers(), gradient));
  };
  return {.queue = queue, .error = error, .bytes = float_bytes(2 * n * classes) + 16 * as_double(n)};
}

// ------------------------------------------------------------------------------------------------ pooling of a bag

/// One bag of instances.
struct bag_case {
  milkit::cuda& gpu;
  std::int64_t n, d;
  array<float, 2> h, dh, embedding, dembedding, z, dz;
  array<std::int64_t, 1> offsets;

  bag_case(milkit::cuda& backend, const sizes& s)
      : gpu(backend),
        n(s.instances),
        d(s.width),
        h(uniform(shape{n, d}, 1)),
        dh(zeros(shape{n, d})),
        embedding(zeros(shape{std::int64_t{1}, d})),
        dembedding(uniform(shape{std::int64_t{1}, d}, 2)),
        z(uniform(shape{n, std::int64_t{1}}, 3)),
        dz(zeros(shape{n, std::int64_t{1}})),
        offsets(values_of(std::vector<std::int64_t>{0, n})) {}

  ops::bag_chunk<device_space> all() const { return {{0, n}, {0, 1}, offsets->read()}; }
  reference::instances plain() const {
    return {static_cast<std::size_t>(n), static_cast<std::size_t>(d), h->numbers()};
  }
};

template <class Forward, class Backward, class Error>
work pooling_work(const bag_case& c, bool backward, Forward forward, Backward back, Error error, bool weighs) {
  forward();
  const double scores = weighs ? float_bytes(c.n) : 0;
  if (backward)
    return {.queue = back, .error = error, .bytes = float_bytes((weighs ? 2 : 1) * c.n * c.d + c.d) + 2 * scores};
  return {.queue = forward, .error = error, .bytes = float_bytes(c.n * c.d + c.d) + scores};
}

inline work softmax_pool_work(milkit::cuda& gpu, const sizes& s, bool backward) {
  const bag_case c(gpu, s);
  const auto states = zeros<double>(shape{std::int64_t{1}, c.d + 2}),
             merged = zeros<double>(shape{std::int64_t{1}, c.d + 2});
  const auto forward = [=] {
    ops::fill(c.gpu, merged->view(), 0.0);
    ops::softmax_pool(c.gpu, c.all(), c.h->read(), c.z->read(), states->view());
    ops::softmax_pool_merge(c.gpu, states->view(), merged->view());
    ops::softmax_pool_finish(c.gpu, merged->view(), c.embedding->view());
  };
  const auto back = [=] {
    ops::softmax_pool_backward(c.gpu, c.all(), c.h->read(), c.z->read(), merged->view(), c.dembedding->read(),
                               device_matrix<const float>(), device_vector<double>(), c.dz->view(), c.dh->view());
  };
  const auto error = [=] {
    forward(), back();
    const auto bag = c.plain();
    const auto attention = reference::softmax_of(c.z->numbers()), g = reference::weighted_sum(bag, attention),
               upstream = c.dembedding->numbers();
    std::vector<double> dz, dh;
    for (std::size_t i = 0; i < bag.n; ++i) {
      double sum = 0;
      for (std::size_t j = 0; j < bag.d; ++j) {
        sum += upstream[j] * (bag(i, j) - g[j]);
        dh.push_back(attention[i] * upstream[j]);
      }
      dz.push_back(attention[i] * sum);
    }
    return (std::max)({relative_error(c.embedding->numbers(), g), relative_error(c.dz->numbers(), dz),
                       relative_error(c.dh->numbers(), dh)});
  };
  return pooling_work(c, backward, forward, back, error, true);
}

inline work mean_pool_work(milkit::cuda& gpu, const sizes& s, bool backward) {
  const bag_case c(gpu, s);
  const auto states = zeros<double>(shape{std::int64_t{1}, c.d}), merged = zeros<double>(shape{std::int64_t{1}, c.d});
  const auto forward = [=] {
    ops::fill(c.gpu, merged->view(), 0.0);
    ops::sum_pool(c.gpu, c.all(), c.h->read(), states->view());
    ops::sum_pool_merge(c.gpu, states->view(), merged->view());
    ops::mean_pool_finish(c.gpu, c.offsets->read(), merged->view(), c.embedding->view());
  };
  const auto back = [=] { ops::mean_pool_backward(c.gpu, c.all(), c.dembedding->read(), c.dh->view()); };
  const auto error = [=] {
    forward(), back();
    const auto upstream = c.dembedding->numbers();
    return (std::max)(
        relative_error(c.embedding->numbers(), reference::mean_pool(c.plain()).embedding),
        error_of(c.dh->numbers(), [&](std::size_t i) { return upstream[i % upstream.size()] / as_double(c.n); }));
  };
  return pooling_work(c, backward, forward, back, error, false);
}

inline work max_pool_work(milkit::cuda& gpu, const sizes& s, bool backward) {
  const bag_case c(gpu, s);
  const auto states = zeros<double>(shape{std::int64_t{1}, 2 * c.d}),
             merged = zeros<double>(shape{std::int64_t{1}, 2 * c.d});
  const auto forward = [=] {
    ops::fill(c.gpu, merged->view(), 0.0);
    ops::max_pool(c.gpu, c.all(), c.h->read(), states->view());
    ops::max_pool_merge(c.gpu, states->view(), merged->view());
    ops::max_pool_finish(c.gpu, merged->view(), c.embedding->view());
  };
  const auto back = [=] { ops::max_pool_backward(c.gpu, c.all(), merged->view(), c.dembedding->read(), c.dh->view()); };
  const auto error = [=] {
    forward(), back();
    const auto bag = c.plain();
    const auto rows = reference::maxima(bag);
    const auto upstream = c.dembedding->numbers();
    return (std::max)(relative_error(c.embedding->numbers(), reference::max_pool(bag).embedding),
                      error_of(c.dh->numbers(), [&](std::size_t i) {
                        return rows[i % bag.d] == i / bag.d ? upstream[i % bag.d] : 0.0;
                      }));
  };
  return pooling_work(c, backward, forward, back, error, false);
}

// ------------------------------------------------------------------------------------------------ images

/// The first two images against plain loops; the gradient of the weights is theirs alone when dy is 0 in the others.
struct convolution_case {
  milkit::cuda& gpu;
  shape<4> image, weight, out;
  array<float, 4> x, w, y, dy, dx, dw;
  array<float, 1> bias, db;

  convolution_case(milkit::cuda& backend, const shape<4>& image_, std::int64_t filters, std::int64_t kernel)
      : gpu(backend),
        image(image_),
        weight{filters, image_[1], kernel, kernel},
        out(ops::conv2d_shape(image, weight, {})),
        x(uniform(image, 1)),
        w(uniform(weight, 2)),
        y(zeros(out)),
        dy(uniform(out, 3)),
        dx(zeros(image)),
        dw(zeros(weight)),
        bias(uniform(shape{filters}, 4)),
        db(zeros(shape{filters})) {}

  void forward() const { ops::conv2d(gpu, x->read(), w->read(), bias->read(), y->view()); }
  void backward(bool wants_dx) const {
    ops::conv2d_backward(gpu, x->read(), w->read(), dy->read(), wants_dx ? dx->view() : device_images<float>(),
                         dw->view(), db->view());
  }

  double error() const {
    const auto host = [](const array<float, 4>& a) { return a->values.template to<host_space>(); };
    const auto all_dy = host(dy);
    auto two = all_dy.clone();
    for (std::int64_t i = 2 * two.view().row_size(); i < two.size(); ++i) two.data()[i] = 0;
    dy->put(two), dw->clear(), db->clear(), forward(), backward(true), dy->put(all_dy);
    const auto first = [&](const array<float, 4>& a) {
      return test::plain(std::as_const(*a).values.to<host_space>().view().rows(0, 2));
    };
    const auto plain_w = test::plain(host(w));
    const auto want = reference::conv2d_backward(first(x), plain_w, first(dy), {});
    return (std::max)(
        {relative_error(first(y).values, reference::conv2d(first(x), plain_w, bias->numbers(), {}).values),
         relative_error(first(dx).values, want.x.values), relative_error(dw->numbers(), want.weight.values),
         relative_error(db->numbers(), want.bias)});
  }
};

inline work convolution_work(milkit::cuda& gpu, const shape<4>& image, std::int64_t filters, std::int64_t kernel,
                             bool backward, bool wants_dx) {
  const convolution_case c(gpu, image, filters, kernel);
  const double flops = 2 * as_double(c.out.size() * c.weight.row_size());
  const auto error = [=] { return c.error(); };
  const double bound = product_bound(gpu.precision);
  if (!backward)
    return {.queue = [=] { c.forward(); },
            .error = error,
            .bound = bound,
            .flops = flops,
            .bytes = float_bytes(image.size() + c.weight.size() + filters + c.out.size())};
  const std::int64_t for_dx = wants_dx ? image.size() + c.weight.size() : 0;
  return {.queue = [=] { c.backward(wants_dx); },
          .error = error,
          .bound = bound,
          .flops = (wants_dx ? 2 : 1) * flops,
          .bytes = float_bytes(image.size() + c.out.size() + c.weight.size() + filters + for_dx)};
}

enum class image_pooling { maximum, average, global };
inline work image_pooling_work(milkit::cuda& gpu, const sizes& s, image_pooling kind, bool backward) {
  const shape<4> image{s.patches, 36, 24, 24}, out = ops::pool2d_shape(image, {});
  const auto x = uniform(image, 1), dx = zeros(image), y = zeros(out), dy = uniform(out, 2);
  const auto position = zeros<ops::window_position>(out);
  const auto mean = zeros(shape{image[0], image[1]}), dmean = uniform(shape{image[0], image[1]}, 3);
  const auto forward = [=, &gpu] {
    if (kind == image_pooling::maximum) ops::max_pool2d(gpu, x->read(), y->view(), position->view());
    else if (kind == image_pooling::average) ops::avg_pool2d(gpu, x->read(), y->view());
    else ops::global_average_pool(gpu, x->read(), mean->view());
  };
  const auto back = [=, &gpu] {
    if (kind == image_pooling::maximum) ops::max_pool2d_backward(gpu, position->read(), dy->read(), dx->view());
    else if (kind == image_pooling::average) ops::avg_pool2d_backward(gpu, dy->read(), dx->view());
    else ops::global_average_pool_backward(gpu, dmean->read(), dx->view());
  };
  forward();
  const auto error = [=] {
    forward(), back();
    const auto first = [](const array<float, 4>& a) {
      return test::plain(std::as_const(*a).values.to<host_space>().view().rows(0, 2));
    };
    const auto both = [&](const auto& want) {
      return (std::max)(relative_error(first(y).values, want.y.values),
                        relative_error(first(dx).values, want.dx.values));
    };
    if (kind == image_pooling::maximum) return both(reference::max_pool2d(first(x), first(dy), 2, 2, 0));
    if (kind == image_pooling::average) return both(reference::avg_pool2d(first(x), first(dy), 2, 2, 0));
    const auto pixels = static_cast<std::size_t>(image[2] * image[3]);
    const auto at = x->numbers(), upstream = dmean->numbers();
    std::vector<double> want(static_cast<std::size_t>(mean->values.size()));
    for (std::size_t i = 0; i < at.size(); ++i) want[i / pixels] += at[i] / as_double(image[2] * image[3]);
    return (std::max)(relative_error(mean->numbers(), want), error_of(dx->numbers(), [&](std::size_t i) {
                        return upstream[i / pixels] / as_double(image[2] * image[3]);
                      }));
  };
  const bool global = kind == image_pooling::global;
  const std::int64_t pooled = global ? mean->values.size() : out.size();
  const double positions = kind == image_pooling::maximum ? 2 * as_double(out.size()) : 0;
  return {.queue = backward ? std::function<void()>(back) : std::function<void()>(forward),
          .error = error,
          .bytes = float_bytes(image.size() + pooled) + positions};
}

// ------------------------------------------------------------------------------------------------ weights

inline work norm_work(milkit::cuda& gpu, const sizes& s) {
  const auto x = uniform(shape{s.weights}, 1);
  const auto norm = zeros<double>(shape{std::int64_t{1}});
  const auto queue = [=, &gpu] { ops::l2_norm(gpu, x->read(), norm->view()); };
  const auto error = [=] {
    queue();
    double sum = 0;
    for (const double each : x->numbers()) sum += each * each;
    return relative_error(norm->numbers(), std::vector<double>{std::sqrt(sum)});
  };
  return {.queue = queue, .error = error, .bytes = float_bytes(s.weights)};
}
inline work nonfinite_work(milkit::cuda& gpu, const sizes& s) {
  auto host = uniform_tensor<float>(shape{s.weights}, 1);
  for (std::int64_t i = 0; i < s.weights; i += 100) host.data()[i] = std::numeric_limits<float>::infinity();
  const auto x = std::make_shared<card_array<float, 1>>(host);
  const auto count = zeros<std::int64_t>(shape{std::int64_t{1}});
  const auto queue = [=, &gpu] { ops::count_nonfinite(gpu, x->read(), count->view()); };
  const auto error = [=] {
    queue();
    return relative_error(count->numbers(), std::vector<double>{as_double((s.weights + 99) / 100)});
  };
  return {.queue = queue, .error = error, .bound = 0, .bytes = float_bytes(s.weights)};
}

enum class update { sgd, adam, adamw };
inline work optimizer_work(milkit::cuda& gpu, const sizes& s, update rule) {
  constexpr double rate = 1e-4, decay = 1e-2, momentum = 0.9;
  const auto weights = uniform(shape{s.weights}, 1), gradient = uniform(shape{s.weights}, 2),
             first = zeros(shape{s.weights}), second = zeros(shape{s.weights});
  const auto step = std::make_shared<std::int64_t>(0);
  const auto queue = [=, &gpu] {
    if (rule == update::sgd)
      ops::sgd_step(gpu, weights->view(), gradient->read(), first->view(),
                    {.learning_rate = rate, .momentum = momentum, .weight_decay = decay});
    else
      ops::adam_step(
          gpu, weights->view(), gradient->read(), first->view(), second->view(),
          {.step = ++*step, .learning_rate = rate, .weight_decay = decay, .decoupled = rule == update::adamw});
  };
  const auto error = [=] {
    auto theta = weights->numbers(), m = first->numbers(), v = second->numbers();
    const auto g = gradient->numbers();
    for (int t = 1; t <= 2; ++t) {
      queue();
      if (rule == update::sgd) reference::sgd_step(theta, g, m, rate, momentum, decay, 1);
      else reference::adam_step(theta, g, m, v, {rate, 0.9, 0.999, 1e-8, decay, rule == update::adamw}, t, 1);
    }
    return (std::max)({relative_error(weights->numbers(), theta), relative_error(first->numbers(), m),
                       relative_error(second->numbers(), v)});
  };
  return {.queue = queue, .error = error, .bytes = float_bytes((rule == update::sgd ? 5 : 7) * s.weights)};
}

// ------------------------------------------------------------------------------------------------ all of it

inline const char* name_of(milkit::precision rounding) {
  return rounding == milkit::precision::float32 ? "float32" : rounding == milkit::precision::tf32 ? "tf32" : "bf16";
}

/// What the card can do at best, and then every op by its name.
inline std::vector<named_work> op_works() {
  using milkit::precision;
  std::vector<named_work> all;
  const auto add = [&](const std::string& name, auto make, precision rounding = precision::float32) {
    all.push_back({name, rounding, make});
  };
  const auto add_both = [&](const std::string& name, auto make) {
    add(name + "/forward", [make](milkit::cuda& gpu, const sizes& s) { return make(gpu, s, false); });
    add(name + "/backward", [make](milkit::cuda& gpu, const sizes& s) { return make(gpu, s, true); });
  };
  add("copy/large", [](milkit::cuda& gpu, const sizes& s) { return copy_work(gpu, s.copied); });
  add("copy/as adam", [](milkit::cuda& gpu, const sizes& s) { return copy_work(gpu, 7 * s.weights / 2); });
  for (const precision rounding : {precision::float32, precision::tf32, precision::bf16}) {
    const std::string suffix = std::string("/") + name_of(rounding);
    add(
        "matmul/square" + suffix,
        [](milkit::cuda& gpu, const sizes& s) {
          return matmul_work(gpu, s.side, s.side, s.side, {.transpose_b = true});
        },
        rounding);
    add(
        "matmul/project" + suffix,
        [](milkit::cuda& gpu, const sizes& s) {
          return matmul_work(gpu, s.instances, s.width, s.features, {.transpose_b = true});
        },
        rounding);
    add(
        "matmul/project gradient" + suffix,
        [](milkit::cuda& gpu, const sizes& s) {
          return matmul_work(gpu, s.width, s.features, s.instances, {.transpose_a = true});
        },
        rounding);
  }
  add_both("linear", linear_work);
  add("fill", fill_work);
  add("copy_rows", copy_rows_work);
  add_both("relu", [](milkit::cuda& gpu, const sizes& s, bool backward) {
    return activation_work<ops::relu_function>(gpu, s, reference::relu_branch, backward);
  });
  add_both("tanh", [](milkit::cuda& gpu, const sizes& s, bool backward) {
    return activation_work<ops::tanh_function>(gpu, s, reference::tanh_branch, backward);
  });
  add_both("gelu", [](milkit::cuda& gpu, const sizes& s, bool backward) {
    return activation_work<ops::gelu_function>(gpu, s, reference::gelu_branch, backward);
  });
  add_both("dropout", dropout_work);
  add_both("softmax", softmax_rows_work);
  add_both("segment softmax", softmax_bags_work);
  add_both("layer norm", layer_norm_work);
  add_both("gate", gate_work);
  add_both("softmax pooling", softmax_pool_work);
  add_both("mean pooling", mean_pool_work);
  add_both("max pooling", max_pool_work);
  add("cross-entropy", cross_entropy_work);
  const auto add_convolutions = [&](const std::string& name, auto choose) {
    add_both(name + " 1", [choose](milkit::cuda& gpu, const sizes& s, bool backward) {
      return choose(gpu), convolution_work(gpu, {s.patches, 3, 27, 27}, 36, 4, backward, false);
    });
    add_both(name + " 2", [choose](milkit::cuda& gpu, const sizes& s, bool backward) {
      return choose(gpu), convolution_work(gpu, {s.patches, 36, 12, 12}, 48, 3, backward, true);
    });
  };
  add_convolutions("conv2d", [](milkit::cuda&) {});
#if defined(MILKIT_BENCH_CUDNN)
  add_convolutions("conv2d by cuDNN", [](milkit::cuda& gpu) { gpu.convolution = cudnn_convolution; });
#endif
  for (const auto& [name, kind] : {std::pair{"max_pool2d", image_pooling::maximum},
                                   {"avg_pool2d", image_pooling::average},
                                   {"global_average_pool", image_pooling::global}})
    add_both(name, [kind = kind](milkit::cuda& gpu, const sizes& s, bool backward) {
      return image_pooling_work(gpu, s, kind, backward);
    });
  add("l2_norm", norm_work);
  add("count_nonfinite", nonfinite_work);
  for (const auto& [name, rule] : {std::pair{"sgd", update::sgd}, {"adam", update::adam}, {"adamw", update::adamw}})
    add(name, [rule = rule](milkit::cuda& gpu, const sizes& s) { return optimizer_work(gpu, s, rule); });
  return all;
}

}  // namespace milkit::bench
