#pragma once
/// The version of the library, and the only place that knows it: CMake reads these three lines.
#define MILKIT_VERSION_MAJOR 0
#define MILKIT_VERSION_MINOR 1
#define MILKIT_VERSION_PATCH 0
