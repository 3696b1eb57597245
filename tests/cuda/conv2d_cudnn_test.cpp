// labels: emulated nvcc
#include <milkit/ops/images/conv2d_cpu.hpp>
#include <milkit/ops/images/conv2d_cudnn.cuh>
#include <milkit/ops/rows/fill_cuda.cuh>

#include <doctest/doctest.h>

#include <support/close.hpp>
#include <support/emulation.hpp>
#include <support/floats.hpp>
#include <support/normals.hpp>
#include <support/on_card.hpp>

using namespace milkit;
using test::normals;

// The same convolutions on the CPU, by milkit's own kernels and by cuDNN.
namespace {

using extents = shape<4>;

/// One convolution, forward and backward, with numbers in everything that is written.
template <class T>
struct convolution_case {
  extents image, filter, out;
  ops::conv2d_options options;
  tensor<T, 4> x, w, dy, y, dx, dw;
  tensor<T, 1> bias, db;

  convolution_case(extents image_, extents filter_, const ops::conv2d_options& o)
      : image(image_),
        filter(filter_),
        out(ops::conv2d_shape(image, filter, o)),
        options(o),
        x(normals<T>(image, 1)),
        w(normals<T>(filter, 2)),
        dy(normals<T>(out, 3)),
        y(normals<T>(out, 4)),
        dx(normals<T>(image, 5)),
        dw(normals<T>(filter, 6)),
        bias(normals<T>(shape<1>{filter[0]}, 7)),
        db(normals<T>(shape<1>{filter[0]}, 8)) {}

  /// y, dx, dweight and dbias.
  using results = std::vector<std::vector<double>>;
  results on_cpu() const {
    cpu host;
    auto a = y.clone(), b = dx.clone(), c = dw.clone();
    auto d = db.clone();
    ops::conv2d(host, x.view(), w.view(), bias.view(), a.view(), options);
    ops::conv2d_backward(host, x.view(), w.view(), dy.view(), b.view(), c.view(), d.view(), options);
    return {test::elements(a), test::elements(b), test::elements(c), test::elements(d)};
  }
  /// With so many elements between the images.
  results on_gpu(milkit::cuda& gpu, std::int64_t gap) const {
    test::on_card cx(gpu, x, gap), cdy(gpu, dy, gap), cy(gpu, y, gap), cdx(gpu, dx, gap);
    test::on_card cw(gpu, w, 0), cdw(gpu, dw, 0);
    test::on_card cb(gpu, bias, 0), cdb(gpu, db, 0);
    ops::conv2d(gpu, cx.view(), cw.view(), cb.view(), cy.view(), options);
    ops::conv2d_backward(gpu, cx.view(), cw.view(), cdy.view(), cdx.view(), cdw.view(), cdb.view(), options);
    return {test::elements(cy.back(gpu)), test::elements(cdx.back(gpu)), test::elements(cdw.back(gpu)),
            test::elements(cdb.back(gpu))};
  }
};

template <class T>
void agree(extents image, extents filter, const ops::conv2d_options& options) {
  const convolution_case<T> c(image, filter, options);
  const auto want = c.on_cpu();
  for (const bool library : {false, true})
    for (const std::int64_t gap : {0, 3}) {
      milkit::cuda gpu;
      if (library) gpu.convolution = cudnn_convolution;
      const auto first = c.on_gpu(gpu, gap);
      for (std::size_t i = 0; i < want.size(); ++i)
        CHECK(test::relative_error(first[i], want[i]) <= (sizeof(T) == 4 ? 1e-5 : 1e-13));
      CHECK(c.on_gpu(gpu, gap) == first);
    }
}

/// How many products cuDNN does for a forward and a backward pass.
template <class T>
std::size_t products(extents image, extents filter, std::int64_t gap, bool library = true) {
  milkit::cuda gpu;
  if (library) gpu.convolution = cudnn_convolution;
  const std::size_t before = emulation::cudnn().products;
  convolution_case<T>(image, filter, {}).on_gpu(gpu, gap);
  return emulation::cudnn().products - before;
}

}  // namespace

TEST_CASE_TEMPLATE("cuda: convolutions by cuDNN, by milkit and on the CPU, twice the same bits", T, MILKIT_FLOATS) {
  agree<T>({2, 3, 9, 11}, {5, 3, 4, 4}, {});
  agree<T>({2, 3, 9, 11}, {5, 3, 3, 3}, {.stride = {2, 2}, .padding = {1, 1}});
  agree<T>({2, 2, 8, 8}, {3, 2, 1, 1}, {});
  agree<T>({3, 1, 13, 5}, {70, 1, 3, 2}, {.stride = {1, 3}, .padding = {0, 2}});
  agree<T>({0, 3, 9, 11}, {5, 3, 4, 4}, {});
}

TEST_CASE("cuda: cuDNN does the products of float, also of images that lie apart") {
  CHECK(products<float>({2, 2, 8, 8}, {3, 2, 3, 3}, 0) == 3);
  CHECK(products<float>({2, 2, 8, 8}, {3, 2, 3, 3}, 5) == 3);
  CHECK(products<float>({2, 2, 8, 8}, {3, 2, 3, 3}, 0, false) == 0);
  CHECK(products<float>({0, 2, 8, 8}, {3, 2, 3, 3}, 0) == 0);
  CHECK(products<double>({2, 2, 8, 8}, {3, 2, 3, 3}, 0) == 0);
}

TEST_CASE("cuda: what cuDNN wants too much memory for, milkit's kernels do, or an algorithm that wants none") {
  struct restore {
    std::size_t& workspace = emulation::cudnn().workspace;
    std::size_t before = workspace;
    ~restore() { workspace = before; }
  } const guard;
  guard.workspace = std::size_t{100} << 20;
  CHECK(products<float>({2, 2, 8, 8}, {3, 2, 3, 3}, 0) == 1);  // forward
}

TEST_CASE("cuda: cuDNN without bias and without the gradient of the images") {
  const convolution_case<float> c({3, 2, 7, 6}, {4, 2, 3, 3}, {});
  cpu host;
  auto y = c.y.clone(), dw = c.dw.clone();
  ops::conv2d(host, c.x.view(), c.w.view(), vector_view<float>(), y.view());
  ops::conv2d_backward(host, c.x.view(), c.w.view(), c.dy.view(), view<float, 4>(), dw.view(), vector_view<float>());
  milkit::cuda gpu;
  gpu.convolution = cudnn_convolution;
  test::on_card x(gpu, c.x, 5), w(gpu, c.w, 0), cy(gpu, c.y, 7), dy(gpu, c.dy, 1), cdw(gpu, c.dw, 0);
  ops::conv2d(gpu, x.view(), w.view(), device_vector<float>(), cy.view());
  ops::conv2d_backward(gpu, x.view(), w.view(), dy.view(), device_images<float>(), cdw.view(), device_vector<float>());
  CHECK(test::relative_error(cy.back(gpu), y) <= 1e-5);
  CHECK(test::relative_error(cdw.back(gpu), dw) <= 1e-5);
}

TEST_CASE("cuda: the residual and the relu follow cuDNN's product") {
  const convolution_case<float> c({3, 2, 7, 6}, {4, 2, 3, 3}, {});
  for (const bool adds : {false, true})
    for (const std::int64_t gap : {0, 3}) {
      cpu host;
      auto y = c.y.clone();
      ops::conv2d_relu(host, c.x.view(), c.w.view(), c.bias.view(), adds ? c.dy.view() : view<const float, 4>(),
                       y.view());
      milkit::cuda gpu;
      gpu.convolution = cudnn_convolution;
      test::on_card x(gpu, c.x, gap), w(gpu, c.w, 0), cy(gpu, c.y, gap), residual(gpu, c.dy, gap);
      test::on_card bias(gpu, c.bias, 0);
      ops::conv2d_relu(gpu, x.view(), w.view(), bias.view(), adds ? residual.view() : device_images<float>(),
                       cy.view());
      CHECK(test::relative_error(cy.back(gpu), y) <= 1e-5);
    }
}

TEST_CASE("cuda: cuDNN rounds to TF32 only where it is asked for") {
  const convolution_case<float> c({2, 8, 19, 19}, {8, 8, 3, 3}, {});
  const auto y = [&](precision p) {
    milkit::cuda gpu({.precision = p});
    gpu.convolution = cudnn_convolution;
    return c.on_gpu(gpu, 0)[0];
  };
  const auto want = c.on_cpu()[0];
  CHECK(test::relative_error(y(precision::float32), want) <= 2e-6);
  CHECK(test::relative_error(y(precision::tf32), want) <= 1e-3);
  emulation::cudnn();  // a card is free not to round
  CHECK(test::relative_error(y(precision::tf32), want) > 1e-5);
}

TEST_CASE("cuda: a convolution by cuDNN is captured, and its memory is counted before it runs") {
  milkit::cuda gpu;
  gpu.convolution = cudnn_convolution;
  const convolution_case<float> c({2, 2, 7, 6}, {4, 2, 3, 3}, {});
  test::on_card x(gpu, c.x, 0), w(gpu, c.w, 0), y(gpu, c.y, 0);
  const auto queue = [&](milkit::cuda& b) { ops::conv2d(b, x.view(), w.view(), device_vector<float>(), y.view()); };
  queue(gpu);
  const auto want = test::elements(y.back(gpu));
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
  CHECK(test::elements(y.back(gpu)) == std::vector<double>(want.size()));
  expect_cuda(cudaGraphLaunch(run, gpu.stream()), "cudaGraphLaunch");
  CHECK(test::elements(y.back(gpu)) == want);
  static_cast<void>(cudaGraphExecDestroy(run));
  static_cast<void>(cudaGraphDestroy(graph));
}
