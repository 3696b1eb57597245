// expect: milkit::models::zoom_mil: the weights are of another number type than the features
#include <milkit/models/zoom_mil/zoom_mil.hpp>
#include <milkit/nn/linear.hpp>
#include <milkit/ops/bags/gate_cpu.hpp>
#include <milkit/ops/bags/segment_pool_cpu.hpp>
#include <milkit/ops/products/linear_cpu.hpp>
#include <milkit/ops/products/matmul_cpu.hpp>
#include <milkit/ops/rows/activation_cpu.hpp>
#include <milkit/ops/rows/dropout_cpu.hpp>
#include <milkit/ops/rows/fill_cpu.hpp>
#include <milkit/ops/selection/topk_cpu.hpp>
#include <milkit/ops/selection/zoom_cpu.hpp>
#include <milkit/pooling/gated_attention.hpp>
#include <milkit/topk/perturbed.hpp>

using namespace milkit;
using low = models::zoom_level<nn::linear<24, 16>, pooling::gated_attention<16, 8>, topk::perturbed>;
using high = models::zoom_level<nn::linear<24, 16>, pooling::gated_attention<16, 8>>;
using network = models::zoom_mil<nn::linear<16, 2>, low, high>;
#if defined(MILKIT_REJECTION_CONTROL)
using number = float;
#else
using number = double;
#endif
void f(cpu& cpu, vector_view<const number> weights, const pyramid<float, 2>& slide, matrix_view<float> logits) {
  network().infer(cpu, weights, slide, logits);
}
