// A thread with a backend of its own that carries out parts of requests. Internal to aio/.
#pragma once

#include <condition_variable>
#include <functional>
#include <future>
#include <mutex>
#include <thread>
#include <vector>

#include "deepspeed/aio/pump.h"

namespace deepspeed::aio {

class Worker {
 public:
  /// Returns when the backend stands; its Error is thrown here. `on_over` is called in the thread for every
  /// part that ends.
  Worker(const AioConfig& config, const BackendFactory& make_backend, std::function<void(Part)> on_over);
  /// stop(), and returns when nothing is in flight any more.
  ~Worker();
  Worker(const Worker&) = delete;
  Worker& operator=(const Worker&) = delete;

  void add(Part part);
  /// What was added before and has not been started ends as cancelled.
  void cancel();
  /// The same, and the thread ends. Several workers that are stopped before they are destroyed end side by
  /// side.
  void stop();

 private:
  void interrupt(bool stops);
  void run(std::promise<void>& ready, const BackendFactory& make_backend);
  void loop(Pump& pump);
  bool take_orders(Pump& pump);

  AioConfig config_;
  std::function<void(Part)> on_over_;
  std::mutex mutex_;
  std::condition_variable ordered_;
  std::vector<Part> orders_;
  size_t cancelled_orders_ = 0;  // of orders_, the first ones
  bool cancelled_ = false, stopping_ = false;
  std::thread thread_;
};

}  // namespace deepspeed::aio
