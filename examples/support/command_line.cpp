#include "command_line.hpp"

#include <cstdio>
#include <iostream>

#include <CLI/CLI.hpp>

namespace example {

command_line::command_line(const std::string& description) : app_(std::make_unique<CLI::App>(description)) {
  app_->option_defaults()->always_capture_default();
}
command_line::~command_line() = default;

void command_line::files(const std::string& name, std::vector<std::string>& values, const std::string& help) {
  app_->add_option(name, values, help)->required()->check(CLI::ExistingPath);
}
void command_line::folder(const std::string& name, std::filesystem::path& value, const std::string& help) {
  app_->add_option(name, value, help)->required()->check(CLI::ExistingDirectory);
}
void command_line::new_folder(const std::string& name, std::filesystem::path& value, const std::string& help) {
  app_->add_option(name, value, help)->required();
}
void command_line::places(const std::string& name, std::vector<std::string>& values, const std::string& help) {
  app_->add_option(name, values, help)->check(CLI::ExistingPath);
}
void command_line::place(const std::string& name, std::string& value, const std::string& help) {
  app_->add_option(name, value, help)->required()->check(CLI::ExistingPath);
}
void command_line::option(const std::string& name, std::string& value, const std::string& help,
                          const std::vector<std::string>& choices) {
  CLI::Option* added = app_->add_option(name, value, help);
  if (!choices.empty()) added->check(CLI::IsMember(choices));
}
void command_line::option(const std::string& name, std::filesystem::path& value, const std::string& help) {
  app_->add_option(name, value, help);
}
void command_line::option(const std::string& name, std::int64_t& value, const std::string& help, std::int64_t least) {
  app_->add_option(name, value, help)->check(CLI::Range(least, (std::numeric_limits<std::int64_t>::max)()));
}
void command_line::option(const std::string& name, std::uint64_t& value, const std::string& help) {
  app_->add_option(name, value, help);
}
void command_line::option(const std::string& name, std::vector<std::string>& values, const std::string& help,
                          const std::vector<std::string>& choices) {
  app_->add_option(name, values, help)->delimiter(',')->check(CLI::IsMember(choices));
}
void command_line::option(const std::string& name, std::vector<std::int64_t>& values, const std::string& help) {
  app_->add_option(name, values, help)->delimiter(',')->check(CLI::PositiveNumber);
}
void command_line::option(const std::string& name, std::vector<double>& values, const std::string& help) {
  app_->add_option(name, values, help)->delimiter(',')->check(CLI::PositiveNumber);
}
void command_line::option(const std::string& name, int& value, const std::string& help) {
  app_->add_option(name, value, help)->check(CLI::NonNegativeNumber);
}
void command_line::option(const std::string& name, double& value, const std::string& help, double least, double below) {
  const bool bounded = below < std::numeric_limits<double>::infinity();
  const std::string range =
      milkit::message("at least ", least, bounded ? milkit::message(" and below ", below) : std::string());
  app_->add_option(name, value, help)
      ->check(CLI::Validator(
          [=](const std::string& text) {
            const double given = std::strtod(text.c_str(), nullptr);
            return given >= least && given < below ? "" : text + " is not " + range;  // NaN is not
          },
          range, ""));
}
void command_line::flag(const std::string& name, bool& value, const std::string& help) {
  app_->add_flag(name, value, help);
}

void command_line::option(device& where) {
  option("--device", where.name, "where it trains", {"cpu", "cuda"});
  option("--threads", where.threads, "threads of the CPU; 0: one a core");
}

std::optional<int> command_line::parse(int argc, char** argv) {
  try {
    app_->parse(argc, argv);
  } catch (const CLI::ParseError& e) {
    return app_->exit(e) == 0 ? 0 : 2;
  }
  return std::nullopt;
}

int run(const char* program, command_line& line, int argc, char** argv, const std::function<int()>& body) {
  if (const auto stop = line.parse(argc, argv)) return *stop;
  try {
    const int code = body();
    if (!std::cout.flush() || std::fflush(stdout) != 0 || std::ferror(stdout) != 0)
      throw milkit::io_error("what it says cannot be written: is the disk full?");
    return code;
  } catch (const std::exception& e) {
    std::cerr << program << ": " << e.what() << "\n";
    return 1;
  }
}

}  // namespace example
