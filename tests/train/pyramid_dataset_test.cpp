#include <milkit/train/pyramid_dataset.hpp>

#include <doctest/doctest.h>

#include <milkit/train/dataset.hpp>

#include <support/close.hpp>
#include <support/normals.hpp>

using namespace milkit;

namespace {
data::feature_pyramid slide(std::vector<std::int64_t> parents) {
  data::feature_pyramid made;
  const auto rows = static_cast<std::int64_t>(parents.size());
  made.levels.push_back({"5x", test::normals<float>(shape<2>{3, 4}, 1), tensor<std::int64_t, 2>({3, 2}), {}});
  made.levels.push_back(
      {"10x", test::normals<float>(shape<2>{rows, 6}, 2), tensor<std::int64_t, 2>({rows, 2}), std::move(parents)});
  return made;
}
}  // namespace

TEST_CASE("pyramid_dataset: slides -> pyramids, dense where all children are in order") {
  train::pyramid_dataset<2> slides;
  static_assert(train::bag_dataset<train::pyramid_dataset<2>>);
  CHECK(slides.classes() == 0);
  slides.add("a", 1, slide({0, 0, 1, 1, 2, 2}));
  slides.add("b", 0, slide({2, 0, 2, 2}));
  CHECK(slides.size() == 2);
  CHECK(slides.classes() == 2);
  CHECK(train::pyramid_dataset<2>(4).classes() == 4);
  CHECK(slides.label(0) == 1);
  CHECK(slides.name(1) == "b");
  const auto dense = slides.bag(0), ragged = slides.bag(1);
  CHECK(dense.features[1].data() == slides.levels(0)[1].features.data());
  CHECK(dense.children[0].width == 2);
  CHECK(dense.children[0].offsets.absent());
  CHECK(ragged.children[0].width == 3);
  const auto& index = ragged.children[0];
  CHECK(index.row(0, 0) == 1);
  CHECK(index.row(0, 1) == -1);
  CHECK(index.row(1, 0) == -1);
  CHECK(index.row(2, 0) == 0);
  CHECK(index.row(2, 2) == 3);
}

TEST_CASE("pyramid_dataset refuses what does not fit, and names the slide") {
  train::pyramid_dataset<3> three;
  CHECK_THROWS_WITH_AS(three.add("a", 1, slide({0, 0})),
                       "milkit::train::pyramid_dataset: slide 'a' has 2 magnifications, expected 3", value_error);
  train::pyramid_dataset<2> two;
  CHECK_THROWS_WITH_AS(two.add("b", -1, slide({0, 0})),
                       "milkit::train::pyramid_dataset: slide 'b' has the label -1, expected 0 or more", value_error);
  CHECK_THROWS_WITH_AS(
      two.add("b", 1, slide({0, 3})),
      "milkit::train::pyramid_dataset: slide 'b', magnification 2: the parent of row 1 is 3, expected 0 to 2",
      value_error);
  auto few = slide({0, 0, 1, 1});
  few.levels[1].parents.pop_back();
  CHECK_THROWS_WITH_AS(two.add("b", 1, std::move(few)),
                       "milkit::train::pyramid_dataset: slide 'b', magnification 2: 3 parents, expected 4",
                       value_error);
  CHECK_THROWS_WITH_AS(train::pyramid_dataset<2>(3).add("c", 3, slide({0, 0})),
                       "milkit::train::pyramid_dataset: slide 'c' has the label 3, expected 0 to 2", value_error);
  CHECK(two.size() == 0);
  two.add("first", 1, slide({0, 0}));
  auto wide = slide({0, 0});
  wide.levels[0].features = tensor<float, 2>({3, 5});
  CHECK_THROWS_WITH_AS(
      two.add("d", 1, std::move(wide)),
      "milkit::train::pyramid_dataset: slide 'd' has 5 features at magnification 1, expected 4 as slide "
      "'first'",
      value_error);
}
