# cmake --install gives bin/, lib/, include/deepspeed and find_package(deepspeed). The installed tree records the libtorch
# it was built with; DEEPSPEED_TORCH_ROOT overrides it, and one that moved is a clear error.
include(CMakePackageConfigHelpers)
if(DEEPSPEED_FUZZ)
  return()
endif()
get_property(ds_libraries GLOBAL PROPERTY DS_LIBRARIES)
get_property(ds_tools GLOBAL PROPERTY DS_TOOLS)
set(ds_package_dir "${CMAKE_INSTALL_LIBDIR}/cmake/deepspeed")

install(TARGETS ${ds_libraries} ds_torch EXPORT deepspeedTargets ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(EXPORT deepspeedTargets NAMESPACE deepspeed:: DESTINATION ${ds_package_dir})
list(FILTER ds_tools EXCLUDE REGEX "^example_|_bench$")
set_target_properties(${ds_tools} PROPERTIES INSTALL_RPATH "${DEEPSPEED_TORCH_ROOT}/lib")
install(TARGETS ${ds_tools} RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
install(DIRECTORY "${CMAKE_SOURCE_DIR}/deepspeed/" DESTINATION "${CMAKE_INSTALL_INCLUDEDIR}/deepspeed" FILES_MATCHING PATTERN "*.h")

configure_package_config_file("${CMAKE_SOURCE_DIR}/cmake/deepspeedConfig.cmake.in" "${CMAKE_BINARY_DIR}/deepspeedConfig.cmake"
  INSTALL_DESTINATION ${ds_package_dir})
write_basic_package_version_file("${CMAKE_BINARY_DIR}/deepspeedConfigVersion.cmake" COMPATIBILITY SameMinorVersion)
install(FILES "${CMAKE_BINARY_DIR}/deepspeedConfig.cmake" "${CMAKE_BINARY_DIR}/deepspeedConfigVersion.cmake"
  DESTINATION ${ds_package_dir})
