// A search through all orders in which threads can take their steps: what a stress test meets by luck.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <stdexcept>
#include <string>
#include <unordered_set>
#include <vector>

namespace deepspeed::tests {

/// Threads here are functions that touch shared memory by step() alone and do otherwise always the same for
/// the same results of their steps. So a thread's state is the list of these results: to take one more step,
/// it is run anew from its beginning, given them again. Orders that lead to equal memory and equal threads
/// are followed once.
class Interleavings {
 public:
  struct Result {
    size_t states = 0, ends = 0;  // different ones
    std::string failure;          // the first; empty if there is none
  };

  /// All orders from what `memory` holds now, which they leave undefined. A state in which a thread sleeps
  /// and none can go on is a failure.
  Result search(std::vector<std::byte>& memory, int threads, std::function<void(int thread)> body);

  /// One indivisible step of the thread that runs; outside of a search just `effect`.
  template <class Effect>
  uint32_t step(Effect effect) {
    if (!running_) return effect();
    if (position_ < running_->results.size()) return running_->results[position_++];
    if (stepped_) throw Pause();
    stepped_ = true;
    const uint32_t result = effect();
    if (running_->asleep_on) throw Pause();
    running_->results.push_back(result);
    ++position_;
    return result;
  }

  /// Within a step: the thread goes on once wake(place), which completes the step with result 1.
  void sleep(const void* place) { running_->asleep_on = place; }
  void wake(const void* place) {
    for (auto& thread : state_.threads) {
      if (thread.asleep_on != place) continue;
      thread.asleep_on = nullptr;
      thread.results.push_back(1);
    }
  }
  /// What the running thread does from here on does not depend on its results so far.
  void forget() {
    if (!running_) return;
    ++forgotten_;
    running_->relevant = position_;
    running_->times_forgotten = forgotten_;
  }
  void fail(const std::string& what) {
    if (result_.failure.empty()) result_.failure = what;
  }

 private:
  struct Pause {};
  struct Thread {
    std::vector<uint32_t> results;
    size_t relevant = 0;  // results from here on make the state, with
    uint32_t times_forgotten = 0;
    const void* asleep_on = nullptr;
    bool finished = false;
  };
  struct State {
    std::vector<std::byte> memory;
    std::vector<Thread> threads;
  };

  uint64_t hash() const;
  /// Takes a step of one thread from state_.
  void advance(size_t thread);

  std::function<void(int)> body_;
  std::vector<std::byte>* memory_ = nullptr;
  State state_;
  Result result_;
  Thread* running_ = nullptr;
  size_t position_ = 0;
  uint32_t forgotten_ = 0;
  bool stepped_ = false;
};

inline uint64_t Interleavings::hash() const {
  uint64_t sum = 0x9e3779b97f4a7c15;
  const auto mix = [&sum](uint64_t value) {
    sum = (sum ^ value) * 0xff51afd7ed558ccd;
    sum ^= sum >> 32;
  };
  for (size_t i = 0; i + 8 <= memory_->size(); i += 8) {
    uint64_t word = 0;
    std::memcpy(&word, memory_->data() + i, 8);
    mix(word);
  }
  for (const auto& thread : state_.threads) {
    mix(thread.times_forgotten * 4 + (thread.asleep_on ? 2 : 0) + (thread.finished ? 1 : 0));
    mix(thread.results.size() - thread.relevant);
    for (size_t i = thread.relevant; i < thread.results.size(); ++i) mix(thread.results[i]);
  }
  return sum;
}

inline void Interleavings::advance(size_t thread) {
  running_ = &state_.threads[thread];
  position_ = 0;
  forgotten_ = 0;
  stepped_ = false;
  try {
    body_(static_cast<int>(thread));
    running_->finished = true;
  } catch (const Pause&) {
  }
  running_ = nullptr;
}

inline Interleavings::Result Interleavings::search(std::vector<std::byte>& memory, int threads,
                                                   std::function<void(int thread)> body) {
  struct Branch {
    State from;
    std::vector<size_t> choices;  // left to try
  };
  std::unordered_set<uint64_t> seen;
  std::vector<Branch> path;
  body_ = std::move(body);
  memory_ = &memory;
  result_ = {};
  state_ = {memory, std::vector<Thread>(static_cast<size_t>(threads))};
  const auto arrive = [&] {
    if (!seen.insert(hash()).second) return;
    std::vector<size_t> choices;
    bool asleep = false;
    for (size_t t = 0; t < state_.threads.size(); ++t) {
      asleep = asleep || state_.threads[t].asleep_on;
      if (!state_.threads[t].asleep_on && !state_.threads[t].finished) choices.push_back(t);
    }
    if (choices.empty()) {
      ++result_.ends;
      if (asleep) fail("a thread sleeps for ever");
      return;
    }
    state_.memory = memory;
    path.push_back({state_, std::move(choices)});
  };
  arrive();
  while (!path.empty() && result_.failure.empty()) {
    Branch& branch = path.back();
    if (branch.choices.empty()) {
      path.pop_back();
      continue;
    }
    const size_t thread = branch.choices.back();
    branch.choices.pop_back();
    state_ = branch.from;
    std::copy(state_.memory.begin(), state_.memory.end(), memory.begin());
    advance(thread);
    arrive();
  }
  result_.states = seen.size();
  return result_;
}

}  // namespace deepspeed::tests
