#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
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
  static void copy(void* to, const void* from, std::size_t bytes) { std::memcpy(to, from, bytes); }
};

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
    for (int i = 0; i < Rank; ++i)
      if (shape[i] < 0) throw shape_error(message("tensor: extent ", i, " is ", shape[i], ", expected 0 or more"));
    const auto bytes = static_cast<std::size_t>(size()) * sizeof(T);
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

  tensor clone() const {
    tensor copy(shape_);
    if (size() > 0) space_allocator<Space>::copy(copy.data(), data(), static_cast<std::size_t>(size()) * sizeof(T));
    return copy;
  }

 private:
  struct releaser {
    void operator()(T* data) const noexcept { space_allocator<Space>::release(data); }
  };
  milkit::shape<Rank> shape_ = {};
  std::unique_ptr<T[], releaser> data_;
};

}  // namespace milkit
