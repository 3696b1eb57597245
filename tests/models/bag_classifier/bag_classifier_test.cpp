#include <atomic>
#include <cstdlib>
#include <fstream>
#include <optional>

#if defined(__GLIBC__)
#include <malloc.h>
#endif

#include <milkit/data/bag_source.hpp>
#include <milkit/nn/conv2d.hpp>
#include <milkit/nn/flatten.hpp>
#include <milkit/nn/max_pool2d.hpp>
#include <milkit/ops/bags/gate_cpu.hpp>
#include <milkit/ops/bags/segment_pool_cpu.hpp>
#include <milkit/ops/images/conv2d_cpu.hpp>
#include <milkit/ops/images/pool2d_cpu.hpp>
#include <milkit/ops/products/linear_cpu.hpp>
#include <milkit/ops/products/matmul_cpu.hpp>
#include <milkit/ops/rows/activation_cpu.hpp>
#include <milkit/ops/rows/dropout_cpu.hpp>
#include <milkit/ops/rows/fill_cpu.hpp>
#include <milkit/ops/rows/reduce_cpu.hpp>
#include <milkit/ops/rows/softmax_cpu.hpp>
#include <milkit/ops/training/cross_entropy_cpu.hpp>
#include <milkit/ops/training/optimizer_step_cpu.hpp>
#include <milkit/pooling/mean.hpp>

#include <support/floats.hpp>
#include <support/planned.hpp>
#include <support/sanitized.hpp>

#include "bag_classifier_cases.hpp"

// Every allocation of this program is counted: C++'s by operator new, Eigen's and C's by the malloc below them.
namespace {
std::atomic<std::int64_t> allocations{0};
}
#if defined(__GLIBC__) && !defined(MILKIT_TEST_SANITIZED)
#define MILKIT_TEST_COUNTS_MALLOC 1
extern "C" {
void* __libc_malloc(std::size_t);
void* __libc_calloc(std::size_t, std::size_t);
void* __libc_realloc(void*, std::size_t);
void* __libc_memalign(std::size_t, std::size_t);
void* malloc(std::size_t bytes) noexcept { return ++allocations, __libc_malloc(bytes); }
void* calloc(std::size_t count, std::size_t bytes) noexcept { return ++allocations, __libc_calloc(count, bytes); }
void* realloc(void* data, std::size_t bytes) noexcept { return ++allocations, __libc_realloc(data, bytes); }
void* memalign(std::size_t align, std::size_t bytes) noexcept { return ++allocations, __libc_memalign(align, bytes); }
void* aligned_alloc(std::size_t align, std::size_t bytes) noexcept {
  return ++allocations, __libc_memalign(align, bytes);
}
int posix_memalign(void** data, std::size_t align, std::size_t bytes) noexcept {
  ++allocations;
  *data = __libc_memalign(align, bytes);
  return *data || bytes == 0 ? 0 : 12;
}
}
#endif

using namespace milkit;
using namespace milkit::test::bag_classifier_cases;
using test::relative_error;

namespace {

/// One training step of a network on one bag, as a trainer makes it.
template <class Network, class Source>
class stepper {
 public:
  stepper(cpu& backend, const Network& net, Source source)
      : backend_(backend),
        net_(net),
        source_(source),
        weights_(initial_parameters<float>(net, {.seed = 1})),
        gradient_(weights_.zeros()),
        first_(weights_.zeros()),
        second_(weights_.zeros()) {}

  void operator()() {
    const std::int64_t label = 1;
    ops::fill(backend_, gradient_.flat(), 0.0f);
    net_.train_bags(backend_, weights_.flat(), bag_batch<Source>(source_), vector_view<const std::int64_t>(&label, {1}),
                    loss_, 1.0, gradient_.flat(),
                    {.training = true, .random = random_stream(1, static_cast<std::uint64_t>(step_), 2)});
    adam_.step(backend_, weights_.flat(), std::as_const(gradient_).flat(),
               std::array<vector_view<float>, 2>{first_.flat(), second_.flat()},
               {.step = ++step_, .learning_rate = adam_.learning_rate});
  }
  const parameters<Network, float>& weights() const { return weights_; }
  const parameters<Network, float>& gradient() const { return gradient_; }

 private:
  cpu& backend_;
  Network net_;
  Source source_;
  parameters<Network, float> weights_, gradient_, first_, second_;
  loss::cross_entropy loss_;
  train::adam adam_;
  std::int64_t step_ = 0;
};

/// What a forward pass in training leaves in the workspace.
template <class Network, class Source>
std::size_t saved_bytes_of(cpu& backend, const Network& net, const parameters<Network, float>& weights,
                           const bag_batch<Source>& bags) {
  tensor<float, 2> logits(net.output_shape(bags));
  typename Network::template saved<Source, cpu> kept;
  const auto scope = backend.workspace.scope();
  const std::size_t before = backend.workspace.bytes_in_use();
  net.forward(context{backend, weights.flat(), {}, {.training = true}}, bags, {.logits = logits.view()}, kept);
  return backend.workspace.bytes_in_use() - before;
}

/// A figure of this process in /proc/self/status, in MB; 0 where there is no such file.
double process_megabytes(const std::string& figure) {
  std::ifstream file("/proc/self/status");
  for (std::string line; std::getline(file, line);)
    if (line.starts_with(figure + ":")) return std::strtod(line.c_str() + figure.size() + 1, nullptr) / 1024;
  return 0;
}

/// A safetensors file of one float tensor "features" [rows, cols], written piece by piece.
void write_features(const std::filesystem::path& path, std::int64_t rows, std::int64_t cols) {
  std::string header = message("{\"features\":{\"dtype\":\"F32\",\"shape\":[", rows, ",", cols,
                               "],\"data_offsets\":[0,", rows * cols * 4, "]}}");
  header.append((64 - (8 + header.size()) % 64) % 64, ' ');
  const std::uint64_t length = header.size();
  std::ofstream file(path, std::ios::binary);
  file.write(reinterpret_cast<const char*>(&length), 8);
  file << header;
  const std::int64_t piece = 4096;
  auto values = test::normals<float>(shape<2>{piece, cols}, 3);
  for (std::int64_t first = 0; first < rows; first += piece) {
    values.data()[0] = static_cast<float>(first % 1000) / 100;  // pieces differ
    file.write(reinterpret_cast<const char*>(values.data()),
               static_cast<std::streamsize>((std::min)(piece, rows - first) * cols * 4));
  }
  if (!file.flush()) throw test::skipped("there is no room for " + path.string());
}

}  // namespace

TEST_CASE("bag_classifier: float differs from double by rounding, threads change no bit") {
  const auto net = small(16);
  const auto weights = initial_parameters<float>(net, {.seed = 2});
  parameters<small_network, double> exact(net);
  std::copy_n(weights.flat().data(), weights.flat().extent(0), exact.flat().data());
  const auto x = test::normals<float>(shape<2>{150, 9}, 5);
  tensor<double, 2> exact_x(x.shape());
  std::copy_n(x.data(), x.size(), exact_x.data());
  const std::vector<std::int64_t> offsets = {0, 33, 34, 150}, labels = {2, 0, 1};
  const pass how{.training = true, .random = random_stream(7, 5, 3)};
  const auto want = step<double>(net, exact, exact_x, offsets, labels, how);
  cpu single{.threads = 1};
  const auto one = step<float>(single, net, weights, x, offsets, labels, how);
  CHECK(relative_error(one.logits, want.logits) <= 1e-5);
  CHECK(relative_error(one.dx, want.dx) <= 1e-5);
  CHECK(relative_error(one.gradient, want.gradient) <= 1e-5);
  for (const int threads : {2, 3, 8}) {
    cpu backend{.threads = threads};
    const auto got = step<float>(backend, net, weights, x, offsets, labels, how);
    CHECK(got.loss == one.loss);
    CHECK(test::same_bits(got.logits, one.logits));
    CHECK(test::same_bits(got.gradient, one.gradient));
  }
}

TEST_CASE("bag_classifier: predict and infer leave dropout out, a bag says the same alone and in a batch") {
  const auto net = small();
  const auto weights = initial_parameters<float>(net, {.seed = 2});
  const auto x = test::normals<float>(shape<2>{40, 9}, 5);
  const std::vector<std::int64_t> offsets = {0, 33, 34, 40};
  cpu backend{.threads = 2};
  const auto all = models::predict(backend, net, weights, bags_of(x.view(), vector_of(offsets)));
  CHECK(all.probabilities.shape() == shape<2>{3, 3});
  for (std::int64_t b = 0; b < 3; ++b) {
    const std::int64_t first = offsets[static_cast<std::size_t>(b)],
                       count = offsets[static_cast<std::size_t>(b) + 1] - first;
    const auto bag = bags_of(x.view().rows(first, count));
    const auto alone = models::predict(backend, net, weights, bag);
    CHECK(relative_error(alone.logits, all.logits.view().rows(b, 1)) <= 1e-5);
    CHECK(relative_error(alone.attention, all.attention.view().rows(first, count)) <= 1e-5);
    tensor<float, 2> logits({1, 3});
    net.infer(backend, weights.flat(), bag, logits.view());
    CHECK(test::same_bits(logits, alone.logits));
    double sum = 0;
    for (const double p : test::elements(alone.probabilities)) sum += p;
    CHECK(test::close(sum, 1, {.absolute = 1e-6}));
  }
  CHECK(backend.workspace.bytes_in_use() == 0);
}

TEST_CASE_TEMPLATE("bag_classifier: predict gives one logit's probabilities of both classes", T, MILKIT_FLOATS) {
  using one_logit = models::bag_classifier<nn::sequential<nn::linear<9, 7>, nn::relu>, pooling::gated_attention<7, 5>,
                                           nn::linear<7, 1>>;
  auto weights = initial_parameters<T>(one_logit{}, {.seed = 2});
  const auto x = test::normals<T>(shape<2>{40, 9}, 5);
  const std::vector<std::int64_t> offsets = {0, 33, 34, 40};
  cpu backend{.threads = 2};
  for (const T bias : {T(0.25), T(900), T(-900)}) {
    weights["classifier.bias"](0) = bias;
    const auto said = models::predict(backend, one_logit{}, weights, bags_of(x.view(), vector_of(offsets)));
    REQUIRE(said.logits.shape() == shape<2>{3, 1});
    REQUIRE(said.probabilities.shape() == shape<2>{3, 2});
    for (std::int64_t b = 0; b < 3; ++b) {
      const double p = 1 / (1 + std::exp(-static_cast<double>(said.logits.view()(b, 0))));
      CHECK(test::close(static_cast<double>(said.probabilities.view()(b, 1)), p, {.absolute = 1e-6}));
      CHECK(test::close(static_cast<double>(said.probabilities.view()(b, 0)), 1 - p, {.absolute = 1e-6}));
    }
  }
}

TEST_CASE("bag_classifier: the batch of the forward pass may be gone when the backward pass comes") {
  const golden_network net{.embedding = {.chunk_rows = 16}};
  const auto weights = initial_parameters<float>(net, {.seed = 2});
  const auto x = test::normals<float>(shape<2>{40, 24}, 5), dlogits = test::normals<float>(shape<2>{1, 2}, 6);
  const pass how{.training = true};
  const auto gradient_of = [&](bool gone) {
    cpu backend{.threads = 1};
    tensor<float, 1> gradient(weights.flat().shape());
    tensor<float, 2> logits({1, 2});
    auto upstream = dlogits.clone();
    golden_network::saved<bag_view<float, 2>, cpu> kept;
    std::optional batch(bags_of(x.view()));
    const context at{backend, weights.flat(), gradient.view(), how};
    net.forward(at, *batch, {.logits = logits.view()}, kept);
    if (gone) batch.emplace(bags_of(x.view().rows(0, 7)));  // in the same memory
    net.backward(at, bags_of(x.view()), kept, upstream.view(), matrix_view<const float>(), matrix_view<float>());
    return gradient;
  };
  CHECK(test::same_bits(gradient_of(true), gradient_of(false)));
}

TEST_CASE("bag_classifier: a pass without training leaves nothing of an earlier one in what it saves") {
  const golden_network net{.embedding = {.chunk_rows = 16}};
  const auto weights = initial_parameters<float>(net, {.seed = 2});
  const auto x = test::normals<float>(shape<2>{40, 24}, 5), y = test::normals<float>(shape<2>{40, 24}, 7);
  const auto dlogits = test::normals<float>(shape<2>{1, 2}, 6);
  const auto gradient_of = [&](bool before) {
    cpu backend{.threads = 1};
    tensor<float, 1> gradient(weights.flat().shape());
    tensor<float, 2> logits({1, 2});
    auto upstream = dlogits.clone();
    golden_network::saved<bag_view<float, 2>, cpu> kept;
    const auto scope = backend.workspace.scope();
    const context training{backend, weights.flat(), {}, {.training = true}};
    if (before) net.forward(training, bags_of(y.view()), {.logits = logits.view()}, kept);
    const context at{backend, weights.flat(), gradient.view()};
    net.forward(at, bags_of(x.view()), {.logits = logits.view()}, kept);
    net.backward(at, bags_of(x.view()), kept, upstream.view(), matrix_view<const float>(), matrix_view<float>());
    return gradient;
  };
  CHECK(test::same_bits(gradient_of(true), gradient_of(false)));
}

TEST_CASE("bag_classifier refuses dropout rates that are none, in training and in inference") {
  const auto x = test::normals<float>(shape<2>{4, 9}, 5);
  for (const double rate : {-0.1, 1.0, std::nan("")})
    for (const bool training : {false, true}) {
      auto net = small();
      const auto weights = initial_parameters<float>(net, {.seed = 2});
      net.embedding.pooler.dropout = rate;
      CHECK_THROWS_WITH_AS(
          step<float>(net, weights, x, {0, 4}, {1}, {.training = training}),
          message("milkit::pooling::scored_attention: dropout is ", rate, ", expected 0 <= dropout < 1").c_str(),
          value_error);
      net = small();
      net.embedding.encoder = nn::sequential<nn::linear<9, 7>, nn::relu, nn::dropout>({}, {}, {.rate = rate});
      CHECK_THROWS_WITH_AS(step<float>(net, weights, x, {0, 4}, {1}, {.training = training}),
                           message("milkit::nn::dropout: the rate is ", rate, ", expected 0 <= rate < 1").c_str(),
                           value_error);
    }
}

TEST_CASE("bag_classifier: parameters that lie apart -> shape_error") {
  const auto net = small();
  const auto x = test::normals<float>(shape<2>{4, 9}, 5);
  tensor<float, 2> memory({parameter_stretch(net), 2});
  const vector_view<float> apart(memory.data(), {parameter_stretch(net)}, 2);
  cpu backend{.threads = 1};
  tensor<float, 2> logits({1, 3});
  CHECK_THROWS_WITH_AS(net.infer(backend, apart, bags_of(x.view()), logits.view()),
                       "milkit: a layer's parameters lie 2 elements apart, expected 1", shape_error);
}

TEST_CASE("bag_classifier: NaN in a bag is NaN in its logits and in no other's") {
  const auto net = small();
  const auto weights = initial_parameters<float>(net, {.seed = 2});
  auto x = test::normals<float>(shape<2>{40, 9}, 5);
  x.view()(7, 3) = std::nanf("");
  const std::vector<std::int64_t> offsets = {0, 33, 34, 40};
  cpu backend{.threads = 2};
  const auto all = models::predict(backend, net, weights, bags_of(x.view(), vector_of(offsets)));
  for (const double each : test::elements(all.logits.view().rows(0, 1))) CHECK(std::isnan(each));
  for (const double each : test::elements(all.logits.view().rows(1, 2))) CHECK(std::isfinite(each));
}

TEST_CASE("bag_classifier: parameters as the papers count them, by the names of PyTorch") {
  using network = abmil<1024, 512, 256>;
  CHECK(parameter_count(network{}) == 524800 + 262913 + 1026);
  std::vector<std::string> names;
  for (const auto& entry : parameter_entries(network{})) names.push_back(entry.name);
  CHECK(names == std::vector<std::string>{"encoder.0.weight", "encoder.0.bias", "pooler.v.weight", "pooler.u.weight",
                                          "pooler.v.bias", "pooler.u.bias", "pooler.w.weight", "pooler.w.bias",
                                          "classifier.weight", "classifier.bias"});
}

TEST_CASE("bag_classifier refuses a label outside the classes and a bag of another width") {
  const auto net = small();
  auto weights = initial_parameters<float>(net, {.seed = 2});
  const auto x = test::normals<float>(shape<2>{4, 9}, 5), wide = test::normals<float>(shape<2>{4, 10}, 5);
  CHECK_THROWS_WITH_AS(step<float>(net, weights, x, {0, 4}, {3}, {}),
                       "milkit::loss::cross_entropy: label 3 of bag 0 is outside the 3 classes, expected 0 to 2",
                       value_error);
  CHECK_THROWS_WITH_AS(step<float>(net, weights, x, {0, 4}, {-1}, {}),
                       "milkit::loss::cross_entropy: label -1 of bag 0 is outside the 3 classes, expected 0 to 2",
                       value_error);
  CHECK_THROWS_AS(step<float>(net, weights, x, {0, 4}, {1, 1}, {}), shape_error);
  CHECK_THROWS_WITH_AS(step<float>(net, weights, wide, {0, 4}, {1}, {}),
                       "milkit::nn::linear: features of the input is 10, expected 9", shape_error);
}

TEST_CASE("bag_classifier: the memory plan is what a step uses") {
  // 3 and 40 chunks are kept as a whole; of 300 chunks most are computed again; the last chunk is a short one.
  for (const std::int64_t rows : {1, 40, 650, 4801}) {
    for (const std::size_t saved_bytes : {std::size_t{0}, std::size_t{100000}, std::size_t{40} << 20}) {
      CAPTURE(rows);
      CAPTURE(saved_bytes);
      auto net = small(16);
      net.embedding.saved_bytes = saved_bytes;
      const auto x = test::normals<float>(shape<2>{rows, 9}, 5);
      for (const int threads : {1, 2, 3}) {
        CAPTURE(threads);
        cpu backend{.threads = threads};
        const auto plan = models::plan_training_step<float>(backend, net, x.shape(), loss::cross_entropy{});
        stepper<small_network, bag_view<float, 2>> once(backend, net, {x.view()});
        for (int i = 0; i < 3; ++i) once();
        CHECK(plan.bag == static_cast<std::size_t>(rows) * 9 * 4);
        CHECK(plan.weights == once.weights().bytes());
        CHECK(plan.gradient == once.weights().bytes());
        test::expect_as_planned(backend, plan.workspace);
        CHECK(plan.saved <= plan.workspace);
        CHECK(plan.saved == saved_bytes_of(backend, net, once.weights(), bags_of(x.view())));
      }
    }
  }
}

TEST_CASE("bag_classifier: the memory plan of ragged batches, of inference, and of a network on images") {
  using images = models::bag_classifier<
      nn::sequential<nn::conv2d<3, 6, 4>, nn::relu, nn::max_pool2d, nn::conv2d<6, 8, 3>, nn::relu, nn::max_pool2d,
                     nn::flatten, nn::linear<200, 32>, nn::relu, nn::dropout>,
      pooling::gated_attention<32, 16>, nn::linear<32, 2>>;
  const std::vector<std::int64_t> offsets = {0, 33, 34, 300, 450}, labels = {1, 0, 0, 1};
  const auto check = [&](const auto& net, auto x, int threads) {
    CAPTURE(threads);
    const auto weights = initial_parameters<float>(net, {.seed = 1});
    auto gradient = weights.zeros();
    const auto bags = bags_of(x, vector_of(offsets));
    cpu backend{.threads = threads}, infers{.threads = threads};
    const auto plan =
        models::plan_training_step<float>(backend, net, x.shape(), loss::cross_entropy{}, vector_of(offsets));
    for (int i = 0; i < 3; ++i)
      net.train_bags(backend, weights.flat(), bags, vector_of(labels), loss::cross_entropy{}, 1.0, gradient.flat(),
                     {.training = true});
    test::expect_as_planned(backend, plan.workspace);
    CHECK(plan.saved == saved_bytes_of(backend, net, weights, bags));

    const auto inference = models::plan_inference<float>(infers, net, x.shape(), vector_of(offsets));
    tensor<float, 2> logits(net.output_shape(bags));
    for (int i = 0; i < 3; ++i) net.infer(infers, weights.flat(), bags, logits.view());
    test::expect_as_planned(infers, inference.workspace);
    CHECK(inference.saved == 0);
    CHECK(inference.gradient == 0);
    CHECK(inference.weights == weights.bytes());
    CHECK(inference.bag == static_cast<std::size_t>(x.size()) * sizeof(float));
    CHECK(plan.workspace > inference.workspace);
    CHECK(inference.total() == inference.bag + inference.weights + inference.workspace);
    CHECK(plan.total(2) == plan.bag + plan.weights + 3 * plan.gradient + plan.workspace);
  };
  const auto rows = test::normals<float>(shape<2>{450, 9}, 5);
  const auto pictures = test::normals<float>(shape<4>{450, 3, 27, 27}, 5);
  for (const int threads : {1, 2, 3}) {
    check(small(16), rows.view(), threads);
    images net;
    net.embedding.chunk_rows = 50;
    check(net, pictures.view(), threads);
  }
}

TEST_CASE("bag_classifier: a training step after the first allocates nothing") {
#if !defined(MILKIT_TEST_COUNTS_MALLOC)
  throw test::skipped("malloc is not counted with this C library or sanitizer");
#endif
  const std::int64_t before_anything = allocations;
  tensor<float, 1> counted({1000});
  void* volatile by_hand = std::malloc(10);
  std::free(by_hand);
  REQUIRE(allocations >= before_anything + 2);
  for (const int threads : {1, 2})
    for (const std::int64_t rows : {1, 100, 5000}) {
      CAPTURE(threads);
      CAPTURE(rows);
      cpu backend{.threads = threads};
      const auto x = test::normals<float>(shape<2>{rows, 64}, 5);
      abmil<64, 48, 32> net;
      net.embedding.pooler.dropout = 0.25;
      net.embedding.saved_bytes = std::size_t{1} << 20;
      stepper<abmil<64, 48, 32>, bag_view<float, 2>> once(backend, net, {x.view()});
      once();
      const std::int64_t before = allocations;
      for (int i = 0; i < 3; ++i) once();
      CHECK(allocations - before == 0);
    }
}

TEST_CASE("bag_classifier: a bag in a file gives the bits of the bag in memory") {
  const test::temporary_directory folder;
  const auto path = folder.path() / "bag.safetensors";
  write_features(path, 9001, 24);
  const auto x = data::safetensors_reader(path).read<float, 2>("features");
  for (const int threads : {1, 2}) {
    cpu in_memory{.threads = threads}, from_file{.threads = threads};
    golden_network net;
    net.embedding.chunk_rows = 512;
    net.embedding.saved_bytes = 300000;
    stepper<golden_network, bag_view<float, 2>> want(in_memory, net, {x.view()});
    stepper<golden_network, data::safetensors_source<float>> got(from_file, net, {path, "features"});
    for (int i = 0; i < 2; ++i) {
      want();
      got();
      CHECK(test::same_bits(got.gradient().flat(), want.gradient().flat()));
      CHECK(test::same_bits(got.weights().flat(), want.weights().flat()));
    }
  }
  CHECK_THROWS_AS(data::safetensors_source<float>(path, "other"), io_error);
  CHECK_THROWS_AS(data::safetensors_source<float>(folder.path() / "none.safetensors", "features"), io_error);
}

TEST_CASE("bag_classifier: a training step on 1,000,000 x 1024 from a file takes at most 2 GB") {
  const char* wanted = std::getenv("MILKIT_BIG_TESTS");
  if (!wanted || std::string(wanted) != "1") throw test::skipped("it writes 4 GB; MILKIT_BIG_TESTS=1 runs it");
  const test::temporary_directory folder;
  if (std::filesystem::space(folder.path()).available < std::uintmax_t{5} << 30)
    throw test::skipped("there is no room for 4 GB");
  const auto path = folder.path() / "bag.safetensors";
  write_features(path, 1000000, 1024);
  cpu backend{.threads = 2};
  stepper<abmil<1024, 512, 256>, data::safetensors_source<float>> once(backend, {}, {path, "features"});
  once();
  for (const double g : test::elements(once.gradient().flat().rows(0, 5))) CHECK(std::isfinite(g));
  MESSAGE("resident at most " << process_megabytes("VmHWM") << " MB, workspace "
                              << static_cast<double>(backend.peak_bytes()) / 1e6 << " MB");
  CHECK(process_megabytes("VmHWM") <= 2000);
}
