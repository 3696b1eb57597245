#pragma once
// How much memory the process has had, as Linux tells it.

#include <cmath>
#include <cstdlib>
#include <fstream>
#include <string>

#if defined(__GLIBC__)
#include <malloc.h>
#endif

namespace example {

// A line of /proc/self/status in bytes, "VmHWM:" (the most resident memory so far) or "VmRSS:"; NaN where there is none.
inline double resident_bytes(const std::string& line) {
  std::ifstream status("/proc/self/status");
  for (std::string name; status >> name;) {
    double kibibytes = 0;
    if (name == line && status >> kibibytes) return 1024 * kibibytes;
    std::getline(status, name);
  }
  return std::nan("");
}

// Gives freed memory back and lets the most resident memory count from now on. False where the system does not allow it.
inline bool reset_resident_peak() {
#if defined(__GLIBC__)
  malloc_trim(0);
#endif
  std::ofstream clear("/proc/self/clear_refs");
  return static_cast<bool>(clear << "5" << std::flush);
}

}  // namespace example
