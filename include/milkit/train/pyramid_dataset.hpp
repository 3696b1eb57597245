#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include <milkit/data/feature_pyramid.hpp>
#include <milkit/topk/pyramid.hpp>

namespace milkit::train {

/// Slides with labels and features at `Levels` magnifications in memory, as `models::zoom_mil` takes them. Errors of
/// `add`: value_error for another number of magnifications or of features than the first slide's, a label outside the
/// classes, and parents that do not fit, naming the slide.
template <std::size_t Levels>
class pyramid_dataset {
 public:
  /// `classes`: 0 stands for the largest label and one.
  explicit pyramid_dataset(std::int64_t classes = 0) : classes_(classes) {}

  void add(std::string name, std::int64_t label, data::feature_pyramid slide) {
    constexpr auto op = "milkit::train::pyramid_dataset";
    expect_value(slide.levels.size() == Levels, op, "slide '", name, "' has ", slide.levels.size(),
                 " magnifications, expected ", Levels);
    expect_value(label >= 0, op, "slide '", name, "' has the label ", label, ", expected 0 or more");
    expect_value(classes_ == 0 || label < classes_, op, "slide '", name, "' has the label ", label, ", expected 0 to ",
                 classes_ - 1);
    std::vector<data::child_index> children;
    for (std::size_t m = 0; m < Levels; ++m) {
      const auto& level = slide.levels[m];
      const std::int64_t rows = level.features.extent(0), below = m > 0 ? slide.levels[m - 1].features.extent(0) : 0;
      if (!entries_.empty())
        expect_value(level.features.extent(1) == at(0).levels[m].features.extent(1), op, "slide '", name, "' has ",
                     level.features.extent(1), " features at magnification ", m + 1, ", expected ",
                     at(0).levels[m].features.extent(1), " as slide '", at(0).name, "'");
      if (m == 0) continue;
      const std::string fault = data::fault_of_parents(level.parents, rows, below);
      expect_value(fault.empty(), op, "slide '", name, "', magnification ", m + 1, ": ", fault);
      children.push_back(data::children_of(level.parents, below));
    }
    entry made{std::move(name), label, std::move(slide.levels), std::move(children)};
    entries_.push_back(std::move(made));
  }

  std::int64_t size() const { return static_cast<std::int64_t>(entries_.size()); }
  std::int64_t classes() const {
    std::int64_t most = classes_;
    for (const entry& each : entries_) most = (std::max)(most, each.label + 1);
    return most;
  }
  std::int64_t label(std::int64_t i) const { return at(i).label; }
  const std::string& name(std::int64_t i) const { return at(i).name; }
  const std::vector<data::feature_level>& levels(std::int64_t i) const { return at(i).levels; }

  pyramid<float, Levels> bag(std::int64_t i) const {
    const entry& own = at(i);
    const auto vector = [](const std::vector<std::int64_t>& values) {
      return vector_view<const std::int64_t>(values.data(), {static_cast<std::int64_t>(values.size())});
    };
    pyramid<float, Levels> made;
    for (std::size_t m = 0; m < Levels; ++m) made.features[m] = own.levels[m].features.view();
    for (std::size_t m = 0; m + 1 < Levels; ++m) {
      const data::child_index& index = own.children[m];
      made.children[m].width = index.width;
      if (index.dense) continue;
      made.children[m].offsets = vector(index.offsets);
      made.children[m].rows = vector(index.rows);
    }
    return made;
  }

 private:
  struct entry {
    std::string name;
    std::int64_t label;
    std::vector<data::feature_level> levels;
    std::vector<data::child_index> children;
  };
  const entry& at(std::int64_t i) const { return entries_[static_cast<std::size_t>(i)]; }

  std::int64_t classes_;
  std::vector<entry> entries_;
};

}  // namespace milkit::train
