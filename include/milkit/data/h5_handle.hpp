#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

#include <hdf5.h>

#include <milkit/core/error.hpp>

namespace milkit::data::detail {

/// An HDF5 identifier, closed by the function that its kind wants.
class h5_handle {
 public:
  h5_handle(hid_t id, herr_t (*closer)(hid_t)) : id_(id), close_(closer) {}
  h5_handle(h5_handle&& other) noexcept : id_(std::exchange(other.id_, -1)), close_(other.close_) {}
  h5_handle(const h5_handle&) = delete;
  h5_handle& operator=(h5_handle&&) = delete;
  ~h5_handle() {
    if (id_ >= 0) close_(id_);
  }
  operator hid_t() const { return id_; }  // NOLINT(google-explicit-constructor): it is that number
  bool ok() const { return id_ >= 0; }
  /// Closes it now, and says whether that worked: a file is whole only then.
  bool close() { return close_(std::exchange(id_, -1)) >= 0; }

 private:
  hid_t id_;
  herr_t (*close_)(hid_t);
};

/// HDF5 prints no errors of its own while one of these lives; they arrive as io_error.
class quiet_h5 {
 public:
  quiet_h5() {
    H5Eget_auto2(H5E_DEFAULT, &function_, &data_);
    H5Eset_auto2(H5E_DEFAULT, nullptr, nullptr);
  }
  quiet_h5(const quiet_h5&) = delete;
  quiet_h5& operator=(const quiet_h5&) = delete;
  ~quiet_h5() { H5Eset_auto2(H5E_DEFAULT, function_, data_); }

 private:
  H5E_auto2_t function_ = nullptr;
  void* data_ = nullptr;
};

template <class T>
hid_t h5_type() {
  if constexpr (std::is_same_v<T, float>) return H5T_NATIVE_FLOAT;
  else if constexpr (std::is_same_v<T, double>) return H5T_NATIVE_DOUBLE;
  else if constexpr (std::is_same_v<T, std::uint64_t>) return H5T_NATIVE_UINT64;
  else return H5T_NATIVE_INT64;
}

/// What HDF5 says of its last error, from the inside out: "unable to open file; unable to lock file".
inline std::string h5_reason() {
  std::string text;
  const auto add = [](unsigned, const H5E_error2_t* error, void* to) -> herr_t {
    auto& all = *static_cast<std::string*>(to);
    if (error->desc && all.find(error->desc) == all.npos) all += (all.empty() ? "" : "; ") + std::string(error->desc);
    return 0;
  };
  H5Ewalk2(H5E_DEFAULT, H5E_WALK_UPWARD, add, &text);
  return text;
}
inline std::string h5_version() {
  unsigned major = 0, minor = 0, patch = 0;
  H5get_libversion(&major, &minor, &patch);
  return message("HDF5 ", major, ".", minor, ".", patch);
}

/// The last line of a file of ours: what all bytes before it give. HDF5 does not look behind its own end.
inline constexpr std::string_view h5_trailer = "\nmilkit digest ";
inline constexpr std::size_t h5_trailer_bytes = 15 + 32 + 1;

}  // namespace milkit::data::detail
