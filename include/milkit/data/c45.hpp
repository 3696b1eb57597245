#pragma once

#include <filesystem>

#include <milkit/core/macros.hpp>
#include <milkit/data/bag_columns.hpp>

namespace milkit::data {

/// Reads bags in the C4.5 layout of UCI Musk: lines `molecule,conformation,f1,...,fD,class.`, where the molecule is the
/// bag and every line carries its class. Lines of a bag that disagree on the class, a ragged line, text for a number,
/// NaN or infinity: io_error with file, line and column.
MILKIT_INLINE bag_table read_c45(const std::filesystem::path& path);

}  // namespace milkit::data

#if !defined(MILKIT_COMPILED)
#include <milkit/data/c45.ipp>
#endif
