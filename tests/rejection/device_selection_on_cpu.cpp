// expect: milkit::topk::zoom: the selection is of another memory space or number type than the rows
#include <milkit/ops/selection/zoom_cpu.hpp>
#include <milkit/topk/zoom.hpp>

using namespace milkit;
#if defined(MILKIT_REJECTION_CONTROL)
using selection = ops::selection<float, host_space>;
#else
using selection = ops::selection<float, device_space>;
#endif
auto f(cpu& cpu, selection s, matrix_view<const float> h) { return topk::zoom(cpu, s, ops::children<>{4}, h); }
