// One rank of a measurement of memory: trains a GPT-2 of random weights for some steps under a configuration
// and says what its states take. Started by the launcher; rank 0 prints one line of JSON.
//   deepspeed --num_accelerators 2 --no_local_rank
//     memory_bench CONFIG.json LAYERS HIDDEN VOCABULARY LENGTH STEPS
#include <ATen/ATen.h>
#include <malloc.h>

#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <nlohmann/json.hpp>

#include "deepspeed/accel/memory.h"
#include "deepspeed/accel/tensor_memory.h"
#include "deepspeed/accel/threads.h"
#include "deepspeed/comm/rendezvous.h"
#include "deepspeed/engine/initialize.h"
#include "deepspeed/models/decoder.h"
#include "deepspeed/nn/materializer.h"
#include "deepspeed/recompute/recompute.h"

namespace {

using namespace deepspeed;

// Memory that is nobody else's and no file's: what a limit on memory counts.
int64_t own_bytes() {
  malloc_trim(0);
  std::ifstream status("/proc/self/status");
  int64_t sum = 0;
  for (std::string word; status >> word;)
    if (word == "RssAnon:" || word == "RssShmem:") {
      int64_t kilobytes = 0;
      status >> kilobytes;
      sum += kilobytes * 1024;
    }
  return sum;
}

struct Size {
  int64_t layers, hidden, vocabulary, length;
};

struct Measured {
  zero::StateBytes states;
  int64_t allocated = 0;  // by libtorch, for everything that outlives a step
  int64_t own = 0;        // as the operating system counts it, beyond what was there before the model
  int64_t peak = 0;       // resident, in all
  int64_t parameters = 0, largest_block = 0;
  std::vector<double> losses;
};

Measured train(const Size& size, const std::string& config, const comm::GroupPtr& group, int steps) {
  const int64_t before = own_bytes();
  const accel::TensorMemory memory;
  const auto spec = models::parse_arch_spec({{"model_type", "gpt2"},
                                             {"vocab_size", size.vocabulary},
                                             {"n_positions", size.length},
                                             {"n_embd", size.hidden},
                                             {"n_layer", size.layers},
                                             {"n_head", size.hidden / 64},
                                             {"embd_pdrop", 0.0},
                                             {"attn_pdrop", 0.0},
                                             {"resid_pdrop", 0.0}},
                                            "config.json");
  const auto model = std::make_shared<models::Decoder>(spec, nullptr);
  Measured out;
  for (const auto& p : model->parameters()) out.parameters += p.numel();
  const int64_t layer = 12 * size.hidden * size.hidden + 13 * size.hidden;
  out.largest_block = std::max(layer, size.vocabulary * size.hidden);
  {
    const auto ready = engine::initialize({.model = model,
                                           .config = config,
                                           .group = group,
                                           .values = std::make_shared<nn::InitSource>(1),
                                           .same_on_all_ranks = true,
                                           .print = [](const std::string&) {}});
    recompute::recompute_blocks(*model, recompute::layers_of(*model), {});
    ready.engine->train();
    const int64_t batch = ready.engine->train_micro_batch_size_per_gpu();
    for (int step = 0; step < steps; ++step) {
      const at::Tensor ids = (at::arange(batch * size.length, at::kLong) * 7 + step + group->rank())
                                 .remainder(size.vocabulary)
                                 .view({batch, size.length});
      const at::Tensor loss = ready.engine->forward([&] { return model->forward(ids, ids); });
      ready.engine->backward(loss);
      ready.engine->step();
      out.losses.push_back(loss.item<double>());
    }
    out.states = ready.engine->state_bytes();
    out.allocated = memory.bytes();
    out.own = own_bytes() - before;
    out.peak = accel::peak_resident_bytes();
  }
  return out;
}

// The largest and the sum over the ranks.
nlohmann::ordered_json over_ranks(int64_t value, comm::Group& group) {
  const at::Tensor most = at::full({1}, value, at::kLong), sum = most.clone();
  group.all_reduce(most, comm::ReduceOp::kMax);
  group.all_reduce(sum);
  return {{"most", most.item<int64_t>()}, {"sum", sum.item<int64_t>()}};
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 7) {
    std::fprintf(stderr, "usage: memory_bench CONFIG.json LAYERS HIDDEN VOCABULARY LENGTH STEPS\n");
    return 2;
  }
  try {
    const auto number = [&](int i) { return std::atoll(argv[i]); };
    const auto rendezvous = comm::rendezvous_from_env();
    accel::set_compute_threads(rendezvous.local_world_size);
    const auto group = comm::init_world(rendezvous);
    // What the libraries and the group take once and keep, however deep the model: MKL's packing buffers and
    // oneDNN's kernels and scratch belong to the sizes of the products, hence one layer of the same width.
    const int64_t before = own_bytes();
    train({.layers = 1, .hidden = number(3), .vocabulary = number(4), .length = number(5)}, argv[1], group,
          2);
    const int64_t once = own_bytes() - before;
    const Measured m =
        train({number(2), number(3), number(4), number(5)}, argv[1], group, static_cast<int>(number(6)));
    nlohmann::ordered_json row{{"ranks", group->size()},
                               {"numel", m.parameters},
                               {"largest_block", m.largest_block},
                               {"losses", m.losses}};
    const std::pair<const char*, int64_t> numbers[] = {{"parameters", m.states.parameters},
                                                       {"gradients", m.states.gradients},
                                                       {"optimizer", m.states.optimizer},
                                                       {"gathered", m.states.gathered},
                                                       {"buckets", m.states.buckets},
                                                       {"on_disk", m.states.on_disk},
                                                       {"allocated", m.allocated},
                                                       {"own", m.own},
                                                       {"once", once},
                                                       {"peak", m.peak}};
    for (const auto& [name, value] : numbers) row[name] = over_ranks(value, *group);
    if (group->rank() == 0) std::printf("%s\n", row.dump().c_str());
  } catch (const std::exception& error) {
    std::fprintf(stderr, "memory_bench: %s\n", error.what());
    return 1;
  }
}
