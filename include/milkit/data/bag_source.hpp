#pragma once

#include <filesystem>
#include <memory>

#include <milkit/core/parallel_for.hpp>
#include <milkit/data/safetensors.hpp>

namespace milkit::data {

/// The instances [n, d] of a bag as they lie in a safetensors file, read chunk by chunk: an `instance_source` for bags
/// that are larger than memory. Several threads may read at once; each chunk lies in the reading backend's memory.
/// Cheap to copy. Errors: io_error for a file or tensor that is not there or not [n, d].
template <storable T = float>
class safetensors_source {
 public:
  using value_type = T;
  static constexpr int rank = 2;

  safetensors_source(const std::filesystem::path& file, const std::string& tensor, conversion how = conversion::exact)
      : rows_(std::make_shared<safetensors_rows<T>>(safetensors_reader(file).template rows<T>(tensor, how))) {}

  milkit::shape<2> shape() const { return {rows_->rows(), rows_->cols()}; }

  template <class Backend>
  matrix_view<const T, typename Backend::space> read(Backend& backend, row_range rows) const {
    auto& memory = is_cpu<Backend> ? backend.kept_memory() : backend.workspace;
    const matrix_view<T> chunk(memory.template allocate_on_host<T>(rows.count * rows_->cols()).data(),
                               {rows.count, rows_->cols()});
    if (!backend.workspace.planning()) rows_->read(rows.first, chunk);
    return resident(backend, matrix_view<const T>(chunk));
  }

 private:
  std::shared_ptr<const safetensors_rows<T>> rows_;
};

}  // namespace milkit::data
