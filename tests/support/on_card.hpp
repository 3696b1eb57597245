#pragma once

#include <milkit/core/cuda.cuh>

namespace milkit::test {

/// A tensor on the card whose rows lie `gap` elements apart, with all other elements NaN or nonsense.
template <class T, int Rank>
class on_card {
 public:
  on_card(milkit::cuda& gpu, const tensor<T, Rank>& host, std::int64_t gap)
      : shape_(host.shape()), memory_({host.size() == 0 ? 0 : shape_[0], shape_.row_size() + gap}) {
    if (memory_.size() > 0) copy(gpu, host.view(), view());
  }
  milkit::view<T, Rank, device_space> view() { return {memory_.data(), shape_, memory_.extent(1)}; }
  tensor<T, Rank> back(milkit::cuda& gpu) {
    tensor<T, Rank> host(shape_);
    copy(gpu, milkit::view<const T, Rank, device_space>(view()), host.view());
    return host;
  }

 private:
  shape<Rank> shape_;
  device_tensor<T, 2> memory_;
};

}  // namespace milkit::test
