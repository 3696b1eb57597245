# Asks a test program for its cases and writes them as CTest tests (see support/main.cpp).
execute_process(COMMAND ${program} --reporters=ctest --list-test-cases --no-intro --no-version
  OUTPUT_VARIABLE found RESULT_VARIABLE result)
if(NOT result EQUAL 0)
  file(REMOVE ${program})
  message(FATAL_ERROR "${program} cannot list its test cases: ${result}")
endif()
file(WRITE ${cases}
"function(milkit_case case suite)
  set(test \"${name}: \${case}\")
  add_test(\${test} \"${program}\" \"--test-case=\${case}\")
  set_tests_properties(\${test} PROPERTIES LABELS \"${labels};\${suite}\" SKIP_RETURN_CODE 77 TIMEOUT 600
    ENVIRONMENT \"OMP_WAIT_POLICY=passive;TSAN_OPTIONS=ignore_noninstrumented_modules=1\")
endfunction()
${found}")
