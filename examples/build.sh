#!/bin/sh
# Read by run.sh and spread.sh: builds programs one after the other while others run.
build=build/release
built=$build/built  # a file for each program that is up to date
log=$build/build.log
builder=
trap '[ -z "$builder" ] || kill "$builder" 2>/dev/null' EXIT
trap 'exit 130' INT TERM

configure() {
  say "Configuring $build"
  mkdir -p "$built" && rm -f "$built"/*
  cmake --preset release >"$build/configure.log" 2>&1 || { cat "$build/configure.log"; exit 1; }
}

# build_in_background PROGRAM...: in this order.
build_in_background() {
  (
    job=
    trap '[ -z "$job" ] || kill "$job" 2>/dev/null; exit 1' TERM
    for program; do
      ninja -C "$build" "$program" </dev/null & job=$!
      wait "$job" || exit 1
      : >"$built/$program"
    done
  ) >"$log" 2>&1 &
  builder=$!
}

# run PROGRAM ARGUMENT...: as soon as it is built.
run() {
  if [ ! -f "$built/$1" ]; then
    say "Building $1 ($log)"
    while [ ! -f "$built/$1" ]; do
      kill -0 "$builder" 2>/dev/null || [ -f "$built/$1" ] || { cat "$log"; exit 1; }
      sleep 0.2
    done
  fi
  say "$*"
  program=$1
  shift
  "$build/examples/$program" "$@" </dev/null || { echo "$program failed: exit code $?" >&2; exit 1; }
}
