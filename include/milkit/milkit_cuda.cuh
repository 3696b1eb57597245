#pragma once
/// Everything for `milkit::cuda`: include it from a .cu file, beside or instead of milkit.hpp.

#include <milkit/core/to_backend.cuh>
#include <milkit/models/bag_classifier.hpp>
#include <milkit/ops/activation_cuda.cuh>
#include <milkit/ops/conv2d_cuda.cuh>
#include <milkit/ops/cross_entropy_cuda.cuh>
#include <milkit/ops/dropout_cuda.cuh>
#include <milkit/ops/fill_cuda.cuh>
#include <milkit/ops/gate_cuda.cuh>
#include <milkit/ops/layer_norm_cuda.cuh>
#include <milkit/ops/linear_cuda.cuh>
#include <milkit/ops/matmul_cuda.cuh>
#include <milkit/ops/normalise_colours_cuda.cuh>
#include <milkit/ops/optimizer_step_cuda.cuh>
#include <milkit/ops/pool2d_cuda.cuh>
#include <milkit/ops/reduce_cuda.cuh>
#include <milkit/ops/segment_pool_cuda.cuh>
#include <milkit/ops/softmax_cuda.cuh>
#include <milkit/ops/topk_cuda.cuh>
#include <milkit/ops/zoom_cuda.cuh>
#include <milkit/topk/hard.hpp>
#include <milkit/topk/perturbed.hpp>
#include <milkit/topk/random.hpp>
#include <milkit/topk/straight_through.hpp>
#include <milkit/topk/zoom.hpp>
#include <milkit/topk/zoom_chain.hpp>
