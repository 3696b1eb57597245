# A project that adds milkit as a folder installs what is its own, and no file of milkit.
execute_process(COMMAND ${CMAKE_COMMAND} --install ${build} --prefix ${build}/prefix COMMAND_ERROR_IS_FATAL ANY)
file(GLOB_RECURSE files RELATIVE ${build}/prefix ${build}/prefix/*)
if(NOT files MATCHES "^bin/consumer(\\.exe)?$")
  message(FATAL_ERROR "the parent installed ${files}, expected its program alone")
endif()
