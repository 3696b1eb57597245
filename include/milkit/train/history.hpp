#pragma once

#include <cstdint>
#include <initializer_list>
#include <limits>
#include <span>
#include <string>
#include <vector>

#include <milkit/core/error.hpp>

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
  void add(std::span<const metric> figures) {
    for (std::size_t i = 0; i < figures.size(); ++i)
      for (std::size_t j = 0; j < i; ++j)
        expect_value(figures[i].name != figures[j].name, "milkit::train::history", "figure \"", figures[i].name,
                     "\" is given twice");
    for (const metric& each : figures)
      if (!find(each.name))
        columns_.push_back({each.name, std::vector<double>(static_cast<std::size_t>(epochs_), missing)});
    ++epochs_;
    for (named_column& each : columns_) each.values.push_back(missing);
    for (const metric& each : figures) columns_[find(each.name) - 1].values.back() = each.value;
  }
  void add(std::initializer_list<metric> figures) { add(std::span<const metric>(figures.begin(), figures.size())); }

  std::int64_t epochs() const { return epochs_; }
  /// The names, in the order in which they first appeared.
  std::vector<std::string> names() const {
    std::vector<std::string> all;
    for (const named_column& each : columns_) all.push_back(each.name);
    return all;
  }
  /// One value an epoch. Errors: value_error for a name that no epoch reported.
  const std::vector<double>& column(const std::string& name) const {
    const std::size_t found = find(name);
    expect_value(found > 0, "milkit::train::history", "there is no figure \"", name, "\"");
    return columns_[found - 1].values;
  }

 private:
  static constexpr double missing = std::numeric_limits<double>::quiet_NaN();
  struct named_column {
    std::string name;
    std::vector<double> values;
  };
  std::size_t find(const std::string& name) const {  // 1 + its place, 0: not there
    for (std::size_t i = 0; i < columns_.size(); ++i)
      if (columns_[i].name == name) return i + 1;
    return 0;
  }
  std::int64_t epochs_ = 0;
  std::vector<named_column> columns_;
};

}  // namespace milkit::train
