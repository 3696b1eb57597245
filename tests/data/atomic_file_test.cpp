#include <doctest/doctest.h>

#include <csignal>
#include <filesystem>
#include <string>

#include <sys/wait.h>
#include <unistd.h>

#include <data/corruption.hpp>
#include <data/full_disk.hpp>
#include <milkit/data/atomic_file.hpp>
#include <milkit/data/input_file.hpp>

namespace fs = std::filesystem;
namespace md = milkit::data;
using namespace milkit::test;

namespace {

long files_in(const fs::path& folder) {
  return static_cast<long>(std::distance(fs::directory_iterator(folder), fs::directory_iterator{}));
}

}  // namespace

TEST_CASE("a commit replaces the file and leaves nothing beside it") {
  const temporary_directory folder;
  const auto path = folder.path() / "a.txt";
  md::write_all(path, "old");
  md::write_all(path, "the new text");
  CHECK(md::read_all(path) == "the new text");
  CHECK(files_in(folder.path()) == 1);
}

TEST_CASE("without a commit the old file stays") {
  const temporary_directory folder;
  const auto path = folder.path() / "a.txt";
  md::write_all(path, "old");
  {
    md::atomic_file file(path);
    file.write("half of the n");
    CHECK(files_in(folder.path()) == 2);
  }
  CHECK(md::read_all(path) == "old");
  CHECK(files_in(folder.path()) == 1);
}

TEST_CASE("a full disk leaves the old file, removes the temporary one and says so") {
  const temporary_directory folder;
  const auto path = folder.path() / "a.bin";
  md::write_all(path, "old");
  std::string text;
  {
    const full_disk limit(5000);
    text = refusal([&] { md::write_all(path, std::string(100000, 'x')); });
  }
  has(text, path.string());
  has(text, "File too large");
  CHECK(md::read_all(path) == "old");
  CHECK(files_in(folder.path()) == 1);
}

TEST_CASE("a process that is killed while it writes leaves the old file") {
  const temporary_directory folder;
  const auto path = folder.path() / "a.bin";
  md::write_all(path, "old");
  const ::pid_t child = ::fork();
  if (child == 0) {
    md::atomic_file file(path);
    file.write("new");
    ::kill(::getpid(), SIGKILL);
    ::_exit(0);
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  CHECK(WIFSIGNALED(status));
  CHECK(md::read_all(path) == "old");
  md::write_all(path, "newer");
  CHECK(md::read_all(path) == "newer");
}

TEST_CASE("a file that cannot be there is refused") {
  const temporary_directory folder;
  has(refusal([&] { md::write_all(folder.path() / "none" / "a", "x"); }), "No such file");
  has(refusal([&] { md::write_all(folder.path(), "x"); }), "not a regular file");
  has(refusal([&] { md::write_all("/dev/null", "x"); }), "/dev/null");
  has(refusal([&] { md::read_all(folder.path() / "none"); }), "No such file");
  has(refusal([&] { md::read_all(folder.path()); }), "not a regular file");
  CHECK(files_in(folder.path()) == 0);
}

TEST_CASE("a symbolic link stays one and its target is replaced") {
  const temporary_directory folder;
  md::write_all(folder.path() / "target", "old");
  fs::create_symlink("target", folder.path() / "link");
  md::write_all(folder.path() / "link", "new");
  CHECK(fs::is_symlink(folder.path() / "link"));
  CHECK(md::read_all(folder.path() / "target") == "new");
}

TEST_CASE("a read beyond the end names the file") {
  const temporary_directory folder;
  md::write_all(folder.path() / "a", "12345");
  const md::input_file file(folder.path() / "a");
  char byte[4];
  file.read(1, byte, 4);
  CHECK(std::string(byte, 4) == "2345");
  has(refusal([&] { file.read(2, byte, 4); }), (folder.path() / "a").string());
}
