#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include <milkit/core/parallel_for.hpp>
#include <milkit/data/safetensors.hpp>
#include <milkit/encoders/encoder.hpp>
#include <milkit/nn/conv2d.hpp>
#include <milkit/nn/global_average_pool.hpp>
#include <milkit/nn/max_pool2d.hpp>
#include <milkit/nn/parameters.hpp>
#include <milkit/ops/images/normalise_colours.hpp>

namespace milkit::encoders {

namespace detail {

/// Channels as runtime numbers: one type of convolution for each kernel keeps compilers quick.
template <std::int64_t Kernel>
using convolution = nn::conv2d<dynamic_extent, dynamic_extent, Kernel>;
template <std::int64_t Kernel>
constexpr convolution<Kernel> make_convolution(std::int64_t in, std::int64_t out, std::int64_t stride) {
  return {.in = {in}, .out = {out}, .stride = {stride, stride}, .padding = {Kernel / 2, Kernel / 2}};
}

/// y = conv(x), or with `Relu` y = relu(conv(x) + residual), where the residual may be absent.
template <bool Relu, std::int64_t Kernel, class Backend, class Weights, class X, class Residual, class Y>
void convolve(Backend& backend, const convolution<Kernel>& conv, Weights stretch, X x, Residual residual, Y y) {
  const auto [weight, bias] = context{backend, stretch}.weights_of(conv);
  const ops::conv2d_options options{conv.stride, conv.padding};
  if constexpr (Relu) ops::conv2d_relu(backend, x, weight, bias, residual, y, options);
  else ops::conv2d(backend, x, weight, bias, y, options);
}

/// y = relu(f(x) + shortcut(x)) (He et al. 2016): f is two 3x3 convolutions or, in a bottleneck, 1x1, 3x3 (with the stride,
/// as torchvision has it) and 1x1 to four times the width; the shortcut is a 1x1 convolution where shapes differ.
struct residual_block {
  bool bottleneck = true;
  std::int64_t in = 64, width = 64, stride = 1;

  constexpr std::int64_t out() const { return bottleneck ? 4 * width : width; }
  constexpr bool downsamples() const { return stride != 1 || in != out(); }

  constexpr auto middle() const { return make_convolution<3>(bottleneck ? width : in, width, stride); }
  constexpr auto first() const { return make_convolution<1>(in, width, 1); }  // the other two of a bottleneck
  constexpr auto last() const { return make_convolution<1>(width, out(), 1); }
  constexpr auto second() const { return make_convolution<3>(width, width, 1); }  // the other one of a basic block
  constexpr auto downsample() const { return make_convolution<1>(in, out(), stride); }

  /// The convolutions, three of a bottleneck and two of a basic block, and the one that downsamples.
  constexpr auto list(auto& l) const {
    const auto one = bottleneck ? l.child("conv1", first()) : l.child("conv1", middle());
    const auto two = bottleneck ? l.child("conv2", middle()) : l.child("conv2", second());
    auto three = one, projection = one;
    if (bottleneck) three = l.child("conv3", last());
    if (downsamples()) projection = l.child("downsample", downsample());
    return std::array{one, two, three, projection};
  }

  shape<4> output_shape(const shape<4>& x) const {
    const shape<4> h = middle().output_shape({x[0], bottleneck ? width : in, x[2], x[3]});
    return {x[0], out(), h[2], h[3]};
  }

  template <class X, class Y>
  void infer(const auto& at, X x, Y y) const {
    using T = typename Y::value_type;
    using images = image_view<const T, typename Y::space>;
    auto& backend = at.backend;
    const auto scope = backend.workspace.scope();
    const auto allocate = [&](const shape<4>& s) { return backend.workspace.template allocate<T>(s); };
    const auto weights = at.weights_of(*this);
    images residual = x;
    if (downsamples()) {
      const auto projected = allocate(y.shape());
      convolve<false>(backend, downsample(), weights[3], x, images(), projected);
      residual = projected;
    }
    if (bottleneck) {
      const auto h = allocate(first().output_shape(x.shape())), g = allocate(middle().output_shape(h.shape()));
      convolve<true>(backend, first(), weights[0], x, images(), h);
      convolve<true>(backend, middle(), weights[1], images(h), images(), g);
      convolve<true>(backend, last(), weights[2], images(g), residual, y);
    } else {
      const auto h = allocate(y.shape());
      convolve<true>(backend, middle(), weights[0], x, images(), h);
      convolve<true>(backend, second(), weights[1], images(h), residual, y);
    }
  }
};

/// Blocks one after the other, the first of which may change the shape: torchvision's `layer1` to `layer4`.
struct residual_stage {
  residual_block first;
  int blocks = 1;

  /// The i-th of them.
  constexpr residual_block block(int i) const {
    return i == 0 ? first : residual_block{first.bottleneck, first.out(), first.width, 1};
  }
  /// Calls each(stretch, block) for every one.
  constexpr void list_each(auto& l, auto&& each) const {
    for (int i = 0; i < blocks; ++i) {
      const char name[] = {static_cast<char>('0' + i / 10), static_cast<char>('0' + i % 10), '\0'};
      each(l.child(name + (i < 10 ? 1 : 0), block(i)), block(i));
    }
  }
  constexpr auto list(auto& l) const {
    list_each(l, [](const auto&, const residual_block&) {});
    return std::tuple<>();
  }
};

}  // namespace detail

/// The network of a ResNet of `Depth` 18, 34, 50, 101 or 152 layers (He et al. 2016), cut after stage 1 to 4 (torchvision's
/// `layer1` to `layer4`) and averaged over the image; batch norms are part of kernels and biases. For inference: it has
/// no backward pass. Parameters: `conv1.weight`, `conv1.bias`, `layer1.0.conv1.weight`, ..., `layer1.0.downsample.bias`.
template <int Depth, int Stage = 4>
struct resnet_network {
  static_assert(Depth == 18 || Depth == 34 || Depth == 50 || Depth == 101 || Depth == 152,
                "milkit::encoders::resnet: the depth is 18, 34, 50, 101 or 152");
  static_assert(Stage >= 1 && Stage <= 4, "milkit::encoders::resnet: it is cut after stage 1, 2, 3 or 4");

  static constexpr bool bottleneck = Depth >= 50;
  static constexpr std::int64_t in_features = 3, out_features = (bottleneck ? 256 : 64) << (Stage - 1);

  static constexpr auto stem() { return detail::make_convolution<7>(3, 64, 2); }
  static constexpr nn::max_pool2d pool{.kernel = 3, .stride = 2, .padding = 1};
  static constexpr detail::residual_stage stage(int i) {
    constexpr int blocks[][4] = {{2, 2, 2, 2}, {3, 4, 6, 3}, {3, 4, 23, 3}, {3, 8, 36, 3}};
    constexpr int row = Depth == 18 ? 0 : Depth <= 50 ? 1 : Depth == 101 ? 2 : 3;
    const std::int64_t width = std::int64_t{64} << i, before = i == 0 ? 64 : (bottleneck ? 4 : 1) * width / 2;
    return {{bottleneck, before, width, i == 0 ? 1 : 2}, blocks[row][i]};
  }

  shape<2> output_shape(const shape<4>& x) const { return {x[0], out_features}; }

  /// The stem and the stages.
  constexpr auto list(auto& l) const { return list_of(l, std::make_index_sequence<std::size_t{Stage}>()); }

  /// y [n, out_features] of normalised images x [n, 3, height, width]. Memory: the two largest activations, and those
  /// within one block.
  template <class X, class Y>
  void infer(const auto& at, X x, Y y) const {
    using T = typename Y::value_type;
    using Space = typename Y::space;
    auto& backend = at.backend;
    const auto scope = backend.workspace.scope();
    const shape<4> s = stem().output_shape(x.shape());
    std::int64_t largest = s.size();
    each_block(at, pool.output_shape(s), [&](const auto&, const residual_block& block, const shape<4>& in) {
      largest = (std::max)(largest, block.output_shape(in).size());
    });
    T* from = backend.workspace.template allocate<T>(largest).data();
    T* to = backend.workspace.template allocate<T>(largest).data();
    const auto images = [](T* data, const shape<4>& size) { return image_view<T, Space>(data, size); };

    detail::convolve<true>(backend, stem(), at.weights_of(*this)[0], x, image_view<const T, Space>(), images(to, s));
    shape<4> size = pool.output_shape(s);
    ops::max_pool2d(backend, image_view<const T, Space>(images(to, s)), images(from, size),
                    image_view<ops::window_position, Space>(), {pool.kernel, pool.stride, pool.padding});
    each_block(at, size, [&](const auto& at_block, const residual_block& block, const shape<4>& in) {
      size = block.output_shape(in);
      block.infer(at_block, image_view<const T, Space>(images(from, in)), images(to, size));
      std::swap(from, to);
    });
    ops::global_average_pool(backend, image_view<const T, Space>(images(from, size)), y);
  }

 private:
  using residual_block = detail::residual_block;

  template <std::size_t... Index>
  constexpr auto list_of(auto& l, std::index_sequence<Index...>) const {
    constexpr const char* names[] = {"layer1", "layer2", "layer3", "layer4"};
    return std::array{l.child("conv1", stem()), l.child(names[Index], stage(static_cast<int>(Index)))...};
  }
  /// body(where it works, block, the shape of its input) for every block.
  void each_block(const auto& at, shape<4> size, auto&& body) const {
    const auto stages = at.weights_of(*this);
    for (int i = 0; i < Stage; ++i) {
      parameter_views views(stages[static_cast<std::size_t>(i) + 1]);
      stage(i).list_each(views, [&](const auto& weights, const residual_block& block) {
        body(context{at.backend, weights}, block, size);
        size = block.output_shape(size);
      });
    }
  }
};

/// 64-bit FNV-1a of the bits of floats, 16 hexadecimal digits.
inline std::string digest_of(vector_view<const float> values) {
  std::uint64_t hash = 0xCBF29CE484222325u;
  for (std::int64_t i = 0; i < values.extent(0); ++i)
    hash = (hash ^ std::bit_cast<std::uint32_t>(values(i))) * 0x100000001B3u;
  std::string text;
  for (int shift = 60; shift >= 0; shift -= 4) text += "0123456789abcdef"[hash >> shift & 15];
  return text;
}

/// A ResNet as an encoder: tiles, normalised by ImageNet's colours, through `resnet_network`, to 64 to 2048 features:
/// `read_resnet<50, 3>("resnet50.safetensors")`. Tiles of any size from 32 x 32 on. `batch` tiles go through all layers
/// before the next ones do; 0: one a thread on `cpu`, whose values then stay in its cache, and 16 on a card. It bounds the
/// memory (16 MB a tile of 256 x 256) and, as the thread count, changes no bit. On `cpu` convolutions are milkit's own, or
/// oneDNN's products with `cpu{.gemm = onednn_gemm}`. `to<device_space>()` is the same encoder on a card. The name has a
/// digest of the weights. Errors: shape_error.
template <int Depth, int Stage = 4, class Space = host_space>
class resnet {
 public:
  using network = resnet_network<Depth, Stage>;
  using weights_type = parameters<network, float, Space>;
  static constexpr std::int64_t least_side = 32;

  std::int64_t batch = 0;

  explicit resnet(weights_type weights)
      : weights_(std::move(weights)),
        name_(message("resnet", Depth, "-stage", Stage, " ", digest_of(on_host(weights_).flat()))) {}

  std::int64_t features() const { return network::out_features; }
  const std::string& name() const { return name_; }
  const weights_type& weights() const { return weights_; }

  template <class Other>
  resnet<Depth, Stage, Other> to() const {
    return {weights_.template to<Other>(), name_, batch};
  }

  template <class Backend>
  requires std::same_as<typename Backend::space, Space>
  void encode(Backend& backend, tiles_view tiles, matrix_view<float, Space> embeddings) const {
    constexpr const char* op = "milkit::encoders::resnet";
    expect_tiles(op, tiles, embeddings.rows(), embeddings.cols(), features());
    if (tiles.rows() == 0) return;
    const std::int64_t height = tiles.extent(1), width = tiles.extent(2);
    if (height < least_side || width < least_side)
      throw shape_error(
          message(op, ": tiles are ", height, " x ", width, ", expected at least ", least_side, " x ", least_side));
    expect_value(batch >= 0, op, "batch is ", batch, ", expected 0 or more");
    const std::int64_t at_once = batch > 0         ? batch
                                 : is_cpu<Backend> ? 1
                                                   : 16,
                       tasks = chunk_count(tiles.rows(), at_once);
    const auto encode_task = [&](Backend& own, std::int64_t i) {
      const row_range rows = chunk_at(tiles.rows(), at_once, i);
      encode_batch(own, tiles.rows(rows.first, rows.count), embeddings.rows(rows.first, rows.count));
      return true;
    };
    bool is_shared = true;
    if constexpr (is_cpu<Backend>) is_shared = tasks >= backend.thread_count();
    if (is_shared) return parallel_in_order(backend, tasks, encode_task, [](Backend&, std::int64_t, bool) {});
    for (std::int64_t i = 0; i < tasks; ++i) encode_task(backend, i);  // all threads work on each
  }

 private:
  template <int, int, class>
  friend class resnet;
  resnet(weights_type weights, std::string name, std::int64_t tiles_at_once)
      : batch(tiles_at_once), weights_(std::move(weights)), name_(std::move(name)) {}

  template <class Backend>
  void encode_batch(Backend& backend, tiles_view tiles, matrix_view<float, Space> embeddings) const {
    const auto kept = backend.kept_memory().scope();
    const auto scope = backend.workspace.scope();
    const auto x =
        backend.workspace.template allocate<float>(shape<4>{tiles.rows(), 3, tiles.extent(1), tiles.extent(2)});
    ops::normalise_colours(backend, resident(backend, tiles), x);
    network{}.infer(context{backend, weights_.flat()}, image_view<const float, Space>(x), embeddings);
  }

  static decltype(auto) on_host(const weights_type& weights) {
    if constexpr (std::same_as<Space, host_space>) return (weights);
    else return weights.template to<host_space>();
  }

  weights_type weights_;
  std::string name_;
};

namespace detail {

/// Where torchvision keeps a convolution that is called `name` here: its kernel, and the batch norm after it.
struct stored_convolution {
  std::string kernel, norm;
  explicit stored_convolution(const std::string& name) {
    const std::size_t conv = name.rfind("conv");
    if (conv == std::string::npos) kernel = name + ".0.weight", norm = name + ".1.";
    else kernel = name + ".weight", norm = name.substr(0, conv) + "bn" + name.substr(conv + 4) + ".";
  }
};
inline constexpr const char* norm_tensors[] = {"weight", "bias", "running_mean", "running_var"};

/// Throws io_error naming the file and all tensors that are missing or of another shape.
inline void expect_stored(const data::safetensors_reader& file, const std::vector<parameter_entry>& entries) {
  std::string wrong;
  const auto expect = [&](const std::string& name, const std::vector<std::int64_t>& want) {
    if (!file.contains(name)) wrong += message("\n  ", name, " is missing");
    else if (file.info(name).shape != want)
      wrong +=
          message("\n  ", name, " is ", data::to_string(file.info(name).shape), ", expected ", data::to_string(want));
  };
  for (const parameter_entry& entry : entries) {
    if (entry.what != role::weight) continue;
    const stored_convolution stored(entry.name.substr(0, entry.name.rfind('.')));
    expect(stored.kernel, {entry.shape.extent, entry.shape.extent + entry.shape.rank});
    for (const char* each : norm_tensors) expect(stored.norm + each, {entry.shape.extent[0]});
  }
  if (!wrong.empty()) throw io_error(message(file.name(), ": does not hold the weights of this ResNet:", wrong));
}

/// One convolution with the batch norm after it: kernel' = kernel s, bias' = beta - mean s, s = gamma / sqrt(variance +
/// 1e-5), in double.
inline void read_folded(const data::safetensors_reader& file, const stored_convolution& stored,
                        vector_view<float> kernel, vector_view<float> bias) {
  const auto read = [&](const std::string& name) { return file.read<double>(name, data::conversion::nearest).values; };
  const auto weight = read(stored.kernel), gamma = read(stored.norm + "weight"), beta = read(stored.norm + "bias"),
             mean = read(stored.norm + "running_mean"), variance = read(stored.norm + "running_var");
  const std::size_t terms = weight.size() / gamma.size();
  for (std::size_t o = 0; o < gamma.size(); ++o) {
    if (!(variance[o] >= 0))
      throw io_error(
          message(file.name(), ": ", stored.norm, "running_var[", o, "] is ", variance[o], ", expected 0 or more"));
    const double scale = gamma[o] / std::sqrt(variance[o] + 1e-5);
    for (std::size_t k = o * terms; k < (o + 1) * terms; ++k) kernel.data()[k] = static_cast<float>(weight[k] * scale);
    bias.data()[o] = static_cast<float>(beta[o] - mean[o] * scale);
  }
}

}  // namespace detail

/// Reads a ResNet from a safetensors file with torchvision's names (`conv1.weight`, `bn1.running_var`,
/// `layer1.0.downsample.0.weight`, ...) and folds its batch norms (eps 1e-5, in double) into kernels and biases. Tensors of
/// any floating type; `fc.*`, `num_batches_tracked` and stages beyond the cut are not looked at. Errors: io_error naming
/// every tensor that is missing or misshapen, with both shapes.
template <int Depth, int Stage = 4>
resnet<Depth, Stage> read_resnet(const std::filesystem::path& path) {
  const data::safetensors_reader file(path);
  parameters<resnet_network<Depth, Stage>, float> weights;
  detail::expect_stored(file, weights.entries());
  for (const parameter_entry& entry : weights.entries()) {
    if (entry.what != role::weight) continue;
    const std::string name = entry.name.substr(0, entry.name.rfind('.'));
    detail::read_folded(file, detail::stored_convolution(name), weights[entry.name], weights[name + ".bias"]);
  }
  return resnet<Depth, Stage>(std::move(weights));
}

}  // namespace milkit::encoders
