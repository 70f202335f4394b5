#include <iostream>

#include "deepspeed/launcher/launch.h"
#include "deepspeed/launcher/options.h"
#include "tools/run_tool.h"

int main(int argc, char** argv) {
  const std::string start_time = deepspeed::launcher::unix_time_now();
  return deepspeed::tools::report_errors("deepspeed", [&] {
    const auto options = deepspeed::launcher::parse_options(argc, argv, std::cout);
    return options ? deepspeed::launcher::launch(*options, start_time) : 0;
  });
}
