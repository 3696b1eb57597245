#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <memory>
#include <new>
#include <utility>

#if defined(__linux__)
#include <sys/mman.h>
#endif

#include <milkit/core/view.hpp>

namespace milkit {

/// Every owning array starts at a multiple of this many bytes: a cache line, and more than any vector register.
inline constexpr std::size_t alignment = 64;

/// The bytes of a contiguous array. Errors: shape_error for a negative extent, and for more bytes than any memory has.
template <class T, int Rank>
std::size_t bytes_of(std::string_view what, const shape<Rank>& s) {
  auto bytes = static_cast<std::int64_t>(sizeof(T));
  bool none = false;
  for (int i = 0; i < Rank; ++i) {
    if (s[i] < 0) throw shape_error(message(what, ": extent ", i, " is ", s[i], ", expected 0 or more"));
    if (s[i] > (std::numeric_limits<std::int64_t>::max)() / bytes)
      throw shape_error(
          message(what, ": ", to_string(s), " elements of ", sizeof(T), " bytes, expected less than 2^63"));
    none = none || s[i] == 0;
    bytes *= (std::max)(s[i], std::int64_t{1});
  }
  return none ? 0 : static_cast<std::size_t>(bytes);
}

/// Allocates, frees, clears and copies in one memory space; specialised for `host_space` here and for `device_space` by
/// core/cuda.cuh.
template <class Space>
struct space_allocator {
  static_assert(dependent_false<Space>,
                "milkit: this memory space has no allocator here; include <milkit/core/cuda.cuh>");
};

template <>
struct space_allocator<host_space> {
  static void* allocate(std::size_t bytes) {
    void* data = ::operator new (bytes, std::align_val_t{alignment});
#if defined(__linux__)
    // Large pages: rows of a few KiB, each on a page of its own, cost a matrix product more in address look-ups than in
    // cache.
    constexpr std::size_t page = 4096, large = std::size_t{4} << 20;
    if (bytes >= large)
      madvise(reinterpret_cast<void*>((reinterpret_cast<std::uintptr_t>(data) + page - 1) / page * page), bytes - page,
              MADV_HUGEPAGE);
#endif
    return data;
  }
  static void release(void* data) noexcept { ::operator delete (data, std::align_val_t{alignment}); }
  static void clear(void* data, std::size_t bytes) { std::memset(data, 0, bytes); }
};

/// Copies bytes from one space to another and waits for it; the host to itself here, the others in core/cuda.cuh.
template <class From, class To>
struct space_copy {
  static_assert(dependent_false<From>,
                "milkit: no copy between these memory spaces here; include <milkit/core/cuda.cuh>");
};
template <>
struct space_copy<host_space, host_space> {
  static void run(void* to, const void* from, std::size_t bytes) { std::memcpy(to, from, bytes); }
};

/// Copies contiguous values into a contiguous view of the same shape, in any space, and waits for it.
template <class T, class U, int Rank, class From, class To>
void copy_bytes(view<T, Rank, From> from, view<U, Rank, To> to) {
  static_assert(std::is_same_v<std::remove_const_t<T>, U>, "milkit::copy_bytes: one element type");
  expect_shape("milkit::copy_bytes", "to", to, from.shape());
  if (!from.contiguous() || !to.contiguous()) throw shape_error("milkit::copy_bytes: rows with gaps, expected none");
  if (from.size() > 0)
    space_copy<From, To>::run(to.data(), from.data(), static_cast<std::size_t>(from.size()) * sizeof(T));
}

/// An owning, contiguous, aligned array of zeros; move-only, because a copy of a gigabyte should be written down
/// (`clone`).
template <class T, int Rank, class Space = host_space>
class tensor {
  static_assert(std::is_trivially_copyable_v<T>, "milkit::tensor: elements must be trivially copyable");

 public:
  using value_type = T;
  using space = Space;

  tensor() = default;
  explicit tensor(milkit::shape<Rank> shape) : shape_(shape) {
    const std::size_t bytes = bytes_of<T>("milkit::tensor", shape);
    if (bytes == 0) return;
    data_.reset(static_cast<T*>(space_allocator<Space>::allocate(bytes)));
    space_allocator<Space>::clear(data_.get(), bytes);
  }

  T* data() { return data_.get(); }
  const T* data() const { return data_.get(); }
  const milkit::shape<Rank>& shape() const { return shape_; }
  std::int64_t extent(int i) const { return shape_[i]; }
  std::int64_t rows() const { return shape_[0]; }
  std::int64_t size() const { return shape_.size(); }

  milkit::view<T, Rank, Space> view() { return {data(), shape_}; }
  milkit::view<const T, Rank, Space> view() const { return {data(), shape_}; }

  tensor clone() const { return to<Space>(); }
  /// A copy in a space of your choice: `weights.to<device_space>()`.
  template <class Other>
  tensor<T, Rank, Other> to() const {
    tensor<T, Rank, Other> copy(shape_);
    copy_bytes(view(), copy.view());
    return copy;
  }

 private:
  struct releaser {
    void operator()(T* data) const noexcept { space_allocator<Space>::release(data); }
  };
  milkit::shape<Rank> shape_ = {};
  std::unique_ptr<T[], releaser> data_;
};

/// A copy of contiguous values in a space of your choice.
template <class To, class T, int Rank, class From>
tensor<std::remove_const_t<T>, Rank, To> copied_to(view<T, Rank, From> from) {
  tensor<std::remove_const_t<T>, Rank, To> copy(from.shape());
  copy_bytes(from, copy.view());
  return copy;
}

}  // namespace milkit
