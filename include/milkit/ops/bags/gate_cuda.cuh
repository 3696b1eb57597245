#pragma once

#include <milkit/ops/bags/gate.hpp>
#include <milkit/ops/products/linear/column_sums_cuda.cuh>

namespace milkit::ops::detail {

/// What `gate` and its backward pass know of one head's entry (i, j).
template <class T>
struct gate_entries {
  gate_shape gate;
  device_matrix<T> branches;
  device_matrix<const T> w;
  device_matrix<const std::uint8_t> mask;
  T scale;

  __device__ std::int64_t column(std::int64_t h, std::int64_t j) const { return h * gate.branches * gate.width + j; }
  /// What dropout multiplies an entry by.
  __device__ T kept(std::int64_t i, std::int64_t column) const {
    return mask.absent() ? T(1) : mask(i, column) ? scale : T(0);
  }
};

/// One warp a row and head.
template <class Function, class T>
struct gate_kernel {
  static constexpr int threads = 128;
  gate_entries<T> at;
  device_vector<const T> branch_bias, bias;
  device_matrix<T> logits;

  __device__ void operator()() const {
    const std::int64_t warp = grid_position::thread() / 32, lane = threadIdx.x % 32;
    const std::int64_t i = warp / at.gate.heads, h = warp % at.gate.heads;
    if (i >= at.branches.rows()) return;
    T score = 0;
    for (std::int64_t j = lane; j < at.gate.width; j += 32) {
      const std::int64_t v = at.column(h, j), u = v + at.gate.width;
      const T before = at.branches(i, v) + (branch_bias.absent() ? T(0) : branch_bias(v));
      const T value = Function::value(before);
      at.branches(i, v) = Function::slope_from_output ? value : before;
      T g = value * at.kept(i, v);
      if (at.gate.branches == 2) {
        const T gate = sigmoid_function::value(at.branches(i, u) + (branch_bias.absent() ? T(0) : branch_bias(u)));
        at.branches(i, u) = gate;
        g *= gate * at.kept(i, u);
      }
      score += at.w(h, j) * g;
    }
    score = warp_sum(score);
    if (lane == 0) logits(i, h) = score + (bias.absent() ? T(0) : bias(h));
  }
};

/// The terms of dw and dbias, head by head: L columns and one; on the way the branches become their gradients.
template <class Function, class T>
struct gate_backward_terms {
  gate_entries<T> at;
  device_matrix<const T> dlogits;

  __device__ T operator()(std::int64_t i, std::int64_t column) const {
    const std::int64_t h = column / (at.gate.width + 1), j = column % (at.gate.width + 1);
    const T dz = dlogits(i, h);
    if (j == at.gate.width) return dz;
    const std::int64_t v = at.column(h, j), u = v + at.gate.width;
    const T stored = at.branches(i, v), keep_v = at.kept(i, v);
    const T value = Function::slope_from_output ? stored : Function::value(stored);
    const T upstream = dz * at.w(h, j);
    if (at.gate.branches == 1) {
      at.branches(i, v) = upstream * keep_v * Function::slope(stored, value);
      return dz * value * keep_v;
    }
    const T s = at.branches(i, u), keep_u = at.kept(i, u), value_kept = value * keep_v, s_kept = s * keep_u;
    at.branches(i, v) = upstream * s_kept * keep_v * Function::slope(stored, value);
    at.branches(i, u) = upstream * value_kept * keep_u * s * (T(1) - s);
    return dz * value_kept * s_kept;
  }
};

template <>
struct gate_impl<cuda> {
  template <class Function, class T>
  static void run(cuda& backend, const gate_shape& gate, Function, device_matrix<T> branches,
                  device_vector<const T> branch_bias, device_matrix<const T> w, device_vector<const T> bias,
                  device_matrix<const std::uint8_t> mask, T scale, device_matrix<T> logits) {
    using kernel = gate_kernel<Function, T>;
    launch(backend, {chunk_count(branches.rows() * gate.heads, kernel::threads / 32)},
           kernel{{gate, branches, w, mask, scale}, branch_bias, bias, logits});
  }
};

template <>
struct gate_backward_impl<cuda> {
  template <class T>
  static device_matrix<double> scratch(cuda& backend, const gate_shape& gate, auto, device_matrix<T> branches,
                                       auto&&...) {
    return column_sums_scratch(backend, branches.rows(), gate.heads * (gate.width + 1));
  }
  template <class Function, class T>
  static void run(cuda& backend, device_matrix<double> partial, const gate_shape& gate, Function,
                  device_matrix<T> branches, device_matrix<const T> w, device_matrix<const std::uint8_t> mask, T scale,
                  device_matrix<const T> dlogits, device_matrix<T> dw, device_vector<T> dbias) {
    if (branches.rows() == 0) return;
    column_sums(backend, partial, branches.rows(),
                gate_backward_terms<Function, T>{{gate, branches, w, mask, scale}, dlogits});
    for (int h = 0; h < gate.heads; ++h) {
      const device_matrix<double> head = partial.columns(h * (gate.width + 1), gate.width + 1);
      add_partial(backend, head.columns(0, gate.width), device_vector<T>(dw.row(h), {gate.width}));
      if (!dbias.absent()) add_partial(backend, head.columns(gate.width, 1), dbias.rows(h, 1));
    }
  }
};

}  // namespace milkit::ops::detail
