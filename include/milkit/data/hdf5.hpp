#pragma once

#include <charconv>
#include <cmath>
#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include <milkit/core/macros.hpp>
#include <milkit/data/apart.hpp>
#include <milkit/data/feature_pyramid.hpp>
#include <milkit/data/h5_reader.hpp>
#include <milkit/data/h5_writer.hpp>

namespace milkit::data {

namespace detail {

/// The number in "2.5x", or a negative one.
MILKIT_INLINE double magnification_in(std::string_view name);

/// What cannot be features, in words; empty where a level can be.
MILKIT_INLINE std::string fault_of_level(const feature_level& level, std::int64_t below, bool lowest);
MILKIT_INLINE void expect_level(const std::string& file, const feature_level& level, std::int64_t below, bool lowest);

/// The features and coordinates of a level; the extents of both are compared before either is read.
MILKIT_INLINE feature_level read_level(const h5_reader& file, const std::string& features,
                                       const std::string& coordinates);

/// As the official code of ZoomMIL writes it: "<magnification>x_patches" and "<magnification>x_coords", the tiles of a
/// parent one after the other.
MILKIT_INLINE feature_pyramid read_official(const h5_reader& file);

/// As `write_features` does.
MILKIT_INLINE feature_pyramid read_own(const h5_reader& file, const std::map<std::string, std::string>& expected);

MILKIT_INLINE feature_pyramid read_h5_features(const std::filesystem::path& path,
                                               const std::map<std::string, std::string>& expected);

/// The same through a pipe.
MILKIT_INLINE bool send_features(pipe_end& to, const feature_pyramid& made);
MILKIT_INLINE feature_pyramid receive_features(pipe_end& from);

}  // namespace detail

/// Writes features as an HDF5 file, atomically (`atomic_file`): for each level a group "level1", "level2", ... with the
/// data sets `features` (float32), `coordinates` and (above the lowest) `parents` (int64) and the attribute `name`; the
/// provenance as text attributes of the root. Data sets have checksums, and behind the HDF5 file stands a digest of it
/// all. The file is built in memory: it takes its size once more. Errors: io_error that names the file, also for a value
/// that is not finite; shape and value errors of the levels likewise.
MILKIT_INLINE void write_features(const std::filesystem::path& path, const feature_pyramid& slide);

/// Reads what `write_features` wrote, or a file of the public code of ZoomMIL, whose parents follow from the order of its
/// tiles. What `expected` names must be in the provenance with this value ({{"encoder", "resnet50"}, {"tile_size",
/// "256"}}); a file of the public code has none, and is taken at its word. A file without the right digest of
/// `write_features` is read in a child process: HDF5 may crash on one wrong byte. Errors: io_error that names the file
/// and what is wrong, both values where the provenance is another; numbers that are not finite, and coordinates that are
/// not whole, are wrong.
MILKIT_INLINE feature_pyramid read_features(const std::filesystem::path& path,
                                            const std::map<std::string, std::string>& expected = {});

}  // namespace milkit::data

#if !defined(MILKIT_COMPILED)
#include <milkit/data/hdf5.ipp>
#endif
