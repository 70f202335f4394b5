#include "deepspeed/base/cpu_features.h"

#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>

#include "deepspeed/base/env.h"
#include "deepspeed/base/error.h"

namespace deepspeed::base {
namespace {

// Linux hands out the AMX tile registers only on request: arch_prctl(ARCH_REQ_XCOMP_PERM,
// XFEATURE_XTILEDATA).
bool request_amx_permission() {
  constexpr int kArchReqXcompPerm = 0x1023;
  constexpr int kXtileData = 18;
  return ::syscall(SYS_arch_prctl, kArchReqXcompPerm, kXtileData) == 0;
}

std::string cpuinfo_field(const std::string& name) {
  std::ifstream in("/proc/cpuinfo");
  for (std::string line; std::getline(in, line);) {
    if (line.rfind(name, 0) != 0) continue;
    auto colon = line.find(':');
    if (colon != std::string::npos) return line.substr(std::min(colon + 2, line.size()));
  }
  return {};
}

CpuFeatures detect() {
  CpuFeatures f;
  f.model = cpuinfo_field("model name");
#if defined(__x86_64__)
  // The kernel's list already accounts for what the operating system saves and restores.
  const std::string flags = " " + cpuinfo_field("flags") + " ";
  auto has = [&](const char* flag) { return flags.find(" " + std::string(flag) + " ") != std::string::npos; };
  f.avx2 = has("avx2") && has("fma") && has("f16c");
  f.avx512 = f.avx2 && has("avx512f") && has("avx512bw") && has("avx512dq") && has("avx512vl");
  f.avx512_vnni = f.avx512 && has("avx512_vnni");
  f.avx512_bf16 = f.avx512 && has("avx512_bf16");
  f.avx512_fp16 = f.avx512 && has("avx512_fp16");
  f.amx_tile = f.avx512 && has("amx_tile") && request_amx_permission();
  f.amx_bf16 = f.amx_tile && has("amx_bf16");
  f.amx_int8 = f.amx_tile && has("amx_int8");
  const bool amd = cpuinfo_field("vendor_id") == "AuthenticAMD";
  f.fast_bf16 = f.amx_bf16 || (f.avx512_bf16 && amd);
  f.slow_mkl = f.avx512 && amd;
#endif
  return f;
}

bool supported(Isa isa, const CpuFeatures& f) {
  switch (isa) {
    case Isa::kScalar:
      return true;
    case Isa::kAvx2:
      return f.avx2;
    case Isa::kAvx512:
      return f.avx512;
    case Isa::kAvx512Bf16:
      return f.avx512_bf16;
    case Isa::kAmx:
      return f.amx_bf16 && f.avx512_bf16;
  }
  return false;
}

Isa forced_limit() {
  auto name = env("DS_FORCE_ISA");
  if (!name) return Isa::kAmx;
  for (Isa isa : {Isa::kScalar, Isa::kAvx2, Isa::kAvx512, Isa::kAvx512Bf16, Isa::kAmx})
    if (*name == isa_name(isa)) return isa;
  fail("DS_FORCE_ISA='{}' is not one of scalar, avx2, avx512, avx512_bf16, amx", *name);
}

}  // namespace

const CpuFeatures& cpu_features() {
  static const CpuFeatures features = detect();
  return features;
}

Isa best_isa(const std::vector<Isa>& available) {
  static const Isa limit = forced_limit();
  Isa best = Isa::kScalar;
  for (Isa isa : available)
    if (isa <= limit && supported(isa, cpu_features())) best = std::max(best, isa);
  return best;
}

const char* isa_name(Isa isa) {
  switch (isa) {
    case Isa::kScalar:
      return "scalar";
    case Isa::kAvx2:
      return "avx2";
    case Isa::kAvx512:
      return "avx512";
    case Isa::kAvx512Bf16:
      return "avx512_bf16";
    case Isa::kAmx:
      return "amx";
  }
  return "unknown";
}

std::string cpu_summary() {
  const CpuFeatures& f = cpu_features();
  std::string text = f.model.empty() ? "unknown processor" : f.model;
  const std::pair<bool, const char*> flags[] = {{f.avx2, "avx2"},
                                                {f.avx512, "avx512"},
                                                {f.avx512_vnni, "avx512_vnni"},
                                                {f.avx512_bf16, "avx512_bf16"},
                                                {f.avx512_fp16, "avx512_fp16"},
                                                {f.amx_bf16, "amx_bf16"},
                                                {f.amx_int8, "amx_int8"}};
  for (const auto& [present, name] : flags)
    if (present) text += std::string(" ") + name;
  return text;
}

}  // namespace deepspeed::base
