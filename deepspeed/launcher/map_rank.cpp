#include "deepspeed/launcher/map_rank.h"

#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "deepspeed/base/env.h"
#include "deepspeed/base/error.h"
#include "deepspeed/base/rank_discovery.h"
#include "deepspeed/launcher/program.h"

namespace deepspeed::launcher {

void map_rank(const LaunchOptions& options) {
  const auto found = base::discover_rank();
  DS_CHECK(found,
           "--map_rank: no variables of mpirun or srun are set; it is for programs that one of them starts");
  base::set_env("RANK", std::to_string(found->rank));
  base::set_env("LOCAL_RANK", std::to_string(found->local_rank));
  if (!base::env("WORLD_SIZE")) base::set_env("WORLD_SIZE", std::to_string(found->world_size));
  const Program program =
      resolve_program(options, own_bin_dir(), base::env("PATH").value_or("/usr/bin:/bin"));
  std::vector<char*> argv;
  for (const auto* words : {&program.prefix, &options.arguments})
    for (const std::string& word : *words) argv.push_back(const_cast<char*>(word.c_str()));
  argv.push_back(nullptr);
  ::execv(program.executable.c_str(), argv.data());
  base::fail("cannot run {}: {}", program.executable, std::strerror(errno));
}

}  // namespace deepspeed::launcher
