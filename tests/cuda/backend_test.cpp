// labels: emulated
#include <milkit/loss/cross_entropy.hpp>
#include <milkit/milkit_cuda.cuh>
#include <milkit/models/bag_classifier/bag_classifier.hpp>
#include <milkit/nn/activation.hpp>
#include <milkit/nn/linear.hpp>
#include <milkit/nn/sequential.hpp>
#include <milkit/pooling/gated_attention.hpp>

#include <support/backends.hpp>

using namespace milkit;
using test::normals;

// What the backend and its memory promise, whatever op uses them.

TEST_CASE("cuda: a training step on 10,000 instances fits into 64 MB beside bag and weights") {
  using network = models::bag_classifier<nn::sequential<nn::linear<1024, 512>, nn::relu>,
                                         pooling::gated_attention<512, 256>, nn::linear<512, 2>>;
  const milkit::cuda gpu;
  const auto plan = models::plan_training_step<float>(gpu, network{}, shape<2>{10000, 1024}, loss::cross_entropy{});
  CHECK(plan.workspace <= 64'000'000);
}

TEST_CASE("cuda: a workspace that finds no room to double takes what was asked for") {
  milkit::cuda gpu;
  auto& card = emulation::the_card();
  const std::size_t memory = card.memory;
  const auto scope = gpu.workspace.scope();
  static_cast<void>(gpu.workspace.allocate<std::byte>(1 << 20));
  card.memory = card.used + (1 << 18);
  CHECK_NOTHROW(static_cast<void>(gpu.workspace.allocate<std::byte>(1 << 18)));
  CHECK_THROWS_AS(static_cast<void>(gpu.workspace.allocate<std::byte>(64)), cuda_error);
  card.memory = memory;
  CHECK(gpu.workspace.reserved_bytes() == (1 << 20) + (1 << 18));
}

TEST_CASE("cuda: rows on the card lie without gaps") {
  milkit::cuda gpu;
  const auto scope = gpu.workspace.scope();
  CHECK(gpu.workspace.allocate_rows<float>(shape<2>{3, 512}).contiguous());
}

TEST_CASE("cuda: pinned memory stays where a graph found it, whatever runs between") {
  milkit::cuda gpu;
  const auto x = normals<float>(shape<2>{40, 16}, 1);
  test::on_card a(gpu, x, 0), square(gpu, tensor<float, 2>(shape<2>{40, 40}), 0);
  const auto step = [&](std::int64_t more) {
    const auto scope = gpu.workspace.scope();
    const auto copy = gpu.workspace.allocate<float>(shape<2>{40, 16});
    static_cast<void>(gpu.workspace.allocate<std::byte>(more));
    ops::copy_rows(gpu, a.view(), copy);
    ops::matmul(gpu, copy, a.view(), square.view(), {.transpose_b = true});
  };
  workspace<device_space> plan(true);
  {
    const auto scope = plan.scope();
    static_cast<void>(plan.allocate<std::byte>(40 * 16 * 4 + (8 << 20) + 256));
  }
  gpu.workspace.reserve(plan.peak_bytes());
  gpu.workspace.pin();
  const auto allocations = [] { return test::emulated ? emulation::the_card().allocations : 0; };
  const std::size_t before = allocations();
  step(0);
  const auto want = square.back(gpu);
  cudaGraph_t graph;
  cudaGraphExec_t run;
  expect_cuda(cudaStreamBeginCapture(gpu.stream(), cudaStreamCaptureModeGlobal), "cudaStreamBeginCapture");
  step(0);
  expect_cuda(cudaStreamEndCapture(gpu.stream(), &graph), "cudaStreamEndCapture");
  expect_cuda(cudaGraphInstantiate(&run, graph), "cudaGraphInstantiate");
  CHECK_THROWS_WITH_AS(step(64), "milkit::workspace: pinned at 8391424 bytes, was asked for 8388864 beside 2624 in use",
                       std::length_error);
  CHECK_THROWS_WITH_AS(gpu.workspace.reserve(9 << 20), "milkit::workspace: reserve of 9437184 bytes while it is pinned",
                       std::logic_error);
  ops::fill(gpu, square.view(), 0.0f);
  expect_cuda(cudaGraphLaunch(run, gpu.stream()), "cudaGraphLaunch");
  CHECK(test::elements(square.back(gpu)) == test::elements(want));
  CHECK(allocations() == before);
  static_cast<void>(cudaGraphExecDestroy(run));
  static_cast<void>(cudaGraphDestroy(graph));
}

TEST_CASE("cuda: backends of two cards take turns in one thread") {
  auto& card = emulation::the_card();
  card.count = 2;
  {
    milkit::cuda first, second({.device = 1});
    const auto x = normals<float>(shape<2>{4, 3}, 1);
    for (milkit::cuda* gpu : {&first, &second, &first}) {
      gpu->activate();
      test::on_card a(*gpu, x, 0), b(*gpu, x, 0), c(*gpu, tensor<float, 2>(shape<2>{4, 4}), 0);
      (gpu == &first ? second : first).activate();
      ops::fill(*gpu, a.view(), 2.0f);
      (gpu == &first ? second : first).activate();
      ops::matmul(*gpu, a.view(), b.view(), c.view(), {.transpose_b = true});
      CHECK(card.current == gpu->device());
      CHECK(test::elements(c.back(*gpu)).size() == 16);
    }
    first.activate();
    const auto scope = second.workspace.scope();
    static_cast<void>(second.workspace.allocate<std::byte>(64 << 20));
    CHECK(card.allocated_on == 1);
  }
  card.count = 1;
  card.current = 0;
}

TEST_CASE("cuda: pinned arrays of nothing") {
  pinned_tensor<float, 2> none(shape<2>{0, 5});
  CHECK(none.view().size() == 0);
  CHECK(none.view().data() == nullptr);
  milkit::cuda gpu;
  device_tensor<float, 2> device(shape<2>{0, 5});
  CHECK_NOTHROW(copy(gpu, std::as_const(none).view(), device.view()));
}
