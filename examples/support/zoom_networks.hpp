#pragma once
// ZoomMIL (Thandiackal et al. 2022) and what it is compared with, put together from milkit's blocks.

#include <cmath>
#include <vector>

#include <milkit/milkit.hpp>

namespace example {

using namespace milkit;

// How a magnification chooses the tiles that the next one looks at. A block of our own: any top-K will do, this one is
// chosen at run time, and it narrows: a training begins with all tiles (but one, so that something is chosen), and K falls
// to k in equal steps. So the highest magnification knows what to look for before the lower ones lose sight of it.
struct choice {
  static constexpr bool differentiable = true;
  enum kind { straight_through, perturbed, hard, random } how = straight_through;
  std::int64_t k = 12;
  topk::perturbed perturbation = {};  // samples, sigma
  // Epochs of a training with all tiles, and epochs in which K then falls.
  std::int64_t whole = 0, narrowing = 0;

  template <class Backend, class Scores>
  auto select(Backend& backend, Scores scores, const pass& pass) const {
    const std::int64_t count = k_at(scores.extent(0), pass);
    if (how == hard) return topk::hard{count}.select(backend, scores, pass);
    if (how == random) return topk::random{count}.select(backend, scores, pass);
    if (how == straight_through) return topk::straight_through{count}.select(backend, scores, pass);
    return with_k(count).select(backend, scores, pass);
  }
  template <class Backend, class Scores, class Selection, class Dweights, class Dscores>
  void select_backward(Backend& backend, Scores scores, const Selection& selected, Dweights dweights, Dscores dscores,
                       const pass& pass) const {
    const std::int64_t count = k_at(scores.extent(0), pass);
    if (how == perturbed) return with_k(count).select_backward(backend, scores, selected, dweights, dscores, pass);
    if (how == straight_through)
      return topk::straight_through{count}.select_backward(backend, scores, selected, dweights, dscores, pass);
    topk::hard{count}.select_backward(backend, scores, selected, dweights, dscores, pass);
  }

 private:
  std::int64_t k_at(std::int64_t tiles, const pass& pass) const {
    if (!pass.training || pass.epoch >= whole + narrowing || tiles <= k || k < 1) return k;
    const double left =
        pass.epoch < whole ? 1 : 1 - static_cast<double>(pass.epoch - whole) / static_cast<double>(narrowing);
    return k + std::llround(left * static_cast<double>(tiles - 1 - k));
  }
  topk::perturbed with_k(std::int64_t count) const {
    topk::perturbed of_count = perturbation;
    of_count.k = count;
    return of_count;
  }
};

template <std::int64_t Embedding, std::int64_t Hidden, models::aggregation How>
struct networks {
  using projection = nn::sequential<nn::linear<dynamic_extent, Embedding>, nn::relu, nn::dropout>;
  using zooming = models::zoom_level<projection, pooling::dual_gated_attention<Embedding, Hidden>, choice>;
  using highest = models::zoom_level<projection, pooling::gated_attention<Embedding, Hidden>>;
  using classifier = nn::linear<Embedding, dynamic_extent>;

  using two = models::basic_zoom_mil<How, classifier, zooming, highest>;
  using three = models::basic_zoom_mil<How, classifier, zooming, zooming, highest>;
  template <std::size_t Levels>
  using zoom_mil = std::conditional_t<Levels == 2, two, three>;
  using abmil = models::bag_classifier<projection, pooling::gated_attention<Embedding, Hidden>, classifier>;
};
// The paper's, for the 1024 features of a ResNet-50 cut after its third stage.
using paper_networks = networks<512, 256, models::aggregation::sum>;
// A quarter of it does for the 45 numbers of the stain descriptor. Only the highest magnification is classified (the
// paper's ablation): a few dozen slides are soon known by the colours that the lower ones see, and then nothing is left
// to learn from the highest.
using small_networks = networks<128, 64, models::aggregation::last>;

struct network_settings {
  std::int64_t features = 0, classes = 2;
  std::vector<std::int64_t> k = {12};  // of each magnification that zooms; the last one counts for all above
  topk::perturbed perturbation = {};
  std::int64_t whole = 0, narrowing = 0;  // epochs in which K falls from all tiles to k
  double dropout = 0.25;
};

template <class Embedding>
void describe(Embedding& embedding, const network_settings& s) {
  std::get<0>(embedding.encoder.layers).in = {s.features};
  std::get<2>(embedding.encoder.layers).rate = embedding.pooler.dropout = s.dropout;
}

template <class Network>
Network make_abmil(const network_settings& s) {
  Network net;
  describe(net.embedding, s);
  net.classifier.out = {s.classes};
  return net;
}

template <class Network>
Network make_zoom_mil(const network_settings& s, choice::kind how) {
  Network net;
  std::size_t m = 0;
  const auto each = [&](auto& level) {
    describe(level.embedding, s);
    if constexpr (std::remove_reference_t<decltype(level)>::zooms)
      level.zoom = {how, s.k[std::min(m++, s.k.size() - 1)], s.perturbation, s.whole, s.narrowing};
  };
  std::apply([&](auto&... level) { (each(level), ...); }, net.magnifications);
  net.classifier.out = {s.classes};
  return net;
}

}  // namespace example
