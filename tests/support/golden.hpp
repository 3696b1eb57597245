#pragma once

#include <string>
#include <vector>

#include <milkit/data/safetensors.hpp>

#include <support/close.hpp>
#include <support/paths.hpp>

namespace milkit::test {

/// What the golden files ask of a family of blocks: the largest `relative_error` in double, and in float of outputs and
/// gradients.
struct golden_tolerance {
  double in_double, in_float, gradient_in_float;

  template <class T>
  double output() const {
    return sizeof(T) == sizeof(double) ? in_double : in_float;
  }
  template <class T>
  double gradient() const {
    return sizeof(T) == sizeof(double) ? in_double : gradient_in_float;
  }
};

inline constexpr golden_tolerance golden_layers{1e-10, 1e-5, 1e-5};
inline constexpr golden_tolerance golden_pooling{1e-9, 1e-5, 1e-5};
inline constexpr golden_tolerance golden_bag_classifier{1e-9, 1e-5, 1e-5};
inline constexpr golden_tolerance golden_softmax_large{1e-9, 1e-4, 1e-4};     // logits near 1000, rounded when read as float
inline constexpr golden_tolerance golden_gated_ascending{1e-9, 1e-4, 1e-3};  // gradients of nearly equal instances cancel

/// One case of the golden tensors: `golden_case("core_linear")`. The test is skipped where the file is missing.
///
///     CHECK(golden.error("output", y) <= golden_layers.output<T>());
class golden_case {
 public:
  explicit golden_case(const std::string& name) : file_(golden_file(name + ".safetensors")) {}

  bool contains(const std::string& name) const { return file_.contains(name); }
  const std::vector<std::int64_t>& shape(const std::string& name) const { return file_.info(name).shape; }

  /// A stored tensor, rounded where T is float.
  template <class T, int Rank>
  tensor<T, Rank> read(const std::string& name) const {
    return file_.read<T, Rank>(name, data::conversion::nearest);
  }
  /// A stored tensor of one element.
  double number(const std::string& name) const { return file_.read<double, 1>(name, data::conversion::nearest).view()(0); }

  /// The relative error of `got` against the stored tensor, whatever the two's ranks; infinity where the sizes differ.
  template <class Got>
  double error(const std::string& name, const Got& got) const {
    return relative_error(got, file_.read<double>(name, data::conversion::nearest).values);
  }
  /// Index, count and mask tensors: true only where every element is equal.
  template <class Got>
  bool equal(const std::string& name, const Got& got) const {
    return elements(got) == file_.read<double>(name, data::conversion::nearest).values;
  }

 private:
  data::safetensors_reader file_;
};

}  // namespace milkit::test
