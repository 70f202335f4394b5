#include "deepspeed/aio/worker.h"

#include <cstdlib>
#include <exception>
#include <system_error>
#include <utility>

#include "deepspeed/base/error.h"
#include "deepspeed/base/log.h"

namespace deepspeed::aio {

Worker::Worker(const AioConfig& config, const BackendFactory& make_backend, std::function<void(Part)> on_over)
    : config_(config), on_over_(std::move(on_over)) {
  std::promise<void> ready;
  std::future<void> stands = ready.get_future();
  try {
    thread_ =
        std::thread([this, make_backend, ready = std::move(ready)]() mutable { run(ready, make_backend); });
  } catch (const std::system_error& error) {
    base::fail("no thread can be started for file I/O: {}", error.what());
  }
  try {
    stands.get();
  } catch (...) {
    thread_.join();
    throw;
  }
}

Worker::~Worker() {
  stop();
  thread_.join();
}

void Worker::add(Part part) {
  {
    const std::lock_guard lock(mutex_);
    orders_.push_back(std::move(part));
  }
  ordered_.notify_one();
}

void Worker::cancel() { interrupt(/*stops=*/false); }

void Worker::stop() { interrupt(/*stops=*/true); }

void Worker::interrupt(bool stops) {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = stopping_ || stops;
    cancelled_ = true;
    cancelled_orders_ = orders_.size();
  }
  ordered_.notify_one();
}

void Worker::run(std::promise<void>& ready, const BackendFactory& make_backend) {
  std::unique_ptr<Pump> pump;
  try {
    pump = std::make_unique<Pump>(config_, make_backend(config_.queue_depth));
  } catch (...) {
    ready.set_exception(std::current_exception());
    return;
  }
  ready.set_value();
  try {
    loop(*pump);
  } catch (const std::exception& error) {
    // The kernel may still be writing into memory that a caller is about to free; nothing can take that back.
    base::log_error("file I/O broke down with transfers in flight: {}", error.what());
    std::abort();
  }
}

void Worker::loop(Pump& pump) {
  while (take_orders(pump))
    for (Part& part : pump.turn()) on_over_(std::move(part));
}

// Waits for orders only when there is nothing to do; false when all is over and no more will come.
bool Worker::take_orders(Pump& pump) {
  std::unique_lock lock(mutex_);
  if (pump.idle()) ordered_.wait(lock, [&] { return stopping_ || cancelled_ || !orders_.empty(); });
  // What was ordered after a cancel() is none of its business.
  std::vector<Part> orders = std::exchange(orders_, {});
  const size_t before = cancelled_ ? std::exchange(cancelled_orders_, 0) : 0;
  for (size_t i = 0; i < before; ++i) pump.add(std::move(orders[i]));
  if (std::exchange(cancelled_, false)) pump.cancel();
  for (size_t i = before; i < orders.size(); ++i) pump.add(std::move(orders[i]));
  return !(stopping_ && pump.idle());
}

}  // namespace deepspeed::aio
