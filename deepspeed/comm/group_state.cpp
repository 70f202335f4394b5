#include "deepspeed/comm/group_state.h"

#include <c10/util/Exception.h>

#include <thread>
#include <utility>

namespace deepspeed::comm {

GroupState::~GroupState() { close(); }

void GroupState::close() {
  for (auto& weak : children) {
    if (auto child = weak.lock()) child->close();
  }
  if (host) host->close();
  if (!backend) return;
  bool busy = false;
  for (auto& weak : in_flight) {
    auto work = weak.lock();
    busy = busy || (work && !work->isCompleted());
  }
  in_flight.clear();
  // Destroying a Gloo backend waits for its queue, which may need a peer that itself waits for another group
  // of this rank; so that one is left to a thread and the other groups close meanwhile.
  if (busy) std::thread([b = std::exchange(backend, {})]() mutable { b.reset(); }).detach();
  if (backend && !device.is_cpu()) backend->shutdown();
  backend.reset();
}

namespace {

std::string first_line(std::string text) {
  if (auto end = text.find('\n'); end != std::string::npos) text.resize(end);
  // Gloo and c10d begin with "[/path/file.cc:123] ".
  while (text.starts_with("[") && text.find(".c") < text.find("] ")) text.erase(0, text.find("] ") + 2);
  return text;
}

}  // namespace

std::string reason_of(std::exception_ptr error) {
  try {
    std::rethrow_exception(error);
  } catch (const c10::Error& e) {
    return first_line(e.what_without_backtrace());
  } catch (const std::exception& e) {
    return first_line(e.what());
  } catch (...) {
    return "unknown exception";
  }
}

}  // namespace deepspeed::comm
