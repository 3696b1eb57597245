#pragma once

#include <cstddef>
#include <cstdint>
#include <stdexcept>
#include <utility>
#include <vector>

#include <milkit/core/tensor.hpp>

namespace milkit {

/// How far a workspace was in use when a scope began.
struct workspace_mark {
  std::size_t block = 0, offset = 0, used = 0;
};

namespace detail {
struct no_workspace {
  explicit no_workspace(bool = false) {}
  workspace_mark now() const { return {}; }
  void release(const workspace_mark&) noexcept {}
};
}  // namespace detail

/// Temporary memory of a backend: a stack that is reused from step to step and reports its peak.
///
/// `scope()` marks the stack and releases down to the mark when it ends; nothing allocated in between may outlive it.
/// The stack grows by blocks while a first step runs; as soon as it is empty again the blocks are merged into one of
/// the peak's size, so that from the second step on nothing is allocated from the system. `reserve` takes that block
/// beforehand, and `pin` keeps it where it is. A `planning` workspace hands out views without memory and only counts:
/// `memory_plan` runs a step on it. A workspace over a slice of other memory never grows. Errors: shape_error for a
/// shape that no memory holds; length_error where a slice or pinned memory is too small; those of the allocator.
template <class Space>
class workspace {
  static constexpr bool on_host = std::is_same_v<Space, host_space>;

 public:
  workspace() = default;
  explicit workspace(bool planning) : planning_(planning), host_(planning) {}
  explicit workspace(view<std::byte, 1, Space> slice) : slice_(slice) {}
  workspace(workspace&&) = default;
  workspace& operator=(workspace&&) = default;

  bool planning() const { return planning_; }
  std::size_t bytes_in_use() const { return used_; }
  /// The most bytes that were in use at once since construction or `reset_peak()`.
  std::size_t peak_bytes() const { return peak_; }
  void reset_peak() { peak_ = used_; }
  /// Bytes taken from the system.
  std::size_t reserved_bytes() const {
    std::size_t bytes = 0;
    for (const auto& each : blocks_) bytes += each.size;
    return bytes;
  }

  class scope_guard {
   public:
    explicit scope_guard(workspace& owner) : owner_(owner), mark_(owner.now()), host_(owner.host_.now()) {}
    scope_guard(const scope_guard&) = delete;
    scope_guard& operator=(const scope_guard&) = delete;
    ~scope_guard() {
      owner_.release(mark_);
      owner_.host_.release(host_);
    }

   private:
    workspace& owner_;
    workspace_mark mark_, host_;
  };
  [[nodiscard]] scope_guard scope() { return scope_guard(*this); }

  /// Takes one block of at least `bytes` (a plan's) from the system now. Errors: logic_error while anything is in use.
  void reserve(std::size_t bytes) {
    if (planning_ || !slice_.absent() || (blocks_.size() == 1 && blocks_[0].size >= bytes)) return;
    if (used_ != 0 || pinned_)
      throw std::logic_error(
          message("milkit::workspace: reserve of ", bytes, " bytes while ", pinned_ ? "it is pinned" : "it is in use"));
    blocks_.clear();
    block_ = offset_ = 0;
    if constexpr (!on_host) space_allocator<Space>::use_device(device_);
    if (bytes > 0) blocks_.emplace_back(bytes);
  }

  /// From now on the memory stays where it is, for those who come back by address alone (a captured graph): nothing is
  /// merged or freed, and a step that needs more than there is gets a length_error.
  void pin() { pinned_ = true; }

  /// On a machine with many cards: the one that device memory comes from; otherwise the current one.
  void use_device(int device) requires(!on_host) { device_ = device; }

  /// An uninitialised contiguous view that lives until the innermost open scope ends.
  template <class T, int Rank>
  view<T, Rank, Space> allocate(const shape<Rank>& shape) {
    return {static_cast<T*>(allocate_bytes(bytes_of<T>("milkit::workspace", shape))), shape};
  }
  template <class T>
  view<T, 1, Space> allocate(std::int64_t count) {
    return allocate<T, 1>(shape<1>{count});
  }

  /// The same for values that matrix products read down their columns: on the host rows of a multiple of 1 KiB start 64
  /// bytes further apart, because otherwise the elements of a column share a few sets of the cache and push each other
  /// out.
  template <class T, int Rank>
  view<T, Rank, Space> allocate_rows(const shape<Rank>& shape) {
    const std::int64_t stride = row_stride<T>(shape.row_size());
    return {allocate<T>(milkit::shape<2>{shape[0], stride}).data(), shape, stride};
  }
  /// How far such rows of `size` elements lie apart.
  template <class T>
  static constexpr std::int64_t row_stride(std::int64_t size) {
    constexpr auto kibibyte = static_cast<std::int64_t>(1024 / sizeof(T)),
                   gap = static_cast<std::int64_t>(64 / sizeof(T));
    return on_host && size > 0 && size % kibibyte == 0 ? size + gap : size;
  }

  /// A small table that ordinary code reads and that lives as long; on the host whatever the space.
  template <class T>
  view<T, 1> allocate_on_host(std::int64_t count) {
    if constexpr (on_host) return allocate<T>(count);
    else return host_.template allocate<T>(count);
  }

 private:
  struct piece {
    explicit piece(std::size_t bytes)
        : data(static_cast<std::byte*>(space_allocator<Space>::allocate(bytes))), size(bytes) {}
    piece(piece&& other) noexcept : data(std::exchange(other.data, nullptr)), size(std::exchange(other.size, 0)) {}
    piece& operator=(piece&& other) noexcept {
      std::swap(data, other.data);
      std::swap(size, other.size);
      return *this;
    }
    ~piece() {
      if (data) space_allocator<Space>::release(data);
    }
    std::byte* data;
    std::size_t size;
  };

  void* allocate_bytes(std::size_t bytes) {
    bytes = (bytes + alignment - 1) / alignment * alignment;
    void* data = bytes == 0 ? nullptr : find(bytes);
    used_ += bytes;
    peak_ = used_ > peak_ ? used_ : peak_;
    return data;
  }

  void* find(std::size_t bytes) {
    if (planning_) return reinterpret_cast<void*>(alignment);  // no memory: an address that only arithmetic may touch
    if (!slice_.absent()) {
      if (static_cast<std::int64_t>(used_ + bytes) > slice_.extent(0))
        throw std::length_error(
            message("milkit::workspace: a slice of ", slice_.extent(0), " bytes was asked for ", used_ + bytes));
      return slice_.data() + used_;
    }
    while (block_ < blocks_.size() && offset_ + bytes > blocks_[block_].size) {
      ++block_;
      offset_ = 0;
    }
    if (block_ == blocks_.size()) grow(bytes);
    void* data = blocks_[block_].data + offset_;
    offset_ += bytes;
    return data;
  }

  /// Doubles, where there is room for that.
  void grow(std::size_t bytes) {
    constexpr std::size_t least = std::size_t{1} << 16;
    if (pinned_)
      throw std::length_error(message("milkit::workspace: pinned at ", reserved_bytes(), " bytes, was asked for ",
                                      bytes, " beside ", used_, " in use"));
    const std::size_t wanted = (std::max)({bytes, reserved_bytes(), least});
    if constexpr (!on_host) space_allocator<Space>::use_device(device_);
    try {
      blocks_.emplace_back(wanted);
    } catch (...) {
      if (wanted == bytes) throw;
      blocks_.emplace_back(bytes);
    }
  }

  workspace_mark now() const { return {block_, offset_, used_}; }
  void release(const workspace_mark& mark) noexcept {
    block_ = mark.block;
    offset_ = mark.offset;
    used_ = mark.used;
    if (used_ != 0 || blocks_.size() < 2 || pinned_) return;
    block_ = offset_ = 0;
    try {
      blocks_.clear();
      reserve(peak_);
    } catch (...) {  // too little memory for one block: the next allocation starts again from none, and reports
      blocks_.clear();
    }
  }

  template <class>
  friend class workspace;

  bool planning_ = false, pinned_ = false;
  int device_ = -1;
  std::conditional_t<on_host, detail::no_workspace, workspace<host_space>> host_;
  view<std::byte, 1, Space> slice_;
  std::vector<piece> blocks_;
  std::size_t block_ = 0, offset_ = 0, used_ = 0, peak_ = 0;
};

}  // namespace milkit
