#include <vector>

#include <doctest/doctest.h>

#include <milkit/milkit.hpp>

using namespace milkit;

namespace {

template <class Network>
Network network() {
  Network net;
  net.options.views = {{48, 48}, 1.0 / 8, 1.0 / 4, {16, 16}, 0};
  net.options.draws = 30;
  net.options.contrastive_from = 0;
  if constexpr (Network::one_stage) net.options.views.tile = {};
  return net;
}

struct peaks {
  std::size_t planned, measured;
};

/// What a plan says of a step on a positive image, and what a step takes.
template <class Network, class Source>
peaks peaks_of(const Network& net, const Source& image, int threads, std::uint64_t seed) {
  cpu backend{.threads = threads};
  const auto weights = initial_parameters<float>(backend, net, {.seed = seed});
  auto gradient = weights.zeros();
  cpu device{.threads = threads};
  const auto plan = models::plan_training_step(device, net, image, loss::cross_entropy{});
  const std::int64_t label = 1;
  net.train_bags(device, weights.flat(), image, vector_view<const std::int64_t>(&label, {1}), loss::cross_entropy{},
                 1.0, gradient.flat(), {.training = true, .random = random_stream(seed, 0, 1)});
  return {plan.workspace, device.peak_bytes()};
}

using one_stage =
    models::zoom_in<models::whole_image, models::cell_attention<>, models::lenet_features<8>, nn::linear<8, 2>>;
using two_stages =
    models::zoom_in<models::tile_attention<>, models::cell_attention<>, models::lenet_features<8>, nn::linear<8, 2>>;

rgb_image grey(std::int64_t side) {
  rgb_image picture({side, side, 3});
  for (std::int64_t i = 0; i < picture.size(); ++i) picture.data()[i] = static_cast<std::uint8_t>(i * 7 % 251);
  return picture;
}

}  // namespace

TEST_CASE("the plan of a step in one stage is what it takes with one thread") {
  const rgb_image picture = grey(192);
  const auto both = peaks_of(network<one_stage>(), sampling::rgb_source<>{std::as_const(picture).view()}, 1, 1);
  CHECK(both.planned == both.measured);
  const tensor<float, 3> planes({3, 100, 120});
  const auto planar = peaks_of(network<one_stage>(), sampling::planar_image<float>{planes.view()}, 1, 1);
  CHECK(planar.planned == planar.measured);
}

TEST_CASE("the plan of a step in two stages is what it takes where every tile is drawn, and bounds it elsewhere") {
  const rgb_image four = grey(96), many = grey(480);
  const auto all = peaks_of(network<two_stages>(), sampling::rgb_source<>{std::as_const(four).view()}, 1, 1);
  CHECK(all.planned == all.measured);
  for (std::uint64_t seed = 1; seed <= 4; ++seed)
    for (const int threads : {1, 3}) {
      CAPTURE(seed);
      CAPTURE(threads);
      const auto some =
          peaks_of(network<two_stages>(), sampling::rgb_source<>{std::as_const(many).view()}, threads, seed);
      CHECK(some.planned >= some.measured);
      if (threads == 1) CHECK(some.planned < 3 * some.measured / 2);  // of three, some may have drawn no tile
    }
}

TEST_CASE("the plan of a step in two stages hardly grows with the image") {
  auto net = network<two_stages>();
  net.options.kept_view_bytes = 0;
  struct sized {
    using value_type = float;
    std::int64_t side;
    sampling::area<sampling::pixel_frame> size() const { return {side, side}; }
    void read(cpu&, sampling::place<sampling::pixel_frame>, sampling::area<sampling::pixel_frame>,
              image_view<float>) const {
      throw value_error("a plan reads no pixel");
    }
  };
  const auto plan = [&](std::int64_t side) {
    return models::plan_training_step(cpu{.threads = 1}, net, sized{side}, loss::cross_entropy{}).workspace;
  };
  CHECK(plan(48000) < plan(4800) + 1000 * 1000 * 100);  // at most 100 bytes a tile
}

namespace {

/// Four pictures: the second and the fourth are positive.
class pictures {
 public:
  pictures() : pixels_({4, 3, 96, 90}) {
    const random_stream random(3, 0, 0);
    for (std::int64_t i = 0; i < pixels_.size(); ++i)
      pixels_.data()[i] =
          random.uniform<float>(static_cast<std::uint64_t>(i), 0) + (i / (3 * 96 * 90) % 2 == 1 ? 0.5f : 0.0f);
  }
  std::int64_t size() const { return 4; }
  std::int64_t classes() const { return 2; }
  std::int64_t label(std::int64_t i) const { return i % 2; }
  auto bag(std::int64_t i) const {
    return sampling::planar_image<float>{view<const float, 3>(pixels_.data() + i * 3 * 96 * 90, {3, 96, 90})};
  }

 private:
  tensor<float, 4> pixels_;
};

struct trained {
  std::vector<float> weights;
  std::vector<double> losses;
};
trained train_on_pictures(bool contrastive, std::int64_t from, std::int64_t epochs, int threads = 1) {
  auto net = network<two_stages>();
  net.options.contrastive = contrastive;
  net.options.contrastive_from = from;
  cpu backend{.threads = threads};
  auto weights = initial_parameters<float>(backend, net, {.seed = 2});
  train::trainer trainer(backend, net, train::adam{.learning_rate = 1e-3}, loss::cross_entropy{});
  pictures training;
  const auto history = trainer.fit(weights, training, {.epochs = epochs, .seed = 7, .bags_per_step = 2});
  const auto flat = weights.flat();
  return {{flat.data(), flat.data() + flat.extent(0)}, history.column("loss")};
}

}  // namespace

TEST_CASE("zoom_in in a training: the contrastive branch begins with its epoch; threads change no bit") {
  const trained without = train_on_pictures(false, 0, 2);
  CHECK(train_on_pictures(true, 2, 2).weights == without.weights);
  const trained second = train_on_pictures(true, 1, 2);
  CHECK(second.losses[0] == without.losses[0]);
  CHECK(second.losses[1] > without.losses[1]);  // by the losses of two complements
  CHECK(second.weights != without.weights);
  CHECK(train_on_pictures(true, 1, 2, 2).weights == second.weights);
}
