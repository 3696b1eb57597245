#pragma once
// The networks of zoom_train and zoom_predict by their names, on the data of a study.

#include <string>
#include <vector>

#include <milkit/data/hdf5.hpp>
#include <milkit/data/standardise.hpp>

#include "zoom_networks.hpp"
#include "zoom_study.hpp"

namespace example {

// What is compared: ZoomMIL with a straight-through gradient of its selections; with the paper's perturbed ones; with
// selections that learn nothing; AB-MIL on all tiles of one magnification.
inline const std::vector<std::string> methods = {"zoom_mil", "perturbed", "hard", "random", "abmil_low", "abmil_high"};

inline bool zooms(const std::string& method) { return !method.starts_with("abmil"); }

inline choice::kind choice_of(const std::string& method) {
  if (method == "perturbed") return choice::perturbed;
  return method == "hard" ? choice::hard : method == "random" ? choice::random : choice::straight_through;
}

// Features of a ResNet are what the paper takes as they are; the numbers of the stain descriptor have units of their
// own, and a network for them is a quarter of the size.
inline bool is_small(const study& s) { return s.encoder == "stain"; }

// body(levels): the number of magnifications as a constant.
template <class Body>
void with_levels(const study& s, Body&& body) {
  if (s.magnifications.size() == 2) body(std::integral_constant<std::size_t, 2>());
  else body(std::integral_constant<std::size_t, 3>());
}

// All tiles of one magnification, as AB-MIL takes them.
template <class Pyramids>
class one_magnification {
 public:
  one_magnification(Pyramids& all, std::size_t level) : all_(&all), level_(level) {}
  std::int64_t size() const { return all_->size(); }
  std::int64_t classes() const { return all_->classes(); }
  std::int64_t label(std::int64_t i) const { return all_->label(i); }
  auto bag(std::int64_t i) const { return bags_of(all_->features(i, level_)); }

 private:
  Pyramids* all_;
  std::size_t level_;
};

}  // namespace example
