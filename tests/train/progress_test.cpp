#include <doctest/doctest.h>

#include <sstream>

#include <milkit/train/progress.hpp>

using namespace milkit;

namespace {

/// A stream and a clock that a test sets.
struct scene {
  std::ostringstream out;
  double now = 100;
  train::progress_options options(bool terminal) {
    train::progress_options made;
    made.out = &out;
    made.terminal = terminal;
    made.seconds = [this] { return now; };
    return made;
  }
  std::string text() const { return out.str(); }
  std::ptrdiff_t count(char c) const {
    const std::string all = text();
    return std::count(all.begin(), all.end(), c);
  }
};

}  // namespace

TEST_CASE("progress says nothing unless it is asked to") {
  train::progress_options options;
  bool asked = false;
  options.seconds = [&] { return asked = true, 0.0; };
  train::progress silent("fold 1", 3, options);
  for (int i = 0; i <= 3; ++i) silent.update(i, {{"loss", 0.5}});
  CHECK_FALSE(asked);
}

TEST_CASE("progress: no terminal -> plain lines at a bounded rate, and always the last") {
  scene s;
  train::progress progress("fold 1", 1000, s.options(false));
  for (int i = 1; i <= 1000; ++i) {
    s.now += 0.1;  // 100 s in all, a line each 10 s
    progress.update(i, {{"loss", 0.43121}, {"auc", 1}});
  }
  CHECK(s.count('\n') >= 10);
  CHECK(s.count('\n') <= 12);
  CHECK(s.count('\r') == 0);
  CHECK(s.count('\x1b') == 0);
  CHECK(s.text().find("fold 1   0 %  1/1000  ETA 1:40  loss 0.4312  auc 1\n") == 0);
  CHECK(s.text().find("fold 1 100 %  1000/1000  took 1:40  loss 0.4312  auc 1\n") != std::string::npos);
  const auto length = s.text().size();
  progress.update(1000);  // the last line is written once
  CHECK(s.text().size() == length);
}

TEST_CASE("progress: a terminal -> one line redrawn in place with a bar") {
  scene s;
  train::progress progress("epoch", 4, s.options(true));
  progress.update(1);
  s.now += 0.05;
  progress.update(2);  // too soon
  s.now += 7.95;
  progress.update(3);
  progress.update(4);
  CHECK(s.text() ==
        "\repoch [######------------------]  25 %  1/4  ETA 0:00\x1b[K"
        "\repoch [##################------]  75 %  3/4  ETA 0:03\x1b[K"
        "\repoch [########################] 100 %  4/4  took 0:08\x1b[K\n");
}

TEST_CASE("a bar that is left unfinished ends its line") {
  scene s;
  { train::progress("epoch", 4, s.options(true)).update(1); }
  CHECK(s.text().back() == '\n');
}

TEST_CASE("steps from before a resume do not enter the ETA") {
  scene s;
  auto options = s.options(false);
  options.already_done = 90;
  train::progress progress("epoch", 100, options);
  progress.update(90);
  s.now += 20;
  progress.update(92);
  CHECK(s.text() == "epoch  90 %  90/100  ETA ?\nepoch  92 %  92/100  ETA 1:20\n");
}

TEST_CASE("progress of nothing is finished at once; a total below 0 is refused") {
  scene s;
  train::progress progress("epoch", 0, s.options(true));
  progress.update(0);
  CHECK(s.text().find("100 %  0/0") != std::string::npos);
  CHECK_THROWS_AS(train::progress("epoch", -1), value_error);
}

TEST_CASE("duration_text: seconds -> m:ss or h:mm:ss; below 0 or NaN -> ?") {
  CHECK(train::duration_text(0.4) == "0:00");
  CHECK(train::duration_text(42) == "0:42");
  CHECK(train::duration_text(725) == "12:05");
  CHECK(train::duration_text(3599.6) == "1:00:00");
  CHECK(train::duration_text(3 * 3600 + 7 * 60 + 9) == "3:07:09");
  CHECK(train::duration_text(-1) == "?");
  CHECK(train::duration_text(std::nan("")) == "?");
}
