#pragma once
/// The threads of one block at a time, as fibres that run until they wait for each other. Which one runs next is the program's
/// to choose: MILKIT_EMULATION_ORDER=seed (or `order_seed()`) shuffles it anew at every barrier, so that a kernel that forgets
/// one gives another result; 0 runs them in ascending order.

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <exception>
#include <functional>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "fibre.hpp"

struct uint3 {
  unsigned x, y, z;
};
struct dim3 {
  unsigned x = 1, y = 1, z = 1;
  constexpr dim3(unsigned x_ = 1, unsigned y_ = 1, unsigned z_ = 1) : x(x_), y(y_), z(z_) {}
  constexpr operator uint3() const { return {x, y, z}; }
};

inline uint3 threadIdx{}, blockIdx{};
inline dim3 blockDim{}, gridDim{};
inline constexpr int warpSize = 32;

namespace emulation {

/// What a real card would meet with a hang, a crash or a wrong result.
struct fault : std::logic_error {
  using std::logic_error::logic_error;
};

/// Where a kernel calls something; clang 14 has no std::source_location.
struct place {
  const char* file = "";
  int line = 0;
  static place current(const char* file_ = __builtin_FILE(), int line_ = __builtin_LINE()) { return {file_, line_}; }
};
inline std::string text_of(const place& p) { return std::string(p.file) + ":" + std::to_string(p.line); }
inline bool same(const place& a, const place& b) { return a.line == b.line && std::string_view(a.file) == b.file; }

inline std::uint64_t& order_seed() {
  static std::uint64_t seed = [] {
    const char* said = std::getenv("MILKIT_EMULATION_ORDER");
    return said ? std::strtoull(said, nullptr, 10) : 0;
  }();
  return seed;
}

/// A permutation of 0 .. count - 1: ascending for seed 0, descending for 1, random for others.
class shuffler {
 public:
  void restart() { state_ = order_seed() * 0x9E3779B97F4A7C15u; }
  template <class T>
  void operator()(std::vector<T>& all) {
    if (order_seed() == 1) std::reverse(all.begin(), all.end());
    if (order_seed() <= 1) return;
    for (std::size_t i = all.size(); i > 1; --i) {
      state_ = state_ * 6364136223846793005u + 1442695040888963407u;
      std::swap(all[i - 1], all[static_cast<std::size_t>((state_ >> 33) % i)]);
    }
  }

 private:
  std::uint64_t state_ = 0;
};

class block_runner {
 public:
  enum class state { unstarted, ready, at_barrier, at_warp, done };
  struct thread {
    uint3 index;
    unsigned number, lane, warp;
    state is = state::unstarted;
    place where;
    unsigned mask = 0;
    void* value = nullptr;  ///< what a warp's exchange takes from this lane and gives it
    fibre* own = nullptr;
  };

  static block_runner*& running() {
    static block_runner* runner = nullptr;
    return runner;
  }
  static block_runner& here(const char* what) {
    if (!running()) throw fault(std::string(what) + " outside a kernel");
    return *running();
  }

  /// Runs every block of a grid, one after the other.
  void run(const std::string& name, dim3 grid, dim3 block, const std::function<void()>& body) {
    if (running()) throw fault(name + ": launched inside a kernel");
    name_ = name;
    body_ = &body;
    gridDim = grid;
    blockDim = block;
    shuffle_.restart();
    std::vector<std::uint64_t> blocks(std::size_t{grid.x} * grid.y * grid.z);
    for (std::size_t i = 0; i < blocks.size(); ++i) blocks[i] = i;
    shuffle_(blocks);
    running() = this;
    fibre main;
    main_ = &main;
    for (const std::uint64_t b : blocks) {
      blockIdx = {static_cast<unsigned>(b % grid.x), static_cast<unsigned>(b / grid.x % grid.y),
                  static_cast<unsigned>(b / grid.x / grid.y)};
      run_block();
      if (failure_) break;
    }
    running() = nullptr;
    if (failure_) {
      idle_.clear();
      fibres_.clear();  // they stopped in the middle
      std::rethrow_exception(std::exchange(failure_, nullptr));
    }
  }

  thread& current() { return *current_; }

  void barrier(const place& where) {
    current_->where = where;
    wait(state::at_barrier);
  }

  /// The threads of `mask` meet; the last to come calls `exchange(lanes)`, with null for the lanes that are not in the mask.
  template <class Value, class Exchange>
  void meet(unsigned mask, const place& where, Value& value, Exchange&& exchange) {
    thread& self = *current_;
    if (!(mask >> self.lane & 1u))
      throw fault(describe(self) + " is not in the mask of its warp operation at " + text_of(where));
    self.where = where;
    self.mask = mask;
    self.value = &value;
    Value* lanes[32] = {};
    for (unsigned lane = 0; lane < 32; ++lane) {
      if (!(mask >> lane & 1u)) continue;
      const std::size_t i = std::size_t{self.warp} * 32 + lane;
      if (i >= threads_.size())
        throw fault(describe(self) + ": the mask of the warp operation at " + text_of(where) + " names lane " +
                    std::to_string(lane) + ", which the block does not have");
      thread& other = threads_[i];
      if (lane != self.lane && (other.is != state::at_warp || other.mask != mask || !same(other.where, where))) {
        wait(state::at_warp);
        return;
      }
      lanes[lane] = static_cast<Value*>(other.value);
    }
    std::vector<thread*> released;
    for (unsigned lane = 0; lane < 32; ++lane)
      if (lanes[lane] && lane != self.lane) released.push_back(&threads_[std::size_t{self.warp} * 32 + lane]);
    exchange(lanes);
    shuffle_(released);
    for (thread* each : released) make_ready(*each);
  }

  std::string describe(const thread& t) const {
    const auto triple = [](uint3 v) {
      return "(" + std::to_string(v.x) + ", " + std::to_string(v.y) + ", " + std::to_string(v.z) + ")";
    };
    return name_ + ": thread " + triple(t.index) + " of block " + triple(blockIdx);
  }

 private:
  void run_block() {
    const std::size_t count = std::size_t{blockDim.x} * blockDim.y * blockDim.z;
    threads_.assign(count, {});
    starting_.resize(count);
    for (std::size_t i = 0; i < count; ++i) {
      const auto n = static_cast<unsigned>(i);
      threads_[i].index = {n % blockDim.x, n / blockDim.x % blockDim.y, n / blockDim.x / blockDim.y};
      threads_[i].number = n;
      threads_[i].lane = n % 32;
      threads_[i].warp = n / 32;
      starting_[i] = &threads_[i];
    }
    shuffle_(starting_);
    std::reverse(starting_.begin(), starting_.end());  // taken from the back
    ready_.clear();
    next_ready_ = 0;
    while (!failure_) {
      if (next_ready_ < ready_.size()) {
        resume(*ready_[next_ready_++]);
      } else if (!starting_.empty()) {
        if (idle_.empty()) {
          fibres_.push_back(std::make_unique<fibre>(&block_runner::work));
          idle_.push_back(fibres_.back().get());
        }
        fibre* next = idle_.back();
        idle_.pop_back();
        in_ = next;
        main_->switch_to(*next);
      } else if (!release_barrier()) {
        break;
      }
    }
  }

  /// Everybody waits or is done. True if they waited at one barrier, all of them.
  bool release_barrier() {
    std::size_t done = 0;
    const thread* waiting = nullptr;
    const thread* elsewhere = nullptr;
    for (const thread& t : threads_) {
      if (t.is == state::done) {
        ++done;
        continue;
      }
      if (!waiting || (waiting->is == state::at_warp && t.is == state::at_barrier)) waiting = &t;
    }
    if (done == threads_.size()) return false;
    for (const thread& t : threads_)
      if (t.is != state::done && (t.is != waiting->is || !same(t.where, waiting->where))) elsewhere = &t;
    std::string text = describe(*waiting) + " waits at ";
    if (waiting->is == state::at_warp) {
      text += text_of(waiting->where) + " for lanes of its warp that never come";
    } else if (elsewhere) {
      text += text_of(waiting->where) + ", a divergent __syncthreads: thread " + std::to_string(elsewhere->number) +
              " waits at " + text_of(elsewhere->where);
    } else if (done > 0) {
      text += text_of(waiting->where) + ", a divergent __syncthreads: " + std::to_string(done) + " of " +
              std::to_string(threads_.size()) + " threads have returned";
    } else {
      ready_.clear();
      next_ready_ = 0;
      std::vector<thread*> all;
      for (thread& t : threads_) all.push_back(&t);
      shuffle_(all);
      for (thread* t : all) make_ready(*t);
      return true;
    }
    failure_ = std::make_exception_ptr(fault(text));
    return false;
  }

  void make_ready(thread& t) {
    t.is = state::ready;
    ready_.push_back(&t);
  }

  void resume(thread& t) {
    enter(t);
    in_ = t.own;
    main_->switch_to(*t.own);
  }

  void enter(thread& t) {
    current_ = &t;
    threadIdx = t.index;
  }

  void wait(state why) {
    thread& self = *current_;
    self.is = why;
    self.own = in_;
    self.own->switch_to(*main_);
  }

  /// What every fibre does: starts threads of the block as long as there are any; one that waits keeps the fibre.
  static void work() {
    fibre& self = *running()->in_;
    self.arrive();
    for (;;) {
      block_runner& runner = *running();
      while (!runner.starting_.empty() && !runner.failure_) {
        thread& t = *runner.starting_.back();
        runner.starting_.pop_back();
        runner.enter(t);
        runner.in_ = &self;
        try {
          (*runner.body_)();
        } catch (...) {
          runner.failure_ = std::current_exception();
        }
        t.is = state::done;
        if (runner.next_ready_ < runner.ready_.size()) break;
      }
      runner.idle_.push_back(&self);
      self.switch_to(*runner.main_);
    }
  }

  std::string name_;
  const std::function<void()>* body_ = nullptr;
  std::vector<thread> threads_;
  std::vector<thread*> starting_, ready_;
  std::size_t next_ready_ = 0;
  thread* current_ = nullptr;
  fibre* main_ = nullptr;
  fibre* in_ = nullptr;
  std::vector<std::unique_ptr<fibre>> fibres_;
  std::vector<fibre*> idle_;
  std::exception_ptr failure_;
  shuffler shuffle_;
};

}  // namespace emulation

inline void __syncthreads(const emulation::place& where = emulation::place::current()) {
  emulation::block_runner::here("__syncthreads").barrier(where);
}
