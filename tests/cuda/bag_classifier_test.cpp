// labels: emulated
#include <milkit/loss/binary_cross_entropy.hpp>
#include <milkit/loss/cross_entropy.hpp>
#include <milkit/milkit.hpp>
#include <milkit/milkit_cuda.cuh>
#include <milkit/train/optimizer.hpp>

#include <support/backends.hpp>

using namespace milkit;
using test::normals;

// The same network, weights and random numbers on the CPU and on the card.
namespace {

template <class Backend>
auto space_of(const Backend&) -> typename Backend::space;
template <class Network, class T, class Backend>
using weights_on = parameters<Network, T, typename Backend::space>;

struct step_result {
  double loss = 0;
  std::vector<double> gradient, weights;
};

template <class T>
void put(cpu&, vector_view<const T> from, vector_view<T> to) {
  std::copy_n(from.data(), from.extent(0), to.data());
}
template <class T>
void put(milkit::cuda& gpu, vector_view<const T> from, device_vector<T> to) {
  copy(gpu, from, to);
}
template <class T>
std::vector<double> got(cpu&, vector_view<T> values) {
  return test::elements(values);
}
template <class T>
std::vector<double> got(milkit::cuda& gpu, device_vector<T> values) {
  tensor<T, 1> host(values.shape());
  copy(gpu, values, host.view());
  return test::elements(host);
}

/// Two steps of AdamW on a ragged batch.
template <class T, class Backend, class Network, int Rank, class Loss>
step_result trained(Backend& backend, const Network& network, const tensor<T, Rank>& bag,
                    const std::vector<std::int64_t>& offsets, const std::vector<std::int64_t>& labels,
                    const Loss& loss) {
  using Space = typename Backend::space;
  const auto initial = initial_parameters<T>(network, {.seed = 3});
  weights_on<Network, T, Backend> weights(network), gradient(network), first(network), second(network);
  put(backend, initial.flat(), weights.flat());
  tensor<T, Rank, Space> instances(bag.shape());
  put(backend, vector_view<const T>(bag.data(), {bag.size()}), vector_view<T, Space>(instances.data(), {bag.size()}));
  const auto bags =
      bags_of(std::as_const(instances).view(),
              vector_view<const std::int64_t>(offsets.data(), {static_cast<std::int64_t>(offsets.size())}));
  const vector_view<const std::int64_t> y(labels.data(), {static_cast<std::int64_t>(labels.size())});
  step_result result;
  for (std::int64_t step = 1; step <= 2; ++step) {
    ops::fill(backend, gradient.flat(), T(0));
    result.loss =
        network.train_bags(backend, weights.flat(), bags, y, loss, 1.0, gradient.flat(),
                           {.training = true, .random = random_stream(1, static_cast<std::uint64_t>(step), 2)});
    train::adamw{.learning_rate = 1e-3}.step(backend, weights.flat(), vector_view<const T, Space>(gradient.flat()),
                                             {first.flat(), second.flat()}, {.step = step, .learning_rate = 1e-3});
  }
  result.gradient = got(backend, gradient.flat());
  result.weights = got(backend, weights.flat());
  return result;
}

template <class T, class Network, int Rank, class Loss = loss::cross_entropy>
void steps_agree(const Network& network, const tensor<T, Rank>& bag, const std::vector<std::int64_t>& offsets,
                 const std::vector<std::int64_t>& labels, double bound, const Loss& loss = {}) {
  cpu host{.threads = 2};
  milkit::cuda gpu;
  const step_result want = trained(host, network, bag, offsets, labels, loss),
                    first = trained(gpu, network, bag, offsets, labels, loss);
  CHECK(test::close(first.loss, want.loss, {.relative = bound}));
  CHECK(test::relative_error(first.gradient, want.gradient) <= bound);
  CHECK(test::relative_error(first.weights, want.weights) <= bound);
  test::with_order(5, [&] {
    const step_result again = trained(gpu, network, bag, offsets, labels, loss);
    CHECK(again.loss == first.loss);
    CHECK(again.gradient == first.gradient);
    CHECK(again.weights == first.weights);
  });
}

template <class Encoder, class Pooler, class Classifier>
models::bag_classifier<Encoder, Pooler, Classifier> classifier(Encoder e, Pooler p, Classifier c,
                                                               std::int64_t chunk_rows = 0) {
  models::bag_classifier<Encoder, Pooler, Classifier> network{{e, p}, c};
  network.embedding.chunk_rows = chunk_rows;
  return network;
}
const std::vector<std::int64_t> ragged{0, 1, 33, 290, 300}, labels{0, 2, 1, 1};
using encoder = nn::sequential<nn::linear<20, 12>, nn::relu, nn::dropout>;

}  // namespace

TEST_CASE("cuda: a training step of a bag classifier, for each pooler") {
  const auto bag = normals<double>(shape{std::int64_t{300}, std::int64_t{20}}, 1);
  for (const std::int64_t chunk : {0, 64}) {
    steps_agree(classifier(encoder(), pooling::attention<12, 7>{.dropout = 0.25}, nn::linear<12, 3>(), chunk), bag,
                ragged, labels, 1e-10);
    steps_agree(classifier(encoder(), pooling::gated_attention<12, 7>{.dropout = 0.25}, nn::linear<12, 3>(), chunk),
                bag, ragged, labels, 1e-10);
    steps_agree(classifier(encoder(), pooling::dual_gated_attention<12, 7>{}, nn::linear<12, 3>(), chunk), bag, ragged,
                labels, 1e-10);
    steps_agree(classifier(encoder(), pooling::mean{}, nn::linear<12, 3>(), chunk), bag, ragged, labels, 1e-10);
    steps_agree(classifier(nn::identity(), pooling::max{}, nn::linear<20, 3>(), chunk), bag, ragged, labels, 1e-10);
  }
  steps_agree(classifier(nn::identity(), pooling::mean{}, nn::linear<20, 1>()), bag, {0, 100, 300}, {1, 0}, 1e-10,
              loss::binary_cross_entropy{2.0});
  steps_agree(classifier(encoder(), pooling::gated_attention<12, 7>{}, nn::linear<12, 3>()), bag, ragged, labels, 1e-10,
              loss::cross_entropy{{1.0, 2.0, 0.5}});
  // Adam divides a gradient by its own size: the rounding errors of the smallest ones weigh as much as any.
  steps_agree(classifier(encoder(), pooling::gated_attention<12, 7>{}, nn::linear<12, 3>()),
              normals<float>(shape{std::int64_t{300}, std::int64_t{20}}, 1), ragged, labels, 2e-4);
}

namespace {
/// Everything that one step touches, on the card.
struct step_on_card {
  using network_type = decltype(classifier(encoder(), pooling::gated_attention<12, 7>(), nn::linear<12, 3>()));
  network_type network =
      classifier(encoder(), pooling::gated_attention<12, 7>{.dropout = 0.25}, nn::linear<12, 3>(), 64);
  milkit::cuda& gpu;
  parameters<network_type, float, device_space> weights{network}, gradient{network}, first{network}, second{network};
  device_tensor<float, 2> bag{shape{std::int64_t{200}, std::int64_t{20}}};
  device_tensor<double, 1> losses{shape{std::int64_t{1}}};
  const std::int64_t label = 2;

  explicit step_on_card(milkit::cuda& backend) : gpu(backend) {
    copy(gpu, initial_parameters<float>(network).flat(), weights.flat());
    copy(gpu, normals<float>(bag.shape(), 1).view(), bag.view());
  }
  void queue() {
    ops::fill(gpu, gradient.flat(), 0.0f);
    network.queue_bags(gpu, weights.flat(), bags_of(std::as_const(bag).view()),
                       vector_view<const std::int64_t>(&label, {1}), loss::cross_entropy{}, 1.0, losses.view(),
                       gradient.flat(), {.training = true, .random = random_stream(1, 2, 3)});
    train::adam{}.step(gpu, weights.flat(), device_vector<const float>(gradient.flat()), {first.flat(), second.flat()},
                       {.step = 1, .learning_rate = 1e-3});
  }
};
}  // namespace

TEST_CASE("cuda: a bag in the host's memory streams to the card, with the same result") {
  milkit::cuda gpu;
  step_on_card step(gpu);
  const auto bag = normals<float>(step.bag.shape(), 1);
  const std::int64_t label = 2;
  const auto gradient = [&](const auto& bags, std::size_t saved_bytes) {
    auto network = step.network;
    network.embedding.saved_bytes = saved_bytes;
    ops::fill(gpu, step.gradient.flat(), 0.0f);
    network.train_bags(gpu, step.weights.flat(), bags, vector_view<const std::int64_t>(&label, {1}),
                       loss::cross_entropy{}, 1.0, step.gradient.flat(), {.training = true});
    return got(gpu, step.gradient.flat());
  };
  const auto resident = gradient(bags_of(std::as_const(step.bag).view()), std::size_t{40} << 20);
  CHECK(gradient(bags_of(bag.view()), std::size_t{40} << 20) == resident);
  CHECK(gradient(bags_of(bag.view()), 0) == resident);  // nothing kept: each chunk is read and encoded twice
}

TEST_CASE("cuda: after the first step nothing is allocated, and a queued step never waits or copies") {
  milkit::cuda gpu;
  step_on_card step(gpu);
  step.queue();
  auto& card = emulation::the_card();
  const auto allocations = card.allocations, waits = card.synchronisations, copies = card.copies,
             launches = card.launches;
  step.queue();
  step.queue();
  CHECK(card.allocations == allocations);
  CHECK(card.synchronisations == waits);
  CHECK(card.copies == copies);
  CHECK(card.launches > launches);
  CHECK(gpu.workspace.bytes_in_use() == 0);
}

TEST_CASE("cuda: a step captured into a graph does what the step does") {
  milkit::cuda gpu;
  step_on_card plain(gpu), captured(gpu);
  for (int i = 0; i < 4; ++i) plain.queue();
  for (int i = 0; i < 2; ++i) captured.queue();  // memory and plans are there before the capture
  cudaGraph_t graph;
  cudaGraphExec_t run;
  expect_cuda(cudaStreamBeginCapture(gpu.stream(), cudaStreamCaptureModeGlobal), "cudaStreamBeginCapture");
  captured.queue();
  expect_cuda(cudaStreamEndCapture(gpu.stream(), &graph), "cudaStreamEndCapture");
  expect_cuda(cudaGraphInstantiate(&run, graph), "cudaGraphInstantiate");
  for (int i = 0; i < 2; ++i) expect_cuda(cudaGraphLaunch(run, gpu.stream()), "cudaGraphLaunch");
  CHECK(got(gpu, captured.weights.flat()) == got(gpu, plain.weights.flat()));
  CHECK(got(gpu, captured.losses.view()) == got(gpu, plain.losses.view()));
  static_cast<void>(cudaGraphExecDestroy(run));
  static_cast<void>(cudaGraphDestroy(graph));
}

TEST_CASE("cuda: waiting while a step is captured is refused, and spoils that capture alone") {
  milkit::cuda gpu;
  step_on_card step(gpu);
  step.queue();
  cudaGraph_t graph = nullptr;
  expect_cuda(cudaStreamBeginCapture(gpu.stream(), cudaStreamCaptureModeGlobal), "cudaStreamBeginCapture");
  step.queue();
  CHECK_THROWS_AS(gpu.synchronize(), cuda_error);
  CHECK(cudaStreamEndCapture(gpu.stream(), &graph) == cudaErrorStreamCaptureInvalidated);
  CHECK(graph == nullptr);
  static_cast<void>(cudaGetLastError());
  const auto before = got(gpu, step.weights.flat());
  step.queue();
  CHECK(got(gpu, step.weights.flat()) != before);
}

TEST_CASE("cuda: the memory of a step is counted before it runs") {
  milkit::cuda gpu;
  step_on_card step(gpu);
  const auto plan = models::plan_training_step<float>(gpu, step.network, step.bag.shape(), loss::cross_entropy{});
  gpu.workspace.reset_peak();
  const std::int64_t label = 2;
  step.network.train_bags(gpu, step.weights.flat(), bags_of(std::as_const(step.bag).view()),
                          vector_view<const std::int64_t>(&label, {1}), loss::cross_entropy{}, 1.0,
                          step.gradient.flat(), {.training = true});
  CHECK(plan.workspace == gpu.workspace.peak_bytes());
}

TEST_CASE("cuda: a bag larger than the card is an error that names the bytes, and leaves weights and backend usable") {
  milkit::cuda gpu;
  step_on_card step(gpu);
  const auto before = got(gpu, step.weights.flat());
  std::size_t free = 0, total = 0;
  expect_cuda(cudaMemGetInfo(&free, &total), "cudaMemGetInfo");
  const auto rows = static_cast<std::int64_t>(total / 80 + 1);
  CHECK_THROWS_WITH_AS(
      (device_tensor<float, 2>(shape{rows, std::int64_t{20}})),
      doctest::Contains(
          message("cudaMalloc of ", rows * 80, " bytes failed: cudaErrorMemoryAllocation; the card has ").c_str()),
      cuda_error);
  CHECK(got(gpu, step.weights.flat()) == before);
  step.queue();
  CHECK(got(gpu, step.weights.flat()) != before);
}

TEST_CASE("cuda: a step whose workspace does not fit is an error, and the next one that fits works") {
  milkit::cuda gpu;
  step_on_card step(gpu);
  const auto before = got(gpu, step.weights.flat());
  auto& card = emulation::the_card();
  const std::size_t memory = card.memory;
  card.memory = card.used + 1000000;  // cuBLASLt's workspace alone is 8 MiB
  CHECK_THROWS_WITH_AS(step.queue(), doctest::Contains("failed: cudaErrorMemoryAllocation; the card has "), cuda_error);
  card.memory = memory;
  CHECK(got(gpu, step.weights.flat()) == before);
  CHECK(gpu.workspace.bytes_in_use() == 0);
  step.queue();
  CHECK(got(gpu, step.weights.flat()) != before);
}

TEST_CASE("cuda: no card, an old driver, and an error of an earlier kernel are reported with call, name and place") {
  auto& card = emulation::the_card();
  card.count = 0;
  CHECK_THROWS_WITH_AS(milkit::cuda(), doctest::Contains("cudaGetDeviceCount failed: cudaErrorNoDevice"), cuda_error);
  card.count = 1;
  card.driver = cudaErrorInsufficientDriver;
  CHECK_THROWS_WITH_AS(milkit::cuda(), doctest::Contains("cudaErrorInsufficientDriver"), cuda_error);
  card.driver = cudaSuccess;
  CHECK_THROWS_WITH_AS(milkit::cuda({.device = 3}), "milkit::cuda: device is 3, expected 0 to 0", value_error);
  milkit::cuda gpu;
  step_on_card step(gpu);
  card.sticky = cudaErrorIllegalAddress;
  CHECK_THROWS_WITH_AS(step.queue(), doctest::Contains("launch of a kernel failed: cudaErrorIllegalAddress"),
                       cuda_error);
  CHECK_THROWS_AS(gpu.synchronize(), cuda_error);
  card.sticky = cudaSuccess;
  static_cast<void>(cudaGetLastError());
}

TEST_CASE("cuda: an empty bag is refused before anything runs") {
  milkit::cuda gpu;
  step_on_card step(gpu);
  const std::int64_t label = 0;
  CHECK_THROWS_AS(
      step.network.train_bags(gpu, step.weights.flat(), bags_of(device_matrix<const float>(nullptr, {0, 20})),
                              vector_view<const std::int64_t>(&label, {1}), loss::cross_entropy{}, 1.0,
                              step.gradient.flat(), {}),
      value_error);
}
