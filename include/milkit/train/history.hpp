#pragma once

#include <cstdint>
#include <initializer_list>
#include <limits>
#include <span>
#include <string>
#include <vector>

#include <milkit/core/error.hpp>
#include <milkit/core/macros.hpp>

namespace milkit::train {

/// A figure with its name: {"loss", 0.42}.
struct metric {
  std::string name;
  double value = 0;
};

/// What a training measured, epoch by epoch: named columns of one length. What an epoch did not report is NaN.
class history {
 public:
  /// Adds an epoch; a new name opens a column. Errors: value_error for a name given twice (nothing is added then).
  MILKIT_INLINE void add(std::span<const metric> figures);
  void add(std::initializer_list<metric> figures) { add(std::span<const metric>(figures.begin(), figures.size())); }

  std::int64_t epochs() const { return epochs_; }
  /// The names, in the order in which they first appeared.
  MILKIT_INLINE std::vector<std::string> names() const;
  /// One value an epoch. Errors: value_error for a name that no epoch reported.
  MILKIT_INLINE const std::vector<double>& column(const std::string& name) const;

 private:
  static constexpr double missing = std::numeric_limits<double>::quiet_NaN();
  struct named_column {
    std::string name;
    std::vector<double> values;
  };
  MILKIT_INLINE std::size_t find(const std::string& name) const;
  std::int64_t epochs_ = 0;
  std::vector<named_column> columns_;
};

}  // namespace milkit::train

#if !defined(MILKIT_COMPILED)
#include <milkit/train/history.ipp>
#endif
