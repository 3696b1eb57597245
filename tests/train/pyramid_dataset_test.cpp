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

TEST_CASE("standardised_pyramids: shared slides -> one copy of the features, one slide a user") {
  train::pyramid_dataset<2> slides;
  std::size_t bytes = 0;
  std::int64_t most[2] = {};
  for (const std::int64_t rows : {5, 9, 2}) {
    auto one = slide(std::vector<std::int64_t>(static_cast<std::size_t>(rows), 0));
    const float* features = one.levels[1].features.data();
    for (std::size_t m = 0; m < 2; ++m) {
      bytes += static_cast<std::size_t>(one.levels[m].features.size()) * sizeof(float);
      most[m] = std::max(most[m], one.levels[m].features.size());
    }
    slides.add("slide", slides.size() % 2, std::move(one));
    CHECK(slides.features(slides.size() - 1, 1).data() == features);  // moved in, not copied
  }
  CHECK(slides.feature_bytes() == bytes);
  std::vector<data::standardiser> standard{data::standardiser(4), data::standardiser(6)};
  for (std::size_t m = 0; m < 2; ++m) standard[m].add(slides.features(1, m));
  static_assert(train::bag_dataset<train::standardised_pyramids<2>>);
  train::standardised_pyramids first(slides, standard), second(slides, standard), raw(slides, {});
  CHECK(first.buffer_bytes() == 0);
  for (int epoch = 0; epoch < 2; ++epoch)
    for (std::int64_t i = 0; i < slides.size(); ++i) first.bag(i), second.bag(i), raw.bag(i);
  const auto largest = static_cast<std::size_t>(most[0] + most[1]) * sizeof(float);
  CHECK(first.buffer_bytes() == largest);
  CHECK(second.buffer_bytes() == largest);
  CHECK(raw.buffer_bytes() == 0);
  CHECK(slides.feature_bytes() == bytes);
}

TEST_CASE("standardised_pyramids: a slide -> its features standardised, all else as it is") {
  train::pyramid_dataset<2> slides(3);
  slides.add("a", 1, slide({0, 0, 1, 1, 2, 2}));
  slides.add("b", 0, slide({2, 0, 2, 2}));
  std::vector<data::standardiser> standard{data::standardiser(4), data::standardiser(6)};
  for (std::size_t m = 0; m < 2; ++m) standard[m].add(slides.features(0, m));
  train::standardised_pyramids standardised(slides, standard);
  CHECK(standardised.size() == 2);
  CHECK(standardised.classes() == 3);
  CHECK(standardised.label(0) == 1);
  for (const std::int64_t i : {0, 1, 0}) {
    const auto raw = slides.bag(i), bag = standardised.bag(i);
    for (std::size_t m = 0; m < 2; ++m) {
      REQUIRE(bag.features[m].shape() == raw.features[m].shape());
      auto expected = slides.levels(i)[m].features.clone();
      standard[m].apply(expected.view());
      for (std::int64_t k = 0; k < expected.size(); ++k) CHECK(bag.features[m].data()[k] == expected.data()[k]);
      CHECK(standardised.features(i, m).data() == bag.features[m].data());
    }
    CHECK(bag.children[0].width == raw.children[0].width);
    CHECK(bag.children[0].offsets.data() == raw.children[0].offsets.data());
    CHECK(bag.children[0].rows.data() == raw.children[0].rows.data());
  }
  CHECK_THROWS_WITH_AS(train::standardised_pyramids<2>(slides, {data::standardiser(4)}),
                       "milkit::train::standardised_pyramids: there are 1 standardisers, expected 2 or none",
                       value_error);
  train::standardised_pyramids wide(slides, {data::standardiser(5), data::standardiser(6)});
  CHECK_THROWS_AS(wide.bag(0), shape_error);
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
