#pragma once

#include <milkit/core/launch.cuh>
#include <milkit/ops/rows/fill.hpp>

namespace milkit::ops::detail {

/// Views of one shape as one row, where none of them has gaps: no division for each element.
template <class... Views>
shape<2> element_shape(const shape<2>& s, const Views&... views) {
  return (views.contiguous() && ...) ? shape<2>{1, s.size()} : s;
}

/// What moves as one: four floats, two doubles.
template <class T>
struct wide {
  using type = T;
};
template <>
struct wide<float> {
  using type = float4;
};
template <>
struct wide<double> {
  using type = double2;
};
template <class T>
struct pack {
  using whole_type = typename wide<T>::type;
  static constexpr int size = static_cast<int>(sizeof(whole_type) / sizeof(T));
  union {
    whole_type whole;
    T each[static_cast<unsigned>(size)];
  };
  __device__ pack() {}
  __device__ explicit pack(const T* from) { load(from); }
  __device__ void load(const T* from) { whole = *reinterpret_cast<const whole_type*>(from); }
  __device__ void store(T* to) const { *reinterpret_cast<whole_type*>(to) = whole; }
  static bool aligned(const T* data) { return reinterpret_cast<std::uintptr_t>(data) % sizeof(whole_type) == 0; }
};

/// out = f(in...), of one type, element by element.
template <class Function, class T, int Inputs>
struct map_element {
  Function f;
  device_matrix<T> out;
  device_matrix<const T> in[static_cast<unsigned>(Inputs > 0 ? Inputs : 1)];

  __device__ void operator()(std::int64_t i, std::int64_t j) const {
    out(i, j) = value([&](int n) { return in[n](i, j); });
  }
  template <class Value>
  __device__ T value(const Value& of) const {
    if constexpr (Inputs == 0) return f();
    else if constexpr (Inputs == 1) return f(of(0));
    else return f(of(0), of(1));
  }
};

/// The same for flat arrays at multiples of 16 bytes, which move 16 bytes at a time.
template <class Map, class T, int Inputs>
struct map_packs_kernel {
  static constexpr int threads = 256, size = pack<T>::size;
  Map map;
  std::int64_t count;

  __device__ void operator()() const {
    const std::int64_t packs = count / size;
    for (std::int64_t i = grid_position::thread(); i < packs; i += grid_position::threads()) {
      pack<T> in[static_cast<unsigned>(Inputs > 0 ? Inputs : 1)], out;
      for (int n = 0; n < Inputs; ++n) in[n].load(map.in[n].data() + i * size);
      for (int k = 0; k < size; ++k) out.each[k] = map.value([&](int n) { return in[n].each[k]; });
      out.store(map.out.data() + i * size);
    }
    for (std::int64_t i = packs * size + grid_position::thread(); i < count; i += grid_position::threads()) map(0, i);
  }
};

template <class Function, class T, class... Inputs>
void map(cuda& backend, const Function& f, device_matrix<T> out, Inputs... in) {
  constexpr int inputs = sizeof...(Inputs);
  using element = map_element<Function, T, inputs>;
  using packs = map_packs_kernel<element, T, inputs>;
  const element each{f, out, {in...}};
  const shape<2> s = element_shape(out.shape(), out, in...);
  if (s[0] == 1 && pack<T>::aligned(out.data()) && (pack<T>::aligned(in.data()) && ...))
    launch(backend, {blocks_for(backend, chunk_count(s[1], packs::size), packs::threads)}, packs{each, s[1]});
  else for_each_element(backend, s[0], s[1], each);
}

template <class T>
struct constant_value {
  T value;
  __device__ T operator()() const { return value; }
};
struct same_value {
  template <class T>
  __device__ T operator()(T x) const {
    return x;
  }
};

template <>
struct fill_impl<cuda> {
  template <class T>
  static void run(cuda& backend, device_matrix<T> x, T value) {
    map(backend, constant_value<T>{value}, x);
  }
};

template <>
struct copy_rows_impl<cuda> {
  template <class T>
  static void run(cuda& backend, device_matrix<const T> x, device_matrix<T> y, bool accumulate) {
    if (accumulate) map(backend, sum_of_two(), y, device_matrix<const T>(y), x);
    else map(backend, same_value(), y, x);
  }
};

}  // namespace milkit::ops::detail
