#pragma once

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include <milkit/data/safetensors.hpp>

#include <support/close.hpp>
#include <support/paths.hpp>

namespace milkit::test {

/// One golden case, by its name: `golden_case("core_conv2d")`. Throws `skipped` where the file or the folder is
/// missing.
///
///     CHECK(golden.error("output", y) <= golden_tolerance<T>);
class golden_case {
 public:
  explicit golden_case(const std::string& name) : file_(golden_file(name + ".safetensors")) {}

  bool has(const std::string& name) const { return file_.contains(name); }
  const data::safetensors_reader& file() const { return file_; }

  /// A tensor of numbers, rounded where T is float.
  template <class T, int Rank>
  tensor<T, Rank> get(const std::string& name) const {
    return file_.read<T, Rank>(name, data::conversion::nearest);
  }
  /// An option: the first element of a tensor of any shape.
  template <class T>
  T option(const std::string& name, std::size_t i = 0) const {
    return file_.read<T>(name, data::conversion::nearest).values.at(i);
  }

  /// The relative error of `got` against the stored tensor, whatever the ranks of both; infinity where the sizes
  /// differ.
  template <class Got>
  double error(const std::string& name, const Got& got) const {
    return relative_error(got, file_.read<double>(name, data::conversion::nearest).values);
  }
  /// max |got - stored| <= relative max |stored| + absolute, as README_zoom_in.md has it; says where not.
  template <class Got>
  bool within(const std::string& name, const Got& got, double relative, double absolute) const {
    const auto want = file_.read<double>(name, data::conversion::nearest).values;
    const auto have = elements(got);
    double most = 0;
    for (const double each : want) most = (std::max)(most, std::abs(each));
    if (have.size() != want.size()) return false;
    for (std::size_t i = 0; i < want.size(); ++i)
      if (!(std::abs(have[i] - want[i]) <= relative * most + absolute)) {
        MESSAGE(name << "[" << i << "] is " << have[i] << ", expected " << want[i]);
        return false;
      }
    return true;
  }
  /// For index, count and mask tensors: whether every element is the stored one.
  template <class Got>
  bool equal(const std::string& name, const Got& got) const {
    return elements(got) == file_.read<double>(name, data::conversion::nearest).values;
  }

 private:
  data::safetensors_reader file_;
};

/// The first number for double, the second for float: `tolerance_of<T>(1e-9, 1e-5)`, as README_core.md gives them a
/// family.
template <class T>
constexpr double tolerance_of(double in_double, double in_float) {
  return sizeof(T) == 8 ? in_double : in_float;
}
/// What the golden files ask of layers, losses, metrics, optimizers and schedules (README_core.md, Tolerances).
template <class T>
inline constexpr double golden_tolerance = tolerance_of<T>(1e-10, 1e-5);

/// What they ask of the samplers and of the Zoom-In network (README_zoom_in.md): outputs, and gradients.
template <class T>
bool output_within(const golden_case& golden, const std::string& name, const auto& got) {
  return golden.within(name, got, tolerance_of<T>(1e-10, 1e-5), tolerance_of<T>(1e-13, 1e-6));
}
template <class T>
bool gradient_within(const golden_case& golden, const std::string& name, const auto& got) {
  return golden.within(name, got, tolerance_of<T>(1e-10, 1e-4), tolerance_of<T>(1e-13, 1e-6));
}

}  // namespace milkit::test
