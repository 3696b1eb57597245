#pragma once

#include <milkit/nn/sequential.hpp>

namespace milkit::nn {

namespace detail {
template <class Block, class Indices>
struct repeated;
template <class Block, std::size_t... Index>
struct repeated<Block, std::index_sequence<Index...>> {
  template <std::size_t>
  using each = Block;
  using type = sequential<each<Index>...>;
};
}  // namespace detail

/// `Count` blocks of one type one after the other, each with weights of its own: `repeat<residual<...>, 4>`. It is the
/// `sequential` of them.
template <class Block, std::size_t Count>
using repeat = typename detail::repeated<Block, std::make_index_sequence<Count>>::type;

}  // namespace milkit::nn
