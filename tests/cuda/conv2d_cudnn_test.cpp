// labels: emulated
#include <milkit/ops/conv2d_cpu.hpp>
#include <milkit/ops/conv2d_cudnn.cuh>
#include <milkit/ops/fill_cuda.cuh>

#include <support/backends.hpp>

using namespace milkit;
using test::agree, test::normals;

// The same convolutions on the CPU, by milkit's own kernels and by cuDNN.
namespace {

using extents = shape<4>;

template <class Backend>
void use(Backend& backend, bool library) {
  if constexpr (!is_cpu<Backend>) backend.convolution = library ? cudnn_convolution : convolution_library{};
}

/// How many products cuDNN did for the forward and backward pass of one convolution.
template <class T>
std::size_t products(extents x, extents w, const ops::conv2d_options& o, bool library) {
  const extents y = ops::conv2d_shape(x, w, o);
  const std::size_t before = emulation::cudnn().products;
  // Views with gaps come out within a thousandth of the bound of those without, and there other kernels may do it.
  agree(
      sizeof(T) == 4 ? 1e-3 : 2e-12,
      [&](auto& b, auto image, auto weight, auto bias, auto out, auto dy, auto dx, auto dw, auto db) {
        use(b, library);
        ops::conv2d(b, image, weight, bias, out, o);
        ops::conv2d_backward(b, image, weight, dy, dx, dw, db, o);
      },
      normals<T>(x, 1), normals<T>(w, 2), normals<T>(shape<1>{w[0]}, 3), normals<T>(y, 4), normals<T>(y, 5),
      normals<T>(x, 6), normals<T>(w, 7), normals<T>(shape<1>{w[0]}, 8));
  return emulation::cudnn().products - before;
}

}  // namespace

TEST_CASE("cuda: convolutions by cuDNN, by milkit and on the CPU") {
  const auto check = [](extents x, extents w, ops::conv2d_options o) {
    CHECK(products<float>(x, w, o, false) == 0);
    CHECK(products<float>(x, w, o, true) == 3 * 3);  // three of the five passes have no gaps between filters
    CHECK(products<double>(x, w, o, true) == 0);
  };
  check({2, 3, 9, 11}, {5, 3, 4, 4}, {});
  check({2, 3, 9, 11}, {5, 3, 3, 3}, {.stride = {2, 2}, .padding = {1, 1}});
  check({2, 2, 8, 8}, {3, 2, 1, 1}, {});
  check({3, 1, 13, 5}, {70, 1, 3, 2}, {.stride = {1, 3}, .padding = {0, 2}});
  CHECK(products<float>({0, 3, 9, 11}, {5, 3, 4, 4}, {}, true) == 0);
}

TEST_CASE("cuda: images with gaps between them go to cuDNN, without bias and gradient of the images too") {
  milkit::cuda gpu;
  gpu.convolution = cudnn_convolution;
  cpu host;
  const extents s{3, 2, 7, 6}, ws{4, 2, 3, 3}, ys = ops::conv2d_shape(s, ws, {});
  const auto x = normals<float>(s, 1), w = normals<float>(ws, 2), dy = normals<float>(ys, 3);
  tensor<float, 4> y(ys), dw(ws);
  ops::conv2d(host, x.view(), w.view(), vector_view<float>(), y.view());
  ops::conv2d_backward(host, x.view(), w.view(), dy.view(), view<float, 4>(), dw.view(), vector_view<float>());
  test::on_card cx(gpu, x, 5), cw(gpu, w, 0), cy(gpu, y, 7);
  test::on_card cdy(gpu, dy, 1), cdw(gpu, tensor<float, 4>(ws), 0);
  const auto before = emulation::cudnn().products;
  ops::fill(gpu, cy.view(), 9.0f);
  ops::conv2d(gpu, cx.view(), cw.view(), device_vector<float>(), cy.view());
  ops::conv2d_backward(gpu, cx.view(), cw.view(), cdy.view(), device_images<float>(), cdw.view(),
                       device_vector<float>());
  CHECK(emulation::cudnn().products == before + 2);
  CHECK(test::relative_error(cy.back(gpu), y) <= 1e-5);
  CHECK(test::relative_error(cdw.back(gpu), dw) <= 1e-5);
}

TEST_CASE("cuda: cuDNN rounds to TF32 only where it is asked for") {
  const extents s{2, 8, 9, 9}, ws{4, 8, 3, 3}, ys = ops::conv2d_shape(s, ws, {});
  const auto x = normals<float>(s, 1), w = normals<float>(ws, 2);
  const auto result = [&](precision p) {
    milkit::cuda gpu({.precision = p});
    gpu.convolution = cudnn_convolution;
    test::on_card cx(gpu, x, 0), cw(gpu, w, 0), cy(gpu, tensor<float, 4>(ys), 0);
    ops::conv2d(gpu, cx.view(), cw.view(), device_vector<float>(), cy.view());
    return cy.back(gpu);
  };
  cpu host;
  tensor<float, 4> want(ys);
  ops::conv2d(host, x.view(), w.view(), vector_view<float>(), want.view());
  CHECK(test::relative_error(result(precision::float32), want) <= 1e-6);
  const double tf32 = test::relative_error(result(precision::tf32), want);
  CHECK(tf32 > 1e-5);
  CHECK(tf32 < 1e-3);
}

TEST_CASE("cuda: what cuDNN wants too much memory for, milkit's kernels do, or an algorithm that wants none") {
  struct restore {
    std::size_t before = emulation::cudnn().workspace;
    ~restore() { emulation::cudnn().workspace = before; }
  } const guard;
  emulation::cudnn().workspace = std::size_t{100} << 20;
  CHECK(products<float>({2, 2, 8, 8}, {3, 2, 3, 3}, {}, true) == 3);  // forward alone
}

TEST_CASE("cuda: a convolution by cuDNN is captured, and its memory is counted before it runs") {
  milkit::cuda gpu;
  gpu.convolution = cudnn_convolution;
  const extents s{2, 2, 7, 6}, ws{4, 2, 3, 3}, ys = ops::conv2d_shape(s, ws, {});
  test::on_card x(gpu, normals<float>(s, 1), 0), w(gpu, normals<float>(ws, 2), 0), y(gpu, tensor<float, 4>(ys), 0);
  const auto queue = [&](milkit::cuda& b) { ops::conv2d(b, x.view(), w.view(), device_vector<float>(), y.view()); };
  queue(gpu);
  const auto want = y.back(gpu);
  milkit::cuda planner = gpu.planner();
  queue(planner);
  CHECK(planner.peak_bytes() == gpu.peak_bytes());
  ops::fill(gpu, y.view(), 0.0f);
  cudaGraph_t graph;
  cudaGraphExec_t run;
  expect_cuda(cudaStreamBeginCapture(gpu.stream(), cudaStreamCaptureModeThreadLocal), "cudaStreamBeginCapture");
  queue(gpu);
  expect_cuda(cudaStreamEndCapture(gpu.stream(), &graph), "cudaStreamEndCapture");
  expect_cuda(cudaGraphInstantiate(&run, graph), "cudaGraphInstantiate");
  CHECK(test::relative_error(y.back(gpu), tensor<float, 4>(ys)) == 0);
  expect_cuda(cudaGraphLaunch(run, gpu.stream()), "cudaGraphLaunch");
  CHECK(test::relative_error(y.back(gpu), want) == 0);
  static_cast<void>(cudaGraphExecDestroy(run));
  static_cast<void>(cudaGraphDestroy(graph));
}
