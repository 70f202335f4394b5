# Language, warnings, sanitizers, linker and compiler cache: the same for every target, which is what lets
# them share precompiled headers.
set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_CUDA_STANDARD 17)  # CMake 3.25 knows no later one of nvcc 13
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
set(CMAKE_RUNTIME_OUTPUT_DIRECTORY "${CMAKE_BINARY_DIR}/bin")
if(NOT CMAKE_BUILD_TYPE)
  set(CMAKE_BUILD_TYPE Release)
endif()
set(CMAKE_CXX_FLAGS_RELEASE "-O2")
set(CMAKE_CXX_FLAGS_DEBUG "-O0 -g1 -D_GLIBCXX_ASSERTIONS")

foreach(flag -Wall -Wextra -Wno-unused-parameter -Wno-missing-field-initializers)
  add_compile_options($<$<COMPILE_LANGUAGE:C,CXX>:${flag}>)
endforeach()
if(DEEPSPEED_SANITIZE)
  string(REPLACE -O0 -O1 CMAKE_CXX_FLAGS_DEBUG "${CMAKE_CXX_FLAGS_DEBUG}")  # kernels are unbearably slow otherwise
  add_compile_options(-fsanitize=${DEEPSPEED_SANITIZE} -fno-omit-frame-pointer -g1)
  add_link_options(-fsanitize=${DEEPSPEED_SANITIZE})
endif()

find_program(DEEPSPEED_MOLD mold)
if(DEEPSPEED_MOLD)
  add_link_options(-fuse-ld=mold)
endif()
find_program(DEEPSPEED_CCACHE ccache)
if(DEEPSPEED_CCACHE)
  # Precompiled headers are cached only with this sloppiness (ccache(1), "PRECOMPILED HEADERS"). What a source includes is read off
  # the compiler's own list of dependencies (DEPEND): preprocessing it first costs a tenth of the time, and fails with clang's
  # precompiled headers where a definition is the source's own.
  foreach(language C CXX CUDA)
    set(CMAKE_${language}_COMPILER_LAUNCHER env CCACHE_SLOPPINESS=pch_defines,time_macros,include_file_mtime,include_file_ctime CCACHE_BASEDIR=${CMAKE_SOURCE_DIR} CCACHE_NOHASHDIR=1 CCACHE_DEPEND=1 ${DEEPSPEED_CCACHE})
  endforeach()
  if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
    add_compile_options($<$<COMPILE_LANGUAGE:CXX>:-fpch-preprocess>)
  elseif(CMAKE_CXX_COMPILER_ID STREQUAL "Clang")
    add_compile_options("$<$<COMPILE_LANGUAGE:CXX>:SHELL:-Xclang -fno-pch-timestamp>")
  endif()
endif()
