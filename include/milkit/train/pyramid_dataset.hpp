#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include <milkit/data/feature_pyramid.hpp>
#include <milkit/data/standardise.hpp>
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
  matrix_view<const float> features(std::int64_t i, std::size_t level) const {
    return levels(i)[level].features.view();
  }
  /// The memory of the features of all slides.
  std::size_t feature_bytes() const {
    std::size_t bytes = 0;
    for (const entry& each : entries_)
      for (const auto& level : each.levels) bytes += static_cast<std::size_t>(level.features.size()) * sizeof(float);
    return bytes;
  }

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

/// The slides of a `pyramid_dataset` with standardised features: x -> (x - mean) / deviation, by one standardiser a
/// magnification, or as they are where there is none. The data set keeps the only copy of all features: a slide is
/// standardised when it is asked for, into a buffer that holds one slide. So each fold of a cross-validation, whose mean
/// and deviation come from its training part alone, costs one slide. One is for one thread; the data set, which must
/// outlive it, may be shared. Errors: value_error for another number of standardisers; shape_error for features of
/// another width.
template <std::size_t Levels>
class standardised_pyramids {
 public:
  standardised_pyramids(const pyramid_dataset<Levels>& slides, std::vector<data::standardiser> standard)
      : slides_(&slides), standard_(std::move(standard)) {
    expect_value(standard_.empty() || standard_.size() == Levels, "milkit::train::standardised_pyramids", "there are ",
                 standard_.size(), " standardisers, expected ", Levels, " or none");
  }

  std::int64_t size() const { return slides_->size(); }
  std::int64_t classes() const { return slides_->classes(); }
  std::int64_t label(std::int64_t i) const { return slides_->label(i); }
  const std::string& name(std::int64_t i) const { return slides_->name(i); }
  /// As they are in the data set, not standardised.
  const std::vector<data::feature_level>& levels(std::int64_t i) const { return slides_->levels(i); }
  /// The views hold until the next call.
  pyramid<float, Levels> bag(std::int64_t i) {
    pyramid<float, Levels> standardised = slides_->bag(i);
    for (std::size_t m = 0; m < Levels; ++m) standardised.features[m] = features(i, m);
    return standardised;
  }
  /// Of one magnification, which holds until the next call for that one.
  matrix_view<const float> features(std::int64_t i, std::size_t level) {
    const matrix_view<const float> raw = slides_->features(i, level);
    if (standard_.empty()) return raw;
    std::vector<float>& buffer = buffers_[level];
    if (const auto size = static_cast<std::size_t>(raw.size()); buffer.size() < size) buffer = std::vector<float>(size);
    const matrix_view<float> standardised(buffer.data(), raw.shape());
    standard_[level].apply(raw, standardised);
    return standardised;
  }
  /// The memory of its own: at most the largest slide's.
  std::size_t buffer_bytes() const {
    std::size_t bytes = 0;
    for (const auto& buffer : buffers_) bytes += buffer.capacity() * sizeof(float);
    return bytes;
  }

 private:
  const pyramid_dataset<Levels>* slides_;
  std::vector<data::standardiser> standard_;
  std::array<std::vector<float>, Levels> buffers_;
};

}  // namespace milkit::train
