#pragma once
// A command line for the examples: CLI11 behind non-template functions, so that each example compiles in a fraction of
// the time.

#include <cstdint>
#include <filesystem>
#include <functional>
#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "device.hpp"

namespace CLI {
class App;
}

namespace example {

class command_line {
 public:
  explicit command_line(const std::string& description);
  ~command_line();

  // Required positional arguments.
  void files(const std::string& name, std::vector<std::string>& values, const std::string& help);
  void folder(const std::string& name, std::filesystem::path& value, const std::string& help);
  // Options of several values, after one another.
  void places(const std::string& name, std::vector<std::string>& values, const std::string& help);
  void option(const std::string& name, std::vector<std::string>& values, const std::string& help,
              const std::vector<std::string>& choices);
  void new_folder(const std::string& name, std::filesystem::path& value, const std::string& help);
  void place(const std::string& name, std::string& value, const std::string& help);  // a file or a folder
  // Options; what the variable holds is the default, and shown in --help.
  void option(const std::string& name, std::string& value, const std::string& help,
              const std::vector<std::string>& choices = {});
  void option(const std::string& name, std::filesystem::path& value, const std::string& help);
  void option(const std::string& name, std::int64_t& value, const std::string& help, std::int64_t least = 0);
  void option(const std::string& name, std::uint64_t& value, const std::string& help);
  // Several, after one another or between commas.
  void option(const std::string& name, std::vector<std::int64_t>& values, const std::string& help);
  void option(const std::string& name, std::vector<double>& values, const std::string& help);
  void option(const std::string& name, int& value, const std::string& help);
  // At least `least` and below `below`.
  void option(const std::string& name, double& value, const std::string& help, double least = 0,
              double below = std::numeric_limits<double>::infinity());
  void flag(const std::string& name, bool& value, const std::string& help);
  // --device and --threads.
  void option(device& where);

  // The exit code with which to stop: 0 after --help, 2 for wrong usage (the reason is on stderr); nothing to go on.
  std::optional<int> parse(int argc, char** argv);

 private:
  std::unique_ptr<CLI::App> app_;
};

// Runs a program's body: parses first, and turns an exception into a sentence on stderr and exit code 1.
int run(const char* program, command_line& line, int argc, char** argv, const std::function<int()>& body);

}  // namespace example
