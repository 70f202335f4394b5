// Group's messages between two ranks, barriers and byte strings.
#include <ATen/ATen.h>

#include <fmt/ranges.h>

#include <algorithm>
#include <cstring>

#include "deepspeed/base/error.h"
#include "deepspeed/comm/check_in.h"
#include "deepspeed/comm/constructions.h"

namespace deepspeed::comm {
namespace {

WorkPtr message(GroupState& of, const P2POp& op, bool async) {
  GroupState& group = carrier(of, op.tensor);
  const bool sends = op.kind == P2POp::Kind::kSend;
  const char* name = sends ? (async ? "isend" : "send") : (async ? "irecv" : "recv");
  const Operation operation{name, op.tensor.numel(), op.tensor.scalar_type(), async, [&](int peer) {
                              return sends && peer == op.peer ? static_cast<int64_t>(op.tensor.nbytes()) : 0;
                            }};
  return issue(group, operation, [&]() -> Started {
    DS_CHECK(op.peer >= 0 && op.peer < group.size, "peer {} is not in 0 ... {}", op.peer, group.size - 1);
    DS_CHECK(op.peer != group.rank, "a rank cannot send to or receive from itself");
    DS_CHECK(op.tag >= 0 && op.tag < (1 << 28), "tag {} is not in 0 ... 2^28 - 1", op.tag);
    Tensors data{as_bytes(flat(group, op.tensor))};
    if (data[0].numel() == 0) return {};
    auto& backend = *group.backend;
    return {{sends ? backend.send(data, op.peer, op.tag) : backend.recv(data, op.peer, op.tag)}, {}, data};
  });
}

at::Tensor bytes_of(const std::string& text) {
  auto bytes = at::empty({static_cast<int64_t>(text.size())}, at::kByte);
  if (!text.empty()) std::memcpy(bytes.data_ptr(), text.data(), text.size());
  return bytes;
}

std::string text_of(const at::Tensor& bytes) {
  return {static_cast<const char*>(bytes.const_data_ptr()), static_cast<size_t>(bytes.numel())};
}

}  // namespace

void Group::send(at::Tensor t, int peer, int tag) {
  message(*state_, {P2POp::Kind::kSend, t, peer, tag}, false);
}
void Group::recv(at::Tensor t, int peer, int tag) {
  message(*state_, {P2POp::Kind::kRecv, t, peer, tag}, false);
}

WorkPtr Group::isend(at::Tensor t, int peer, int tag) {
  return message(*state_, {P2POp::Kind::kSend, t, peer, tag}, true);
}

WorkPtr Group::irecv(at::Tensor t, int peer, int tag) {
  return message(*state_, {P2POp::Kind::kRecv, t, peer, tag}, true);
}

std::vector<WorkPtr> Group::batch_isend_irecv(const std::vector<P2POp>& ops) {
  std::vector<WorkPtr> works;
  for (const auto& op : ops) works.push_back(message(*state_, op, true));
  return works;
}

// On a device the hosts meet: what devices were told may go on.
WorkPtr Group::barrier(bool async) {
  GroupState& state = state_->host ? *state_->host : *state_;
  return issue(state, {"barrier", 0, at::ScalarType::Undefined, async}, [&]() -> Started {
    if (size() == 1) return {};
    c10d::BarrierOptions options;
    options.timeout = state.timeout;
    return {{state.backend->barrier(options)}, {}, {}};
  });
}

void Group::monitored_barrier(std::chrono::milliseconds timeout) {
  const auto number = ++state_->barriers;
  issue(*state_, {"monitored_barrier"}, [] { return Started{}; });
  if (!state_->store) return;
  const auto missing = check_in(state_->store, fmt::format("barrier{}", number), rank(), size(), timeout);
  DS_CHECK(missing.empty(),
           "monitored_barrier #{} of group '{}' on rank {}: rank{} {} did not arrive within {:.1f} s",
           state_->sequence, name(), rank(), missing.size() > 1 ? "s" : "", fmt::join(missing, ", "),
           std::chrono::duration<double>(timeout).count());
}

std::vector<std::string> Group::all_gather_object(const std::string& object) {
  const auto options = at::TensorOptions(at::kLong);
  auto lengths = at::zeros({size()}, options);  // a fake group fills only its own
  all_gather_into_tensor(lengths, at::full({1}, static_cast<int64_t>(object.size()), options));
  if (lengths.sum().item<int64_t>() == 0) return std::vector<std::string>(static_cast<size_t>(size()));
  std::vector<at::Tensor> parts;
  for (int r = 0; r < size(); ++r)
    parts.push_back(at::empty({lengths[r].item<int64_t>()}, options.dtype(at::kByte)));
  all_gather(parts, bytes_of(object));
  std::vector<std::string> objects;
  for (const auto& part : parts) objects.push_back(text_of(part));
  return objects;
}

std::vector<std::string> Group::broadcast_object_list(std::vector<std::string> objects, int root) {
  const auto options = at::TensorOptions(at::kLong);
  auto count = at::full({1}, static_cast<int64_t>(objects.size()), options);
  broadcast(count, root);
  auto lengths = at::zeros({count.item<int64_t>()}, at::kLong);
  std::string joined;
  if (rank() == root) {
    for (size_t i = 0; i < objects.size(); ++i) {
      lengths[static_cast<int64_t>(i)] = static_cast<int64_t>(objects[i].size());
      joined += objects[i];
    }
  }
  broadcast(lengths, root);
  const int64_t total = lengths.sum().item<int64_t>();
  auto payload = rank() == root ? bytes_of(joined) : at::empty({total}, options.dtype(at::kByte));
  broadcast(payload, root);
  joined = text_of(payload);
  objects.clear();
  size_t begin = 0;
  for (int64_t i = 0; i < lengths.numel(); ++i) {
    const auto length = static_cast<size_t>(lengths[i].item<int64_t>());
    objects.push_back(joined.substr(begin, length));
    begin += length;
  }
  return objects;
}

}  // namespace deepspeed::comm
