# Headers of others that most files of a group include are parsed once a group, not once a file: that was a quarter to a
# half of what most files took. A group is a header in precompiled/. Every file goes on including what it uses: the presets
# debug and tsan build without (CMAKE_DISABLE_PRECOMPILE_HEADERS), and show what was forgotten.
#
#   quern_precompiled_group(GROUP [FOR_EXECUTABLES] LIBRARIES ... [OPTIONS ...])
#     LIBRARIES: whose headers it includes. OPTIONS: of the compiler, for all files that use the group.
#   quern_precompile(TARGET GROUP)
#
# Compilers take a precompiled header only where macros, options and the kind of position-independent code are as they
# were: a group is for libraries, or with FOR_EXECUTABLES for executables.
#
# GCC 12 forgets which of a precompiled header's lines are a library's, and blames them for what it otherwise does not.
# Those of its warnings that follow the flow of data are clang's to give, in the preset asan.
if(CMAKE_CXX_COMPILER_ID STREQUAL GNU AND NOT CMAKE_DISABLE_PRECOMPILE_HEADERS)
  set(quern_precompiled_warnings -Wno-array-bounds -Wno-maybe-uninitialized -Wno-stringop-overflow -Wno-uninitialized)
endif()

function(quern_precompiled_group group)
  cmake_parse_arguments(ARG "FOR_EXECUTABLES" "" "LIBRARIES;OPTIONS" ${ARGN})
  set(holder quern_precompiled_${group})
  add_library(${holder} OBJECT ${PROJECT_SOURCE_DIR}/cmake/precompiled/empty.cpp)
  target_include_directories(${holder} PRIVATE ${PROJECT_SOURCE_DIR})
  target_link_libraries(${holder} PUBLIC ${ARG_LIBRARIES})
  target_compile_options(${holder} PUBLIC ${ARG_OPTIONS} ${quern_precompiled_warnings})
  if(ARG_FOR_EXECUTABLES)
    set_target_properties(${holder} PROPERTIES POSITION_INDEPENDENT_CODE OFF)
    target_compile_options(${holder} PRIVATE -fPIE)
  endif()
  # in angle brackets: no path of this checkout, so that ccache knows it in another one
  target_precompile_headers(${holder} PRIVATE "<cmake/precompiled/${group}.h>")
endfunction()

function(quern_precompile target group)
  set(holder quern_precompiled_${group})
  target_compile_definitions(${target} PRIVATE $<TARGET_PROPERTY:${holder},INTERFACE_COMPILE_DEFINITIONS>)
  target_compile_options(${target} PRIVATE $<TARGET_PROPERTY:${holder},INTERFACE_COMPILE_OPTIONS>)
  target_precompile_headers(${target} REUSE_FROM ${holder})
endfunction()
