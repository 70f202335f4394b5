#include "tools/ds_report/op_report.h"

#include <fmt/format.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <string_view>

#include "deepspeed/aio/backend.h"
#include "deepspeed/ops/isa_table.h"

namespace deepspeed::report {
namespace {

constexpr size_t kNameWidth = 23, kStatusWidth = 11;

// DeepSpeed's op builders that have no kernel here yet.
constexpr std::array kNotBuilt = {"ccl_comm",           "cutlass_ops",          "dc",
                                  "evoformer_attn",     "fp_quantizer",         "fused_adam",
                                  "fused_lamb",         "fused_lion",           "gds",
                                  "inference_core_ops", "pin_memory",           "quantizer",
                                  "ragged_device_ops",  "ragged_ops",           "random_ltd",
                                  "sparse_attn",        "spatial_inference",    "stochastic_transformer",
                                  "transformer",        "transformer_inference"};

std::string status(bool good, const char* yes, bool color) {
  const char* text = good ? yes : "[NO]";
  if (!color) return text;
  return fmt::format("{}{}\033[0m", good ? "\033[92m" : "\033[91m", text);
}

std::string dots(size_t width, size_t used) { return std::string(width > used ? width - used : 1, '.'); }

std::string row(std::string_view name, bool built, std::string_view path, bool color) {
  const size_t status_length = built ? 5 : 4;  // [YES] or [NO]
  return fmt::format("{} {} {} {} {}{}{}\n", name, dots(kNameWidth, name.size()),
                     status(built, "[YES]", color), dots(kStatusWidth, status_length),
                     status(built, "[OKAY]", color), built ? " ..... " : "", path);
}

}  // namespace

std::string op_report(bool color) {
  const std::string line(62, '-');
  std::string out = fmt::format(
      "{0}\nDeepSpeed op report\n{0}\nEvery op is linked in: nothing is compiled at run time.\n[YES] with "
      "[OKAY]: present and "
      "usable here, by the path named.\n{0}\n",
      line);
  out += fmt::format("op name {} installed .. compatible . path\n{}\n", dots(kNameWidth, 7), line);
  for (const ops::OpIsas& op : ops::isa_table()) {
    const bool optimizer = op.op == "adam" || op.op == "adagrad" || op.op == "lion";
    const std::string name = (optimizer ? "cpu_" : "") + std::string(op.op);  // as DeepSpeed calls it
    out += row(name, true, base::isa_name(ops::chosen_isa(op.op)), color);
  }
  out += row("async_io", true, aio::name_of(aio::choose_backend(aio::BackendKind::kAuto)), color);
  const int memory = ::memfd_create("deepspeed-comm", MFD_CLOEXEC);
  if (memory >= 0) ::close(memory);
  out += row("shm_comm", memory >= 0, "memory files", color);
  for (const char* name : kNotBuilt) out += row(name, false, "", color);
  return out + line + "\n";
}

}  // namespace deepspeed::report
