#pragma once

#include <doctest/doctest.h>

#include <milkit/ops/products/matmul_cpu.hpp>

#include <reference/matmul.hpp>
#include <support/gradient_check.hpp>
#include <support/unoptimised.hpp>

MILKIT_UNOPTIMISED_BEGIN

namespace milkit::test {

/// `ops::matmul` by a library agrees with the oracle: odd sizes, transposes, accumulation.
template <class T>
void gemm_agrees(const gemm_library& gemm) {
  cpu backend{.threads = 2, .gemm = gemm};
  struct sizes {
    std::int64_t m, n, k;
  };
  for (const auto& [m, n, k] :
       {sizes{0, 3, 4}, sizes{3, 4, 0}, sizes{1, 1, 1}, sizes{31, 33, 2}, sizes{2, 33, 257}, sizes{300, 31, 33}})
    for (const bool transpose_a : {false, true})
      for (const bool transpose_b : {false, true})
        for (const bool accumulate : {false, true}) {
          const auto a = normals<T>(transpose_a ? shape<2>{k, m} : shape<2>{m, k}, 1);
          const auto b = normals<T>(transpose_b ? shape<2>{n, k} : shape<2>{k, n}, 2);
          auto c = normals<T>(shape<2>{m, n}, 3);
          const auto want = reference::matmul(elements(a), elements(b), elements(c), static_cast<std::size_t>(m),
                                              static_cast<std::size_t>(n), static_cast<std::size_t>(k), transpose_a,
                                              transpose_b, accumulate);
          if (!accumulate) std::fill_n(c.data(), c.size(), std::numeric_limits<T>::quiet_NaN());
          ops::matmul(backend, a.view(), b.view(), c.view(), {transpose_a, transpose_b, accumulate});
          const std::string example = message(m, " ", n, " ", k, " ", transpose_a, " ", transpose_b, " ", accumulate);
          CAPTURE(example);
          CHECK(relative_error(c, want) <= (sizeof(T) == 8 ? 1e-13 : 2e-6));
        }
}

}  // namespace milkit::test

MILKIT_UNOPTIMISED_END
