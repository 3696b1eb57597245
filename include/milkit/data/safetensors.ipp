#pragma once

#include <milkit/data/safetensors.hpp>

namespace milkit::data {

MILKIT_INLINE safetensors_reader::safetensors_reader(const std::filesystem::path& path)
    : file_(std::make_shared<const input_file>(path)) {
  if (file_->size() < 8)
    throw io_error(message(name(), ": has ", file_->size(), " bytes, expected a safetensors file"));
  std::uint64_t length = 0;
  file_->read(0, &length, 8);
  const auto limit = static_cast<std::uint64_t>((std::min)(file_->size() - 8, max_header_bytes));
  if (length > limit)
    throw io_error(
        message(name(), ": the safetensors header says that it has ", length, " bytes, expected at most ", limit));
  std::string text(static_cast<std::size_t>(length), '\0');
  file_->read(8, text.data(), static_cast<std::int64_t>(length));
  header_ = detail::safetensors_parser(name(), text).parse();
  data_start_ = 8 + static_cast<std::int64_t>(length);
  detail::check_layout(name(), header_, file_->size() - data_start_);
}

MILKIT_INLINE std::vector<std::string> safetensors_reader::names() const {
  std::vector<std::string> all;
  for (const auto& each : header_.tensors) all.push_back(each.name);
  return all;
}

MILKIT_INLINE const tensor_info& safetensors_reader::info(const std::string& tensor) const {
  const auto found = header_.index.find(tensor);
  if (found == header_.index.end())
    throw io_error(message(name(), ": has no tensor '", tensor, "' among its ", header_.tensors.size()));
  return header_.tensors[found->second];
}

MILKIT_INLINE void safetensors_writer::add_bytes(const std::string& name, dtype type,
                                                 const std::vector<std::int64_t>& shape, const void* data) {
  std::int64_t bytes = traits_of(type).bytes;
  for (const std::int64_t extent : shape) {
    expect_value(extent >= 0, "milkit::data::safetensors_writer", "tensor '", name, "' has the shape ",
                 to_string(shape));
    bytes *= extent;
  }
  add_rows(name, type, shape, data, 1, bytes, bytes);
}

MILKIT_INLINE void safetensors_writer::write(const std::filesystem::path& path) const {
  std::vector<const entry*> order;
  for (const auto& each : entries_) order.push_back(&each);
  std::stable_sort(order.begin(), order.end(), [](const entry* a, const entry* b) {
    return traits_of(a->info.type).bytes > traits_of(b->info.type).bytes;
  });
  std::string header = "{";
  if (!metadata_.empty()) {
    header += "\"__metadata__\":{";
    for (const auto& [key, value] : metadata_) header += quoted(key) + ":" + quoted(value) + ",";
    header.back() = '}';
    header += ',';
  }
  std::int64_t offset = 0;
  for (const auto* each : order) {
    header += message(quoted(each->info.name), ":{\"dtype\":\"", traits_of(each->info.type).name,
                      "\",\"shape\":", to_string(each->info.shape),
                      ",\"data_offsets\":", to_string({offset, offset + each->info.bytes}), "},");
    offset += each->info.bytes;
  }
  if (header.size() > 1) header.pop_back();
  header += '}';
  header.append((alignment - (8 + header.size()) % alignment) % alignment, ' ');
  const std::uint64_t length = header.size();
  atomic_file file(path);
  file.write(&length, 8);
  file.write(header);
  for (const auto* each : order)
    for (std::int64_t i = 0; i < each->rows; ++i)
      file.write(each->data + i * each->stride_bytes, static_cast<std::size_t>(each->row_bytes));
  file.commit();
}

MILKIT_INLINE void safetensors_writer::add_rows(const std::string& name, dtype type, std::vector<std::int64_t> shape,
                                                const void* data, std::int64_t rows, std::int64_t row_bytes,
                                                std::int64_t stride_bytes) {
  expect_value(name != "__metadata__", "milkit::data::safetensors_writer", "a tensor cannot be named __metadata__");
  for (const auto& each : entries_)
    expect_value(each.info.name != name, "milkit::data::safetensors_writer", "tensor '", name, "' was added before");
  tensor_info info{name, type, std::move(shape), 0, rows * row_bytes};
  if (stride_bytes == row_bytes) {
    row_bytes *= rows;
    rows = 1;
  }
  entries_.push_back({std::move(info), static_cast<const char*>(data), rows, row_bytes, stride_bytes});
}

MILKIT_INLINE std::string safetensors_writer::quoted(const std::string& text) {
  constexpr char hex[] = "0123456789abcdef";
  std::string out = "\"";
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') out += std::string("\\") + c;
    else if (byte < 0x20) out += std::string("\\u00") + hex[byte >> 4] + hex[byte & 15];
    else out += c;
  }
  return out + "\"";
}

}  // namespace milkit::data
