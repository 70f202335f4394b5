# libtorch from the torch wheel, linked directly: torch's own CMake config wants a CUDA toolkit even for CPU use.
# Defines the target ds_torch (headers, libraries, rpath) and ds_torch_pch (the precompiled header).
if(DEEPSPEED_FUZZ)
  return()  # the parsers are torch-free, and their fuzzers build with clang in seconds
endif()
if(NOT EXISTS "${DEEPSPEED_TORCH_ROOT}/lib/libtorch_cpu.so")
  message(FATAL_ERROR "libtorch not found in ${DEEPSPEED_TORCH_ROOT}: run ./dev deps, or set DEEPSPEED_TORCH_ROOT")
endif()
find_path(GLOO_INCLUDE_DIR gloo/algorithm.h REQUIRED)
# The wheel ships the headers of another fmt among its own; ours must be found first, or calls and library would differ.
get_target_property(FMT_INCLUDE_DIR fmt::fmt INTERFACE_INCLUDE_DIRECTORIES)
file(MAKE_DIRECTORY "${CMAKE_BINARY_DIR}/first")
file(CREATE_LINK "${FMT_INCLUDE_DIR}/fmt" "${CMAKE_BINARY_DIR}/first/fmt" SYMBOLIC)
add_library(ds_torch INTERFACE)
target_include_directories(ds_torch INTERFACE "$<BUILD_INTERFACE:${CMAKE_BINARY_DIR}/first>")
target_include_directories(ds_torch SYSTEM INTERFACE
  "$<BUILD_INTERFACE:${DEEPSPEED_TORCH_ROOT}/include>" "$<BUILD_INTERFACE:${DEEPSPEED_TORCH_ROOT}/include/torch/csrc/api/include>"
  "$<BUILD_INTERFACE:${GLOO_INCLUDE_DIR}>")
target_compile_definitions(ds_torch INTERFACE USE_C10D_GLOO)
target_link_libraries(ds_torch INTERFACE fmt::fmt
  "$<BUILD_INTERFACE:${DEEPSPEED_TORCH_ROOT}/lib/libtorch_cpu.so>" "$<BUILD_INTERFACE:${DEEPSPEED_TORCH_ROOT}/lib/libc10.so>"
  "$<BUILD_INTERFACE:${DEEPSPEED_TORCH_ROOT}/lib/libgomp.so.1>")
# Objects are the same with and without CUDA: only sources that say so see its headers
# (ds_cuda_sources), and programs are linked with what registers libtorch's CUDA kernels.
if(DEEPSPEED_CUDA)
  if(NOT CMAKE_CUDA_ARCHITECTURES)
    set(CMAKE_CUDA_ARCHITECTURES 80-real 90)
  endif()
  enable_language(CUDA)
  find_package(CUDAToolkit REQUIRED)
  # What libtorch_cuda.so itself wants (cuDNN, cuBLAS, NCCL ...) is found when a program starts.
  target_link_libraries(ds_torch INTERFACE -Wl,--no-as-needed
    "$<BUILD_INTERFACE:${DEEPSPEED_TORCH_ROOT}/lib/libtorch_cuda.so>" "$<BUILD_INTERFACE:${DEEPSPEED_TORCH_ROOT}/lib/libc10_cuda.so>"
    -Wl,--as-needed -Wl,--allow-shlib-undefined
    "$<BUILD_INTERFACE:${CUDA_cudart_LIBRARY}>")  # by its file: the imported target would add CUDA's headers to every source
endif()
# ds_cuda_sources(a.cpp ...): C++ sources that include CUDA's headers or NCCL's backend.
function(ds_cuda_sources)
  set_source_files_properties(${ARGN} PROPERTIES INCLUDE_DIRECTORIES "${CUDAToolkit_INCLUDE_DIRS}" COMPILE_DEFINITIONS USE_C10D_NCCL
    SKIP_PRECOMPILE_HEADERS ON)
endfunction()
set(CMAKE_BUILD_RPATH "${DEEPSPEED_TORCH_ROOT}/lib")

ds_add_precompiled_header(torch ds_torch)
