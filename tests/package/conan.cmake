# Makes the Conan package in a store of its own, with no network and a stand-in for Eigen, and runs its test.
# cmake -Dconan=PROGRAM -Dsource=ROOT -Dstage=FOLDER -Deigen=HEADERS -Dcxx=COMPILER -Dversion=VERSION -P conan.cmake
file(REMOVE_RECURSE ${stage})
set(ENV{CONAN_HOME} ${stage}/home)
set(ENV{CXX} ${cxx})
set(ENV{EIGEN_HEADERS} ${eigen})
get_filename_component(folder ${conan} DIRECTORY)
set(ENV{PYTHONPATH} "${folder}/..:$ENV{PYTHONPATH}")  # where `pip install --target` put it

# run_conan(ARGN...): sets `code` and `text`.
function(run_conan)
  execute_process(COMMAND ${conan} ${ARGN} RESULT_VARIABLE code OUTPUT_VARIABLE text ERROR_VARIABLE text)
  set(code ${code} PARENT_SCOPE)
  set(text "${text}" PARENT_SCOPE)
endfunction()

function(expect_success)
  run_conan(${ARGN})
  if(NOT code EQUAL 0)
    message(FATAL_ERROR "conan ${ARGN}: ${code}\n${text}")
  endif()
  set(text "${text}" PARENT_SCOPE)
endfunction()

expect_success(profile detect)
expect_success(remote disable "*")
# The tests' project, outside the source tree.
file(COPY ${source}/tests/package/conan ${source}/tests/package/consumer DESTINATION ${stage})
set(create create ${source} --test-folder ${stage}/conan -c tools.cmake.cmaketoolchain:generator=Ninja)
foreach(number IN ITEMS 3.4.0 5.0.1)
  expect_success(create ${source}/tests/package/conan_eigen --version ${number})
endforeach()

run_conan(${create} -s compiler.cppstd=17)
if(code EQUAL 0 OR NOT text MATCHES "C\\+\\+ standard \\(20\\)")
  message(FATAL_ERROR "a user with C++17 should be refused: ${code}\n${text}")
endif()
expect_success(${create} -s compiler.cppstd=20)
foreach(line IN ITEMS "milkit/${version}: Package '" "milkit 0[.][0-9]+: " "milkit::slide: " "Eigen 5[.]0[.]1")
  if(NOT text MATCHES "${line}")
    message(FATAL_ERROR "Conan's test should print '${line}':\n${text}")
  endif()
endforeach()
string(REGEX MATCH "======== Launching test_package.*" text "${text}")
message("${text}")
