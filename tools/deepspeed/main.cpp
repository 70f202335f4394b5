#include <cstdio>
#include <exception>
#include <iostream>

#include "deepspeed/launcher/launch.h"
#include "deepspeed/launcher/options.h"

int main(int argc, char** argv) {
  const std::string start_time = deepspeed::launcher::unix_time_now();
  try {
    const auto options = deepspeed::launcher::parse_options(argc, argv, std::cout);
    return options ? deepspeed::launcher::launch(*options, start_time) : 0;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "deepspeed: %s\n", error.what());
    return 1;
  }
}
