#pragma once

#include <doctest/doctest.h>

#include <tuple>
#include <vector>

#include <milkit/core/cpu.hpp>

#include <support/close.hpp>
#include <support/emulation.hpp>
#include <support/normals.hpp>
#include <support/on_card.hpp>

namespace milkit::test {

template <class T, int Rank>
on_card<T, Rank> place_on_card(milkit::cuda& gpu, std::int64_t gap, const tensor<T, Rank>& input) {
  return on_card<T, Rank>(gpu, input, Rank > 1 ? gap : 0);
}
/// `body(gpu, views...)` with rows `gap` elements apart; what the views hold then. No lambda: nvcc 13 writes packs in them
/// that g++ 12 does not read.
template <class Body, class... Inputs>
auto run_on_card(milkit::cuda& gpu, Body& body, std::int64_t gap, const Inputs&... inputs) {
  auto arrays = std::make_tuple(place_on_card(gpu, gap, inputs)...);
  std::apply([&](auto&... each) { body(gpu, each.view()...); }, arrays);
  return std::apply([&](auto&... each) { return std::make_tuple(each.back(gpu)...); }, arrays);
}

/// `body(backend, views...)` on the CPU and on the card with the same values in all views; they must end with the same
/// values: within `tolerance` of the largest, and on the card the same bits in any order of the threads, with gaps or
/// without; but where rows lie apart the real cuBLASLt may take another kernel.
template <class Body, class... T, int... Rank>
void agree(double tolerance, Body body, const tensor<T, Rank>&... inputs) {
  cpu host{.threads = 2};
  auto expected = std::make_tuple(inputs.clone()...);
  std::apply([&](auto&... each) { body(host, each.view()...); }, expected);

  milkit::cuda gpu;
  const auto run = [&](std::int64_t gap) { return run_on_card(gpu, body, gap, inputs...); };
  const auto first = run(0);
  const auto compare = [&]<std::size_t... I>(const auto& got, const auto& want, double bound,
                                             std::index_sequence<I...>) {
    const auto check = [&](const auto& a, const auto& b, std::size_t index) {
      INFO("argument ", index);
      if (bound == 0)
        CHECK((a.size() == 0 ||
               std::memcmp(a.data(), b.data(), static_cast<std::size_t>(a.size()) * sizeof *a.data()) == 0));
      else CHECK(relative_error(a, b) <= bound);
    };
    (check(std::get<I>(got), std::get<I>(want), I), ...);
  };
  constexpr auto all = std::index_sequence_for<T...>();
  compare(first, expected, tolerance, all);
  for (const std::uint64_t seed : {1u, 5u}) {
    with_order(seed, [&] { compare(run(0), first, 0, all); });
    with_order(seed, [&] { compare(run(3), first, emulated ? tolerance * 1e-3 : tolerance, all); });
  }
}

}  // namespace milkit::test
