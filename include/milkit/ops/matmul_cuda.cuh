#pragma once

#include <cublasLt.h>

#include <array>
#include <bit>
#include <map>

#include <milkit/ops/fill_cuda.cuh>
#include <milkit/ops/matmul.hpp>

namespace milkit::ops::detail {

inline void expect_cublas(cublasStatus_t status, std::string_view call, const call_place& where = call_place::current()) {
  if (status == CUBLAS_STATUS_SUCCESS) return;
  throw cuda_error(message("milkit: ", call, " failed: ", cublasLtGetStatusName(status), ", in ", where.function, " at ", where.file,
                           ":", where.line),
                   cudaErrorUnknown);
}

/// Ends the life of what a library made.
template <class Handle, auto Destroy>
struct library_object {
  Handle handle = nullptr;
  library_object() = default;
  library_object(library_object&& other) noexcept : handle(std::exchange(other.handle, nullptr)) {}
  ~library_object() {
    if (handle) static_cast<void>(Destroy(handle));
  }
};
using matmul_descriptor = library_object<cublasLtMatmulDesc_t, cublasLtMatmulDescDestroy>;
using matrix_layout = library_object<cublasLtMatrixLayout_t, cublasLtMatrixLayoutDestroy>;
using matmul_preference = library_object<cublasLtMatmulPreference_t, cublasLtMatmulPreferenceDestroy>;

/// cuBLASLt's handle, and the way it chose for each product that it has met. It stores columns, so that c = a b is computed as
/// c^T = b^T a^T on the same memory.
class matmul_plans {
 public:
  static constexpr std::size_t workspace_bytes = std::size_t{8} << 20;

  struct plan {
    matmul_descriptor product;
    matrix_layout first, second, result;
    cublasLtMatmulAlgo_t algorithm = {};
  };

  static matmul_plans& of(cuda& backend) {
    auto& library = backend.matmul_library();
    if (!library) library = std::make_shared<matmul_plans>();
    return *static_cast<matmul_plans*>(library.get());
  }

  matmul_plans() { expect_cublas(cublasLtCreate(&handle_.handle), "cublasLtCreate"); }
  cublasLtHandle_t handle() const { return handle_.handle; }

  template <class T>
  const plan& find(milkit::precision rounding, device_matrix<const T> a, device_matrix<const T> b, device_matrix<T> c, bool transpose_a, bool transpose_b) {
    const key what{a.rows(), a.cols(), b.rows(), b.cols(), leading(a), leading(b), leading(c), alignment_of(a.data()), alignment_of(b.data()),
                   alignment_of(c.data()), std::int64_t{sizeof(T)}, static_cast<std::int64_t>(rounding), 2 * transpose_a + transpose_b};
    const auto found = plans_.find(what);
    return found != plans_.end() ? found->second : plans_.emplace(what, make<T>(rounding, a, b, c, transpose_a, transpose_b)).first->second;
  }

 private:
  using key = std::array<std::int64_t, 13>;

  template <class T>
  static std::int64_t leading(device_matrix<T> m) {
    return (std::max)({m.stride(), m.cols(), std::int64_t{1}});
  }
  /// The alignment that the library may count on: it believes 256 bytes unless told.
  static std::int64_t alignment_of(const void* data) {
    const auto address = reinterpret_cast<std::uintptr_t>(data);
    return std::int64_t{1} << (std::min)(std::countr_zero(address), 8);
  }

  template <class T>
  static void describe(matrix_layout& layout, device_matrix<T> m, cudaDataType_t type) {
    expect_cublas(cublasLtMatrixLayoutCreate(&layout.handle, type, static_cast<std::uint64_t>(m.cols()), static_cast<std::uint64_t>(m.rows()), leading(m)),
                  "cublasLtMatrixLayoutCreate");
  }

  template <class T>
  plan make(milkit::precision rounding, device_matrix<const T> a, device_matrix<const T> b, device_matrix<T> c, bool transpose_a, bool transpose_b) {
    constexpr bool single = sizeof(T) == 4;
    constexpr cudaDataType_t type = single ? CUDA_R_32F : CUDA_R_64F;
    const cublasComputeType_t compute = !single                            ? CUBLAS_COMPUTE_64F
                                        : rounding == milkit::precision::tf32 ? CUBLAS_COMPUTE_32F_FAST_TF32
                                        : rounding == milkit::precision::bf16 ? CUBLAS_COMPUTE_32F_FAST_16BF
                                                                           : CUBLAS_COMPUTE_32F;
    plan p;
    expect_cublas(cublasLtMatmulDescCreate(&p.product.handle, compute, type), "cublasLtMatmulDescCreate");
    const auto transpose = [&](cublasLtMatmulDescAttributes_t which, bool yes) {
      const cublasOperation_t op = yes ? CUBLAS_OP_T : CUBLAS_OP_N;
      expect_cublas(cublasLtMatmulDescSetAttribute(p.product.handle, which, &op, sizeof op), "cublasLtMatmulDescSetAttribute");
    };
    transpose(CUBLASLT_MATMUL_DESC_TRANSA, transpose_b);
    transpose(CUBLASLT_MATMUL_DESC_TRANSB, transpose_a);
    describe(p.first, b, type);
    describe(p.second, a, type);
    describe(p.result, c, type);

    matmul_preference preference;
    expect_cublas(cublasLtMatmulPreferenceCreate(&preference.handle), "cublasLtMatmulPreferenceCreate");
    const auto prefer = [&](cublasLtMatmulPreferenceAttributes_t which, auto value) {
      expect_cublas(cublasLtMatmulPreferenceSetAttribute(preference.handle, which, &value, sizeof value),
                    "cublasLtMatmulPreferenceSetAttribute");
    };
    prefer(CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, std::size_t{workspace_bytes});
    prefer(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, static_cast<std::uint32_t>(alignment_of(b.data())));
    prefer(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, static_cast<std::uint32_t>(alignment_of(a.data())));
    prefer(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, static_cast<std::uint32_t>(alignment_of(c.data())));
    prefer(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, static_cast<std::uint32_t>(alignment_of(c.data())));
    // Parts of a sum are added in one order, from the workspace: the same bits in every run.
    prefer(CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK,
           static_cast<std::uint32_t>(CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE | CUBLASLT_REDUCTION_SCHEME_OUTPUT_TYPE));
    cublasLtMatmulHeuristicResult_t best{};
    int count = 0;
    expect_cublas(cublasLtMatmulAlgoGetHeuristic(handle(), p.product.handle, p.first.handle, p.second.handle, p.result.handle,
                                                 p.result.handle, preference.handle, 1, &best, &count),
                  "cublasLtMatmulAlgoGetHeuristic");
    if (count == 0) expect_cublas(CUBLAS_STATUS_NOT_SUPPORTED, "cublasLtMatmulAlgoGetHeuristic");
    p.algorithm = best.algo;
    return p;
  }

  library_object<cublasLtHandle_t, cublasLtDestroy> handle_;
  std::map<key, plan> plans_;
};

template <>
struct matmul_impl<cuda> {
  static device_vector<std::byte> scratch(cuda& backend, auto&&...) {
    return backend.workspace.template allocate<std::byte>(static_cast<std::int64_t>(matmul_plans::workspace_bytes + 256));
  }

  template <class T>
  static void run(cuda& backend, device_vector<std::byte> memory, device_matrix<const T> a, device_matrix<const T> b,
                  device_matrix<T> c, const matmul_options& options) {
    if (c.size() == 0) return;
    if (a.size() == 0) {  // no terms: zeros
      if (!options.accumulate) fill_impl<cuda>::run(backend, c, T(0));
      return;
    }
    matmul_plans& plans = matmul_plans::of(backend);
    const auto& plan = plans.find(backend.precision, a, b, c, options.transpose_a, options.transpose_b);
    const T one = T(1), beta = options.accumulate ? T(1) : T(0);
    const auto address = reinterpret_cast<std::uintptr_t>(memory.data());
    expect_cublas(cublasLtMatmul(plans.handle(), plan.product.handle, &one, b.data(), plan.first.handle, a.data(), plan.second.handle,
                                 &beta, c.data(), plan.result.handle, c.data(), plan.result.handle, &plan.algorithm,
                                 memory.data() + (256 - address % 256), matmul_plans::workspace_bytes, backend.stream()),
                  "cublasLtMatmul");
  }
};

}  // namespace milkit::ops::detail
