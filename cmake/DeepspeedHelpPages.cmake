# Man pages and completion in bash and zsh of every installed command, made from its own --help by help_pages.py: part of `all`, put into
# share/ by cmake --install. Left out where there is no Python 3 to make them with.
find_package(Python3 COMPONENTS Interpreter)
if(NOT Python3_Interpreter_FOUND OR CMAKE_CROSSCOMPILING)
  message(STATUS "No Python 3: man pages and shell completion are left out")
  return()
endif()
get_property(help_tools GLOBAL PROPERTY DS_TOOLS)
list(FILTER help_tools EXCLUDE REGEX "^example_|_bench$")
set(help_script "${CMAKE_SOURCE_DIR}/cmake/help_pages.py")
set(help_man "${CMAKE_BINARY_DIR}/share/man/man1")
set(help_completions "${CMAKE_BINARY_DIR}/share/bash-completion/completions")
set(help_zsh "${CMAKE_BINARY_DIR}/share/zsh/site-functions")
file(MAKE_DIRECTORY "${help_man}" "${help_completions}" "${help_zsh}")
set(help_files "")
foreach(tool ${help_tools})
  set(help_of_tool "${help_man}/${tool}.1" "${help_completions}/${tool}" "${help_zsh}/_${tool}")
  add_custom_command(OUTPUT ${help_of_tool}
    COMMAND "${Python3_EXECUTABLE}" "${help_script}" $<TARGET_FILE:${tool}> --version ${PROJECT_VERSION}
            --man "${help_man}/${tool}.1" --bash "${help_completions}/${tool}" --zsh "${help_zsh}/_${tool}"
    DEPENDS ${tool} "${help_script}" VERBATIM)
  list(APPEND help_files ${help_of_tool})
endforeach()
add_custom_target(help_pages ALL DEPENDS ${help_files})
install(DIRECTORY "${CMAKE_BINARY_DIR}/share/" DESTINATION "${CMAKE_INSTALL_DATAROOTDIR}")
