#pragma once

#include <cublasLt.h>

#include <bit>
#include <compare>
#include <map>
#include <optional>

#include <milkit/ops/products/matmul.hpp>
#include <milkit/ops/rows/fill_cuda.cuh>

namespace milkit::ops::detail {

inline void expect_cublas(cublasStatus_t status, std::string_view call,
                          const call_place& where = call_place::current()) {
  if (status == CUBLAS_STATUS_SUCCESS) return;
  throw cuda_error(message("milkit: ", call, " failed: ", cublasLtGetStatusName(status), ", in ", where.function,
                           " at ", where.file, ":", where.line),
                   cudaErrorUnknown);
}

/// What cuBLASLt is told of a product. It stores columns, so that c = a b is computed as c^T = b^T a^T on the same memory: its
/// first factor is our b, and a bias runs down its columns.
struct matmul_problem {
  /// One of the three tables. The alignment of its first element, and that of its rows, decide which loads a kernel may use. At
  /// most 16 bytes are promised, the widest load of a thread: what lies behind that is where the workspace put an array by
  /// chance, and would make the choice of the kernel, and with it the bits of the sum, depend on it.
  struct table {
    std::int64_t rows = 0, cols = 0, leading = 0, alignment = 0;

    table() = default;
    template <class T>
    explicit table(device_matrix<T> m)
        : rows(m.cols()),
          cols(m.rows()),
          leading((std::max)({m.stride(), m.cols(), std::int64_t{1}})),
          alignment(alignment_of(m.data())) {}

    /// The same for all tables about as large and aligned alike. `pack` elements take 16 bytes.
    table rounded(std::int64_t pack) const {
      table about = *this;
      about.rows = three_bits(rows);
      about.cols = three_bits(cols);
      about.leading = chunk_count(three_bits(leading), pack) * pack + (leading & -leading) % pack;
      return about;
    }
    friend auto operator<=>(const table&, const table&) = default;
  };

  cudaDataType_t type = CUDA_R_32F;
  cublasComputeType_t compute = CUBLAS_COMPUTE_32F;
  bool transpose_first = false, transpose_second = false;
  std::int64_t bias_alignment = 0;  ///< 0: no bias
  table first, second, result;

  template <class T>
  matmul_problem(milkit::precision rounding, device_matrix<const T> a, device_matrix<const T> b, device_matrix<T> c,
                 const matmul_options& options, device_vector<const T> bias)
      : transpose_first(options.transpose_b), transpose_second(options.transpose_a), first(b), second(a), result(c) {
    if (!bias.absent()) bias_alignment = alignment_of(bias.data());
    if (sizeof(T) == 8) type = CUDA_R_64F, compute = CUBLAS_COMPUTE_64F;
    else if (rounding == milkit::precision::tf32) compute = CUBLAS_COMPUTE_32F_FAST_TF32;
    else if (rounding == milkit::precision::bf16) compute = CUBLAS_COMPUTE_32F_FAST_16BF;
  }

  /// The one product that chooses for all of about this size, so that bags of any number of instances share a few choices: the
  /// extents are rounded up to three leading bits, at most a quarter more.
  matmul_problem rounded() const {
    const std::int64_t pack = type == CUDA_R_64F ? 2 : 4;
    matmul_problem about = *this;
    about.first = first.rounded(pack);
    about.second = second.rounded(pack);
    about.result = result.rounded(pack);
    return about;
  }
  friend auto operator<=>(const matmul_problem&, const matmul_problem&) = default;

 private:
  static std::int64_t alignment_of(const void* data) {
    return std::int64_t{1} << (std::min)(std::countr_zero(reinterpret_cast<std::uintptr_t>(data)), 4);
  }
  static std::int64_t three_bits(std::int64_t n) {
    const int dropped = (std::max)(static_cast<int>(std::bit_width(static_cast<std::uint64_t>(n))) - 3, 0);
    return chunk_count(n, std::int64_t{1} << dropped) << dropped;
  }
};

/// cuBLASLt's descriptions of a product, on the stack: a call allocates nothing.
struct matmul_description {
  cublasLtMatmulDescOpaque_t product;
  cublasLtMatrixLayoutOpaque_t first, second, result;

  matmul_description(const matmul_problem& of, const void* bias) {
    expect_cublas(cublasLtMatmulDescInit(&product, of.compute, of.type), "cublasLtMatmulDescInit");
    set(CUBLASLT_MATMUL_DESC_TRANSA, of.transpose_first ? CUBLAS_OP_T : CUBLAS_OP_N);
    set(CUBLASLT_MATMUL_DESC_TRANSB, of.transpose_second ? CUBLAS_OP_T : CUBLAS_OP_N);
    if (of.bias_alignment > 0) {
      set(CUBLASLT_MATMUL_DESC_EPILOGUE, static_cast<std::uint32_t>(CUBLASLT_EPILOGUE_BIAS));
      set(CUBLASLT_MATMUL_DESC_BIAS_POINTER, bias);
    }
    lay_out(first, of.first, of.type);
    lay_out(second, of.second, of.type);
    lay_out(result, of.result, of.type);
  }

 private:
  template <class Value>
  void set(cublasLtMatmulDescAttributes_t which, Value value) {
    expect_cublas(cublasLtMatmulDescSetAttribute(&product, which, &value, sizeof value),
                  "cublasLtMatmulDescSetAttribute");
  }
  static void lay_out(cublasLtMatrixLayoutOpaque_t& layout, const matmul_problem::table& t, cudaDataType_t type) {
    const auto rows = static_cast<std::uint64_t>(t.rows), cols = static_cast<std::uint64_t>(t.cols);
    expect_cublas(cublasLtMatrixLayoutInit(&layout, type, rows, cols, t.leading), "cublasLtMatrixLayoutInit");
  }
};

/// cuBLASLt's handle, and the algorithms that it chose: a function of the product alone, never of those that came before.
class matmul_plans {
 public:
  /// Tensor cores of Hopper and later want 32 MiB. Products in float32 do not use them, and a training step is to fit into 64 MB
  /// beside bag and weights (pooling/bag_embedding.hpp).
  static std::size_t workspace_bytes(const cuda& backend) {
    const bool large = backend.compute_capability() >= 90 && backend.precision != milkit::precision::float32;
    return std::size_t{large ? 32u : 8u} << 20;
  }

  static matmul_plans& of(cuda& backend) {
    auto& library = backend.matmul_library();
    if (!library) library = std::make_shared<matmul_plans>();
    return *static_cast<matmul_plans*>(library.get());
  }

  matmul_plans() { expect_cublas(cublasLtCreate(&handle_), "cublasLtCreate"); }
  matmul_plans(const matmul_plans&) = delete;
  matmul_plans& operator=(const matmul_plans&) = delete;
  ~matmul_plans() { static_cast<void>(cublasLtDestroy(handle_)); }

  cublasLtHandle_t handle() const { return handle_; }

  /// The choice for the product's size and alignment, unless the library says that it does not fit: then one of its own. None
  /// where the library has no such product.
  std::optional<cublasLtMatmulAlgo_t> choose(const matmul_problem& product, matmul_description& description,
                                             std::size_t limit) {
    const key about{product.rounded(), limit};
    auto found = choices_.find(about);
    if (found == choices_.end()) found = choices_.emplace(about, ask(about.first, limit)).first;
    return found->second && fits(*found->second, description, limit) ? found->second : ask(product, limit);
  }

 private:
  using key = std::pair<matmul_problem, std::size_t>;

  bool fits(const cublasLtMatmulAlgo_t& algorithm, matmul_description& d, std::size_t limit) const {
    cublasLtMatmulHeuristicResult_t result{};
    const cublasStatus_t status =
        cublasLtMatmulAlgoCheck(handle_, &d.product, &d.first, &d.second, &d.result, &d.result, &algorithm, &result);
    return status == CUBLAS_STATUS_SUCCESS && result.workspaceSize <= limit;
  }

  std::optional<cublasLtMatmulAlgo_t> ask(const matmul_problem& product, std::size_t limit) const {
    // Of the bias the library looks at the address's alignment only.
    matmul_description description(product, reinterpret_cast<const void*>(product.bias_alignment));
    cublasLtMatmulPreferenceOpaque_t preference;
    expect_cublas(cublasLtMatmulPreferenceInit(&preference), "cublasLtMatmulPreferenceInit");
    const auto prefer = [&](cublasLtMatmulPreferenceAttributes_t which, auto value) {
      expect_cublas(cublasLtMatmulPreferenceSetAttribute(&preference, which, &value, sizeof value),
                    "cublasLtMatmulPreferenceSetAttribute");
    };
    prefer(CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, limit);
    prefer(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, static_cast<std::uint32_t>(product.first.alignment));
    prefer(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, static_cast<std::uint32_t>(product.second.alignment));
    prefer(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, static_cast<std::uint32_t>(product.result.alignment));
    prefer(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, static_cast<std::uint32_t>(product.result.alignment));
    // Parts of a sum are added in one order, from the workspace: the same bits in every run.
    prefer(CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK,
           static_cast<std::uint32_t>(CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE | CUBLASLT_REDUCTION_SCHEME_OUTPUT_TYPE));
    cublasLtMatmulHeuristicResult_t best{};
    int count = 0;
    const cublasStatus_t status =
        cublasLtMatmulAlgoGetHeuristic(handle_, &description.product, &description.first, &description.second,
                                       &description.result, &description.result, &preference, 1, &best, &count);
    if (status != CUBLAS_STATUS_NOT_SUPPORTED) expect_cublas(status, "cublasLtMatmulAlgoGetHeuristic");
    if (count == 0 || best.state != CUBLAS_STATUS_SUCCESS) return std::nullopt;
    return best.algo;
  }

  cublasLtHandle_t handle_ = nullptr;
  std::map<key, std::optional<cublasLtMatmulAlgo_t>> choices_;
};

/// Products by cuBLASLt, with a bias in the same pass (float32; it has none for double). No activation there: its ReLU is
/// max(x, 0), which may make 0 of NaN, and its GELU is the approximation by tanh, which are not our functions
/// (ops/rows/activation.hpp); they stay passes of their own.
template <>
struct matmul_impl<cuda> {
  static device_vector<std::byte> scratch(cuda& backend, auto&&...) {
    return backend.workspace.template allocate<std::byte>(
        static_cast<std::int64_t>(matmul_plans::workspace_bytes(backend) + 256));
  }

  /// With a bias, c = op(a) op(b) + bias in every row, if it can: false where the bias is still to be added.
  template <class T>
  static bool run(cuda& backend, device_vector<std::byte> memory, device_matrix<const T> a, device_matrix<const T> b,
                  device_matrix<T> c, const matmul_options& options, device_vector<const T> bias = {}) {
    if (c.size() == 0) return false;
    if (a.size() == 0) {  // no terms: zeros
      if (!options.accumulate) fill_impl<cuda>::run(backend, c, T(0));
      return false;
    }
    backend.activate();
    matmul_plans& plans = matmul_plans::of(backend);
    const std::size_t limit = matmul_plans::workspace_bytes(backend);
    const matmul_problem product(backend.precision, a, b, c, options, bias);
    matmul_description description(product, bias.data());
    const auto algorithm = plans.choose(product, description, limit);
    if (!algorithm && !bias.absent()) return run(backend, memory, a, b, c, options);
    if (!algorithm) expect_cublas(CUBLAS_STATUS_NOT_SUPPORTED, "cublasLtMatmulAlgoGetHeuristic");
    const T one = T(1), beta = options.accumulate ? T(1) : T(0);
    const auto address = reinterpret_cast<std::uintptr_t>(memory.data());
    expect_cublas(
        cublasLtMatmul(plans.handle(), &description.product, &one, b.data(), &description.first, a.data(),
                       &description.second, &beta, c.data(), &description.result, c.data(), &description.result,
                       &*algorithm, memory.data() + (256 - address % 256), limit, backend.stream()),
        "cublasLtMatmul");
    return !bias.absent();
  }
};

}  // namespace milkit::ops::detail
