#pragma once

#include <csignal>

#include <sys/resource.h>

namespace milkit::test {

/// A disk that is full for this process alone: while it lives, no file may grow beyond `bytes`.
class full_disk {
 public:
  explicit full_disk(rlim_t bytes) {
    ::getrlimit(RLIMIT_FSIZE, &before_);
    const ::rlimit now{bytes, before_.rlim_max};
    handler_ = std::signal(SIGXFSZ, SIG_IGN);
    ::setrlimit(RLIMIT_FSIZE, &now);
  }
  full_disk(const full_disk&) = delete;
  full_disk& operator=(const full_disk&) = delete;
  ~full_disk() {
    ::setrlimit(RLIMIT_FSIZE, &before_);
    std::signal(SIGXFSZ, handler_);
  }

 private:
  ::rlimit before_ = {};
  void (*handler_)(int) = nullptr;
};

}  // namespace milkit::test
