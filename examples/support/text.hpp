#pragma once
// Numbers as text.

#include <cstdio>
#include <string>

namespace example {

// A number by a format of printf: text("%.3f", auc).
inline std::string text(const char* format, double value) {
  char buffer[64];
  std::snprintf(buffer, sizeof buffer, format, value);
  return buffer;
}

}  // namespace example
