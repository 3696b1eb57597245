#pragma once
// The networks of zoom_train and zoom_predict by their names, on the data of a study.

#include <iostream>
#include <string>
#include <vector>

#include <milkit/data/digest.hpp>
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

// The features of a slide, checked: of this file, with tiles, of as many numbers at every magnification. Errors: io_error
// and value_error that name the file and what is wrong.
inline data::feature_pyramid read_features(const study& of, const study_slide& slide) {
  const auto path = of.features(slide.id);
  data::feature_pyramid made = data::read_features(path);
  const auto digest = made.provenance.find("slide_digest");
  if (digest != made.provenance.end() && !slide.digest.empty())
    expect_value(digest->second == slide.digest, path.string(), "holds features of another file than ",
                 slide.path.string(), "; run zoom_prepare again");
  expect_value(made.levels.size() == of.magnifications.size(), path.string(), "has ", made.levels.size(),
               " magnifications, expected ", of.magnifications.size());
  for (std::size_t m = 0; m < made.levels.size(); ++m) {
    const data::feature_level& level = made.levels[m];
    const double at = data::detail::magnification_in(level.name);
    expect_value(at < 0 || at == of.magnifications[m], path.string(), "has features at ", level.name, ", expected ",
                 of.magnifications[m], "x");
    expect_value(level.features.extent(0) > 0, path.string(), "has no tiles at ", level.name);
    expect_value(level.features.extent(1) == made.levels[0].features.extent(1), path.string(), "has ",
                 level.features.extent(1), " features at ", level.name, ", but ", made.levels[0].features.extent(1),
                 " at ", made.levels[0].name);
  }
  return made;
}

// All tiles of one magnification, as AB-MIL takes them.
template <class Pyramids>
class one_magnification {
 public:
  one_magnification(Pyramids& all, std::size_t level) : all_(&all), level_(level) {}
  std::int64_t size() const { return all_->size(); }
  const std::string& name(std::int64_t i) const { return all_->name(i); }
  const auto& levels(std::int64_t i) const { return all_->levels(i); }
  std::int64_t classes() const { return all_->classes(); }
  std::int64_t label(std::int64_t i) const { return all_->label(i); }
  auto bag(std::int64_t i) const { return bags_of(all_->features(i, level_)); }

 private:
  Pyramids* all_;
  std::size_t level_;
};

// What a training depends on beside what its checkpoint knows itself: the slides of each part with their labels and
// features, in their order, and the network's options.
template <class Dataset>
std::string made_from(Dataset& all, const train::hold_out& part, const network_settings& network) {
  data::digest made;
  for (const auto* each : {&part.train, &part.validation}) {
    made.add(static_cast<std::int64_t>(each->size()));
    for (const std::int64_t i : *each) {
      made.add(all.name(i)).add(all.label(i));
      for (const data::feature_level& level : all.levels(i)) {
        made.add(level.features.extent(1));
        made.add(level.features.data(), sizeof(float) * static_cast<std::size_t>(level.features.size()));
        made.add(level.parents.data(), sizeof(std::int64_t) * level.parents.size());
      }
    }
  }
  for (const std::int64_t k : network.k) made.add(k);
  made.add(message(network.features, " ", network.classes, " ", network.dropout, " ", network.perturbation.samples, " ",
                   network.perturbation.sigma, " ", network.perturbation.relative ? 1 : 0, " ", network.whole, " ",
                   network.narrowing));
  return made.text();
}

// A checkpoint stays where the file beside it says that it was made from the same; any other is removed, so that the
// training begins anew.
inline void drop_checkpoint_of_others(const std::filesystem::path& checkpoint, const std::string& made_from) {
  auto beside = checkpoint;
  beside += ".made_from";
  if (std::filesystem::exists(checkpoint) && std::filesystem::exists(beside) && data::read_all(beside) == made_from)
    return;
  if (std::filesystem::remove(checkpoint))
    std::cerr << "zoom_train: " << checkpoint.string() << " is of other slides, features or options: trained anew\n";
  data::write_all(beside, made_from);
}

}  // namespace example
