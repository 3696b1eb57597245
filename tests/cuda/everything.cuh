#pragma once

#include <milkit/milkit_cuda.cuh>

namespace milkit::test {

/// Top-K and zoom: of 40 scores, 5 rows, children dense and their children's children.
template <class T>
void launch_topk(milkit::cuda& gpu) {
  const auto scope = gpu.workspace.scope();
  const auto matrix = [&](std::int64_t rows, std::int64_t cols) {
    const auto m = gpu.workspace.template allocate<T>(shape<2>{rows, cols});
    ops::fill(gpu, m, T(0.5));
    return m;
  };
  const device_vector<T> scores(matrix(1, 40).data(), {40}), dscores(matrix(1, 40).data(), {40});
  const pass training{.training = true};
  const ops::children<device_space> pairs{2};
  const auto h2 = matrix(80, 3), dh2 = matrix(80, 3), h3 = matrix(160, 3), dh3 = matrix(160, 3), drows = matrix(10, 3);
  for (const auto jacobian : {topk::jacobian::full, topk::jacobian::diagonal}) {
    const topk::perturbed op{.k = 5, .samples = 7, .jacobian = jacobian};
    const auto selected = op.select(gpu, scores, training);
    static_cast<void>(topk::zoom(gpu, selected, pairs, h2));
    const auto dweights = topk::zoom_backward(gpu, selected, pairs, h2, drows, dh2);
    op.select_backward(gpu, scores, selected, dweights, dscores, training);
    ops::zoom_mass(gpu, selected, pairs, device_vector<T>(matrix(1, 10).data(), {10}));
    const auto inner = topk::random{5}.select(gpu, device_vector<T>(scores.data(), {10}), training);
    const std::array links{topk::zoom_link_of(gpu, pairs, selected), topk::zoom_link_of(gpu, pairs, inner)};
    const auto zoomed = topk::zoom_chain<2>(gpu, links, h3);
    const auto dinner = device_vector<T>(matrix(1, 5).data(), {5});
    topk::zoom_chain_backward<2>(gpu, links, h3, zoomed, drows, std::array{dweights, dinner}, dh3);
  }
  const topk::straight_through op{5};
  const auto hard = op.select(gpu, scores, training);
  op.select_backward(gpu, scores, hard, hard.weights, dscores, training);
  const auto list = topk::children_of(gpu, hard, pairs);
  ops::gather_rows(gpu, h2, list.rows, drows);
}

/// Draws from three rows of 40, with and without replacement, and what follows from them.
template <class T>
void launch_draws(milkit::cuda& gpu) {
  const auto scope = gpu.workspace.scope();
  const auto matrix = [&](std::int64_t rows, std::int64_t cols, double value) {
    const auto m = gpu.workspace.template allocate<T>(shape<2>{rows, cols});
    ops::fill(gpu, m, static_cast<T>(value));
    return m;
  };
  const auto p = matrix(3, 40, 1.0 / 40), q = matrix(3, 40, 0), dlogits = matrix(3, 40, 0);
  ops::complement(gpu, p, q);
  const std::int64_t host_draws[] = {5, 1, 40};
  const vector_view<const std::int64_t> draws(host_draws, {3});
  const sampling::distributions<T, device_space> of{p};
  const auto follow = [&](const auto& by, const auto& made) {
    const std::int64_t count = made.weights.extent(0);
    const auto f = matrix(count, 3, 0.5), df = matrix(count, 3, 0), out = matrix(3, 3, 0.5);
    const auto a = device_vector<T>(matrix(1, count, 0).data(), {count});
    ops::expectation(gpu, made.list, made.weights, f, out);
    ops::expectation_backward(gpu, made.list, made.backward, f, out, a, df);
    const auto d = sampling::log_gradient(gpu, by, of, made, a);
    ops::complement_log_gradient(gpu, p, q, made.list, d);
    ops::add_logit_gradient(gpu, p, made.list, d, dlogits);
  };
  const auto each = [&](const auto& by) {
    for (const auto how : {sampling::drawing::random, sampling::drawing::most_likely})
      follow(by, by.draw(gpu, of, draws, how, random_stream(1, 2, 3)));
  };
  each(sampling::without_replacement{});
  each(sampling::without_replacement{ops::draw_estimator::official_zoom_in, false, ops::draw_law::exp_p});
  each(sampling::with_replacement{});
  each(sampling::uniform{});
}

/// Calls every op that has a kernel once, on a few elements: a smoke test, and what makes a compiler instantiate all kernels.
template <class T>
void launch_everything(milkit::cuda& gpu) {
  const auto scope = gpu.workspace.scope();
  const auto matrix = [&](std::int64_t rows, std::int64_t cols) {
    const auto m = gpu.workspace.template allocate<T>(shape<2>{rows, cols});
    ops::fill(gpu, m, T(0.5));
    return m;
  };
  const auto doubles = [&](std::int64_t rows, std::int64_t cols) {
    const auto m = gpu.workspace.template allocate<double>(shape<2>{rows, cols});
    ops::fill(gpu, m, 1.0);
    return m;
  };
  const std::int64_t host_offsets[] = {0, 2, 4};
  const auto offsets = to_backend(gpu, vector_view<const std::int64_t>(host_offsets, {3}));
  const auto as_vector = [](device_matrix<T> m) { return device_vector<T>(m.data(), {m.size()}); };
  const auto flat = as_vector(matrix(4, 3)), flat2 = as_vector(matrix(4, 3)), flat3 = as_vector(matrix(4, 3));
  const auto x = matrix(4, 3), y = matrix(4, 3), w = matrix(3, 3);
  const auto v2 = as_vector(matrix(1, 2)), v3 = as_vector(matrix(1, 3)), v4 = as_vector(matrix(1, 4)),
             db = as_vector(matrix(1, 3));

  ops::copy_rows(gpu, x, y);
  ops::copy_rows(gpu, x.columns(0, 2), y.columns(0, 2));  // with gaps
  ops::activate(gpu, ops::tanh_function{}, x, y);
  ops::activate_backward(gpu, ops::tanh_function{}, y, x, y);
  const auto mask = gpu.workspace.template allocate<std::uint8_t>(shape<2>{4, 3});
  ops::dropout_mask(gpu, random_stream(), 0, 0.5, mask);
  ops::apply_mask(gpu, x, mask, 0.5, y);
  ops::linear(gpu, x, w, v3, y);
  ops::linear_backward(gpu, x, w, y, matrix(4, 3), w, db);
  const ops::gate_shape gate{.width = 2, .branches = 2, .heads = 1};
  const auto branches = matrix(4, 4), logits = matrix(4, 1);
  const auto none = device_matrix<std::uint8_t>();
  ops::gate(gpu, gate, ops::tanh_function{}, branches, v4, matrix(1, 2), as_vector(matrix(1, 1)), none, 1.0, logits);
  ops::gate_backward(gpu, gate, ops::tanh_function{}, branches, matrix(1, 2), none, 1.0, logits, matrix(1, 2),
                     as_vector(matrix(1, 1)));
  ops::adam_step(gpu, flat, device_vector<const T>(flat2), flat3, flat, {.learning_rate = 0.1});
  ops::sgd_step(gpu, flat, device_vector<const T>(flat2), flat3, {.learning_rate = 0.1, .momentum = 0.5});
  ops::l2_norm(gpu, flat, gpu.workspace.template allocate<double>(1));
  ops::count_nonfinite(gpu, flat, gpu.workspace.template allocate<std::int64_t>(1));
  const std::int64_t host_labels[] = {0, 1, 2, 0};
  const auto labels = to_backend(gpu, vector_view<const std::int64_t>(host_labels, {4}));
  const auto losses = gpu.workspace.template allocate<double>(4);
  ops::cross_entropy(gpu, x, labels, device_vector<const double>(), 1, losses, y);
  ops::binary_cross_entropy(gpu, v4, labels, 1, 1, losses, v4);
  ops::softmax(gpu, x, y, v4);
  ops::softmax_backward(gpu, y, x, v4, y);
  const auto wide = matrix(1, 1025);
  ops::softmax(gpu, wide, wide, device_vector<T>());
  ops::softmax_backward(gpu, wide, wide, device_vector<T>(), wide);
  ops::segment_softmax(gpu, offsets, v4, v4, v2);
  ops::segment_softmax_backward(gpu, offsets, v4, v4, v2, v4);
  const auto segment_values = gpu.workspace.template allocate<double>(2);
  ops::distribution_loss(gpu, ops::negative_entropy{}, offsets, v4, device_vector<T>(), 1, segment_values, v4);
  ops::distribution_loss(gpu, ops::official_negative_entropy{}, offsets, v4, device_vector<T>(), 1, segment_values, v4);
  ops::distribution_loss(gpu, ops::squared_difference{}, offsets, v4, v4, 1, segment_values, v4);
  const auto weight = device_images<T>(matrix(2, 12).data(), {2, 3, 2, 2}),
             image = device_images<T>(matrix(2, 75).data(), {2, 3, 5, 5});
  const auto convolved = device_images<T>(matrix(2, 32).data(), {2, 2, 4, 4});
  ops::conv2d(gpu, image, weight, v2, convolved);
  ops::conv2d_relu(gpu, image, weight, v2, device_images<T>(), convolved);
  ops::conv2d_backward(gpu, image, weight, convolved, image, weight, v2);
  const auto tiles = gpu.workspace.template allocate<std::uint8_t>(shape<4>{2, 5, 4, 3});
  ops::fill(gpu, tiles.as_matrix(), std::uint8_t{9});
  ops::normalise_colours(gpu, tiles, gpu.workspace.template allocate<float>(shape<4>{2, 3, 5, 4}));
  const auto pooled = device_images<T>(matrix(2, 12).data(), {2, 3, 2, 2});
  const auto position = gpu.workspace.template allocate<ops::window_position>(shape<4>{2, 3, 2, 2});
  ops::max_pool2d(gpu, image, pooled, position);
  ops::max_pool2d_backward(gpu, position, pooled, image);
  ops::avg_pool2d(gpu, image, pooled);
  ops::avg_pool2d_backward(gpu, pooled, image);
  ops::global_average_pool(gpu, image, matrix(2, 3));
  ops::global_average_pool_backward(gpu, matrix(2, 3), image);
  ops::area_average(gpu, image, pooled);
  ops::area_average_backward(gpu, pooled, image);
  ops::bilinear(gpu, image, pooled);
  ops::bilinear_backward(gpu, pooled, image);
  const auto channels = doubles(3, 3);
  const device_vector<T> none_running;
  ops::batch_norm2d(gpu, image, v3, v3, none_running, none_running, 1e-5, image, channels);
  ops::batch_norm2d_backward(gpu, image, channels, false, v3, image, image, v3, db);
  ops::batch_norm2d_track(gpu, channels, 50, 0.1, v3, v3, db, db, device_vector<T>(v4.data(), {1}));
  ops::statistics_step(gpu, v3, device_vector<const T>(db));
  const auto moments = doubles(4, 2);
  const device_vector<double> norms(moments.data(), {4});
  ops::l2_normalise(gpu, x, y, norms);
  ops::l2_normalise_backward(gpu, y, norms, x, y);
  ops::layer_norm(gpu, x, v3, v3, 1e-5, y, moments);
  ops::layer_norm_backward(gpu, x, moments, v3, y, y, v3, db);

  const ops::bag_chunk<device_space> chunk{{0, 4}, {0, 2}, offsets};
  const auto states = doubles(2, 5), part = doubles(2, 5), sums = doubles(2, 3), largest = doubles(2, 6);
  const auto dots = gpu.workspace.template allocate<double>(2);
  ops::fill(gpu, dots, 0.0);
  const auto embedding = matrix(2, 3);
  ops::softmax_pool(gpu, chunk, x, logits, part);
  ops::softmax_pool_merge(gpu, part, states);
  ops::softmax_pool_finish(gpu, states, embedding);
  ops::softmax_weights(gpu, chunk, logits, states, logits);
  ops::softmax_dots(gpu, chunk, logits, states, logits, dots);
  ops::softmax_pool_backward(gpu, chunk, x, logits, states, embedding, logits, dots, logits, y);
  ops::sum_pool(gpu, chunk, x, sums);
  ops::sum_pool_merge(gpu, sums, sums);
  ops::mean_pool_finish(gpu, offsets, sums, embedding);
  ops::mean_weights(gpu, chunk, logits);
  ops::mean_pool_backward(gpu, chunk, embedding, y);
  ops::max_pool(gpu, chunk, x, largest);
  ops::max_pool_merge(gpu, largest, largest);
  ops::max_pool_finish(gpu, largest, embedding);
  ops::max_weights(gpu, chunk, largest, logits);
  ops::max_pool_backward(gpu, chunk, largest, embedding, y);
  launch_topk<T>(gpu);
  launch_draws<T>(gpu);
}

}  // namespace milkit::test
