#pragma once

#include <milkit/encoders/encoded_slide.hpp>
#include <milkit/encoders/stain_descriptor.hpp>
#include <milkit/models/bag_classifier/bag_classifier.hpp>
#include <milkit/models/zoom_mil/prediction.hpp>
#include <milkit/models/zoom_mil/zoom_mil.hpp>
#include <milkit/nn/activation.hpp>
#include <milkit/nn/linear.hpp>
#include <milkit/nn/sequential.hpp>
#include <milkit/pooling/dual_gated_attention.hpp>
#include <milkit/pooling/gated_attention.hpp>
#include <milkit/topk/perturbed.hpp>

#include <atomic>
#include <random>

#include <doctest/doctest.h>

#include <support/close.hpp>
#include <support/paths.hpp>
#include <support/tiff_pyramid.hpp>

namespace milkit::test {

/// A slide of 700 x 520 pixels of 0.5 microns with ground and spots, in three levels.
struct spotted_slide {
  temporary_directory folder;
  std::filesystem::path path = folder.path() / "spots.tiff";

  spotted_slide() {
    picture finest(700, 520);
    std::mt19937 random(5);
    for (std::int64_t y = 0; y < finest.height; ++y)
      for (std::int64_t x = 0; x < finest.width; ++x) {
        const bool spot = (x / 9 * 7 + y / 9 * 13) % 11 < 3;
        for (std::int64_t c = 0; c < 3; ++c)
          finest.at(x, y, c) =
              static_cast<std::uint8_t>((spot ? 70 + 30 * c : 160 + 40 * (c % 2)) + static_cast<int>(random() % 30));
      }
    std::vector<picture> levels{finest};
    for (int i = 0; i < 2; ++i) {
      const picture& from = levels.back();
      picture half(from.width / 2, from.height / 2);
      for (std::int64_t y = 0; y < half.height; ++y)
        for (std::int64_t x = 0; x < half.width; ++x)
          for (std::int64_t c = 0; c < 3; ++c)
            half.at(x, y, c) =
                static_cast<std::uint8_t>((from.at(2 * x, 2 * y, c) + from.at(2 * x + 1, 2 * y, c) +
                                           from.at(2 * x, 2 * y + 1, c) + from.at(2 * x + 1, 2 * y + 1, c)) /
                                          4);
      levels.push_back(half);
    }
    write_tiff_pyramid(path, levels, {.mpp = 0.5});
  }

  slide::tile_pyramid cut(const slide::whole_slide& slide) const {
    return slide::make_pyramid(
        slide, slide::find_tissue(slide),
        {.resolutions = {slide::magnification{5}, slide::magnification{10}, slide::magnification{20}},
         .tile_size = 32,
         .min_tissue = 0});
  }
};

/// Counts the tiles that it encodes; otherwise the stain descriptor.
struct counting_encoder {
  std::atomic<std::int64_t>* count;
  std::int64_t features() const { return encoders::stain_descriptor::count; }
  std::string name() const { return "counting"; }
  template <class Backend>
  void encode(Backend& backend, encoders::tiles_view tiles, matrix_view<float, typename Backend::space> out) const {
    if (!backend.workspace.planning()) *count += tiles.extent(0);
    encoders::stain_descriptor{}.encode(backend, tiles, out);
  }
};

using stain_projection = nn::sequential<nn::linear<encoders::stain_descriptor::count, 16>, nn::relu>;
using stain_low = models::zoom_level<stain_projection, pooling::dual_gated_attention<16, 8>, topk::perturbed>;
using stain_high = models::zoom_level<stain_projection, pooling::gated_attention<16, 8>>;
using stain_zoom_mil = models::zoom_mil<nn::linear<16, 2>, stain_low, stain_low, stain_high>;
using stain_abmil = models::bag_classifier<stain_projection, pooling::gated_attention<16, 8>, nn::linear<16, 2>>;

inline stain_zoom_mil stain_network(std::int64_t first, std::int64_t second) {
  stain_zoom_mil net;
  std::get<0>(net.magnifications).zoom.k = first;
  std::get<1>(net.magnifications).zoom.k = second;
  return net;
}

template <class Backend, class Network>
auto weights_of(Backend& backend, const Network& net) {
  return initial_parameters<float>(backend, net, {.seed = 3});
}

/// A slide that is encoded while it is looked at gives what its features in memory give.
template <class Backend>
void check_lazy_equals_memory(Backend& backend) {
  const spotted_slide file;
  const slide::whole_slide slide(file.path);
  const auto tiles = file.cut(slide);
  std::atomic<std::int64_t> count{0};
  const counting_encoder encoder{&count};
  const auto net = stain_network(3, 2);
  const auto weights = weights_of(backend, net);
  const auto lazy = models::predict(backend, net, weights, encoders::encoded_slide(slide, tiles, encoder));
  const auto lowest = static_cast<std::int64_t>(tiles.levels[0].tiles.size());
  CHECK(lowest == 30);
  CHECK(lazy.instances() == lowest + 3 * 4 + 2 * 4);
  CHECK(count.load() == lazy.instances());
  CHECK(tiles.tiles() == lowest * (1 + 4 + 16));

  std::int64_t told = 0;
  count = 0;
  const data::feature_pyramid kept = encoders::encode_pyramid(backend, encoder, slide, tiles, {"5x", "10x", "20x"},
                                                              {.batch = 7, .on_tiles = [&](std::int64_t done) {
                                                                 CHECK(done > told);
                                                                 told = done;
                                                               }});
  CHECK(told == tiles.tiles());
  CHECK(count.load() == tiles.tiles());
  pyramid<float, 3> memory;
  for (std::size_t m = 0; m < 3; ++m) memory.features[m] = kept.levels[m].features.view();
  memory.children[0].width = memory.children[1].width = 4;
  const auto whole = models::predict(backend, net, weights, memory);
  CHECK(elements(lazy.logits) == elements(whole.logits));
  for (std::size_t m = 0; m < 3; ++m) CHECK(lazy.levels[m].rows == whole.levels[m].rows);

  // The tiles of one magnification as a bag.
  const stain_abmil abmil;
  const auto abmil_weights = weights_of(backend, abmil);
  const auto bag = models::predict(backend, abmil, abmil_weights,
                                   bag_batch(encoders::encoded_tiles(slide, tiles.levels[1], encoder)));
  const auto in_memory = models::predict(backend, abmil, abmil_weights, bags_of(memory.features[1]));
  CHECK(elements(bag.logits) == elements(in_memory.logits));
}

}  // namespace milkit::test
