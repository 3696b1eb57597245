#pragma once

#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <exception>
#include <string>
#include <utility>

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>
#include <csignal>

#include <milkit/core/error.hpp>

namespace milkit::data::detail {

/// One end of a pipe: numbers, texts and blocks of memory, in order.
class pipe_end {
 public:
  explicit pipe_end(int descriptor) : descriptor_(descriptor) {}
  pipe_end(const pipe_end&) = delete;
  pipe_end& operator=(const pipe_end&) = delete;
  ~pipe_end() { ::close(descriptor_); }

  bool write(const void* data, std::size_t bytes) {
    const auto* from = static_cast<const char*>(data);
    while (bytes > 0) {
      const ::ssize_t put = ::write(descriptor_, from, bytes);
      if (put < 0 && errno == EINTR) continue;
      if (put <= 0) return false;
      from += put, bytes -= static_cast<std::size_t>(put);
    }
    return true;
  }
  bool write(std::int64_t number) { return write(&number, sizeof number); }
  bool write(const std::string& text) {
    return write(static_cast<std::int64_t>(text.size())) && write(text.data(), text.size());
  }

  /// Throws `broken` where the other end closes before.
  struct broken {};
  void read(void* data, std::size_t bytes) {
    auto* to = static_cast<char*>(data);
    while (bytes > 0) {
      const ::ssize_t got = ::read(descriptor_, to, bytes);
      if (got < 0 && errno == EINTR) continue;
      if (got <= 0) throw broken();
      to += got, bytes -= static_cast<std::size_t>(got);
    }
  }
  std::int64_t number() {
    std::int64_t value = 0;
    read(&value, sizeof value);
    return value;
  }
  std::string text() {
    std::string value(static_cast<std::size_t>(number()), '\0');
    read(value.data(), value.size());
    return value;
  }

 private:
  int descriptor_;
};

/// Reads a file that may make a library fail in any way: `read()` runs in a child process, `send(pipe, value)` hands
/// over what it gave, and `receive(pipe)` takes it here. An exception of the child arrives as an io_error with its text.
/// So does its end by a signal (a segmentation fault of the library), and by more processor time than `seconds`; `name`
/// is the file's, and `library` the one that reads.
template <class Read, class Send, class Receive>
auto read_apart(const std::string& name, const std::string& library, std::uint64_t seconds, Read&& read, Send&& send,
                Receive&& receive) {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) throw io_error(message(name, ": cannot be read: ", std::strerror(errno)));
  const ::pid_t child = ::fork();
  if (child < 0) {
    const int reason = errno;
    ::close(ends[0]), ::close(ends[1]);
    throw io_error(message(name, ": cannot be read: ", std::strerror(reason)));
  }
  if (child == 0) {
    ::close(ends[0]);
    pipe_end out(ends[1]);
    for (const int each : {SIGSEGV, SIGBUS, SIGABRT, SIGFPE, SIGILL, SIGPIPE, SIGXCPU}) std::signal(each, SIG_DFL);
    const ::rlimit none{0, 0}, time{seconds, seconds + 1};
    ::setrlimit(RLIMIT_CORE, &none);
    ::setrlimit(RLIMIT_CPU, &time);
    try {
      const auto value = read();
      out.write(std::int64_t{1}) && send(out, value);
    } catch (const std::exception& error) {
      out.write(std::int64_t{0}) && out.write(std::string(error.what()));
    }
    ::_exit(0);
  }
  ::close(ends[1]);
  std::string refusal;
  const auto ended = [&] {
    int status = 0;
    while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {
    }
    return status;
  };
  {
    pipe_end in(ends[0]);
    try {
      if (in.number() == 1) {
        auto value = receive(in);
        ended();
        return value;
      }
      refusal = in.text();
    } catch (const pipe_end::broken&) {
    } catch (...) {
      ::kill(child, SIGKILL);
      ended();
      throw;
    }
  }
  const int status = ended();
  if (!refusal.empty()) throw io_error(refusal.starts_with(name) ? refusal : name + ": " + refusal);
  if (WIFSIGNALED(status) && (WTERMSIG(status) == SIGXCPU || WTERMSIG(status) == SIGKILL))
    throw io_error(message(name, ": is damaged: ", library, " does not come to an end with it"));
  throw io_error(message(name, ": is damaged: ", library, " ends with signal ",
                         WIFSIGNALED(status) ? WTERMSIG(status) : 0, " when it reads it"));
}

}  // namespace milkit::data::detail
