#include "tools/ds_report/system_report.h"

#include <fmt/format.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <filesystem>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "build_info.h"
#include "deepspeed/base/cpu_features.h"
#include "deepspeed/base/env.h"

namespace deepspeed::report {
namespace {

namespace fs = std::filesystem;
constexpr size_t kNameWidth = 33;
constexpr double kMiB = 1 << 20;
constexpr double kLeastSharedMemory = 512 * kMiB;

std::string cpu_flags() {
  const base::CpuFeatures& f = base::cpu_features();
  const std::vector<std::pair<bool, const char*>> flags = {{f.avx2, "avx2"},
                                                           {f.avx512, "avx512"},
                                                           {f.avx512_vnni, "avx512_vnni"},
                                                           {f.avx512_bf16, "avx512_bf16"},
                                                           {f.avx512_fp16, "avx512_fp16"},
                                                           {f.amx_tile, "amx_tile"},
                                                           {f.amx_bf16, "amx_bf16"},
                                                           {f.amx_int8, "amx_int8"}};
  std::string names;
  for (auto [present, name] : flags)
    if (present) names += names.empty() ? name : fmt::format(" {}", name);
  return names.empty() ? "none of those that kernels are written for" : names;
}

std::string find_nvcc() {
  std::vector<std::string> folders;
  if (auto home = base::env("CUDA_HOME")) folders.push_back(*home + "/bin");
  std::string path = base::env("PATH").value_or("");
  for (size_t begin = 0; begin <= path.size();) {
    const size_t end = std::min(path.find(':', begin), path.size());
    folders.push_back(path.substr(begin, end - begin));
    begin = end + 1;
  }
  folders.push_back("/usr/local/cuda/bin");
  for (const std::string& folder : folders)
    if (::access((folder + "/nvcc").c_str(), X_OK) == 0) return folder + "/nvcc";
  return "not found";
}

double shared_memory_bytes() {
  struct statvfs info {};
  if (::statvfs("/dev/shm", &info) != 0) return 0;
  return static_cast<double>(info.f_blocks) * static_cast<double>(info.f_frsize);
}

std::string own_folder() {
  std::error_code error;
  return fs::read_symlink("/proc/self/exe", error).parent_path().string();
}

}  // namespace

std::string system_report(bool warnings) {
  namespace built = build_info;
  const bool torch_there = fs::exists(fs::path(built::kTorchRoot) / "lib" / "libtorch_cpu.so");
  const double shm = shared_memory_bytes();
  const std::vector<std::pair<std::string_view, std::string>> rows = {
      {"torch install path", fmt::format("{}{}", built::kTorchRoot, torch_there ? "" : " (missing)")},
      {"torch version", built::kTorchVersion},
      {"deepspeed install path", own_folder()},
      {"deepspeed info", fmt::format("{}, {}, {}", built::kVersion, built::kGitHash, built::kGitBranch)},
      {"torch cuda version", built::kTorchCuda},
      {"torch hip version", "None"},
      {"nvcc", find_nvcc()},
      {"cuda kernels and NCCL", built::kCuda},
      {"compiler", fmt::format("{}, {}", built::kCompiler, built::kBuildType)},
      {"processor", base::cpu_features().model},
      {"cores", std::to_string(std::thread::hardware_concurrency())},
      {"instruction sets", cpu_flags()},
      {"shared memory (/dev/shm) size", fmt::format("{:.2f} GB", shm / (1024 * kMiB))},
  };
  std::string out = "DeepSpeed general environment info:\n";
  for (const auto& [name, value] : rows)
    out += fmt::format("{} {} {}\n", name, std::string(kNameWidth - name.size(), '.'), value);
  if (!warnings) return out;
  if (!torch_there)
    out += fmt::format(
        " [WARNING]  libtorch is not at {}; ds_train cannot start. Put it back, or configure again with "
        "-DDEEPSPEED_TORCH_ROOT=FOLDER\n",
        built::kTorchRoot);
  if (shm < kLeastSharedMemory)
    out += fmt::format(
        " [WARNING]  /dev/shm holds {:.0f} MB; ranks on one machine want at least 512 MB. In a container, "
        "give it "
        "--shm-size=1g\n",
        shm / kMiB);
  if (auto forced = base::env("DS_FORCE_ISA"))
    out += fmt::format(" [WARNING]  DS_FORCE_ISA={} limits the kernels' instruction set\n", *forced);
  return out;
}

}  // namespace deepspeed::report
