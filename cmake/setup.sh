# Read by tests/run.sh, examples/run.sh and .ci/run: what they need, the Debian way.
say() { printf '\n== %s\n' "$*"; }

# install_missing PACKAGE...: installs those that are missing when root; otherwise names the line to run and stops.
install_missing() {
  command -v dpkg-query >/dev/null 2>&1 || return 0
  missing=
  for package in "$@"; do
    dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing="$missing $package"
  done
  [ -n "$missing" ] || return 0
  if [ "$(id -u)" -ne 0 ]; then
    echo "Packages are missing. Run this line, then this script again:" >&2
    echo "  sudo apt-get update && sudo apt-get install -y --no-install-recommends$missing" >&2
    exit 1
  fi
  say "Installing$missing"
  export DEBIAN_FRONTEND=noninteractive
  # shellcheck disable=SC2086
  apt-get update -qq </dev/null && apt-get install -y -qq --no-install-recommends $missing </dev/null >/dev/null || {
    echo "apt-get could not install$missing" >&2
    exit 1
  }
}

# fetch_python_package PACKAGE [PIP_OPTION...]: puts it into build/PACKAGE, where tests look; they are skipped where it cannot be had.
fetch_python_package() {
  package=$1
  shift
  [ ! -d "build/$package" ] || return 0
  if python3 -m pip install -q --target "build/$package.new" "$@" "$package" </dev/null >/dev/null 2>&1; then
    mv "build/$package.new" "build/$package"
  else
    rm -rf "build/$package.new"
  fi
}

build_packages="g++ cmake ninja-build pkg-config libeigen3-dev libopenslide-dev libpng-dev libhdf5-dev nlohmann-json3-dev libxtensor-dev \
libcli11-dev libtiff-dev"
test_packages="doctest-dev python3 python3-pip clang clang-format libomp-dev libdnnl-dev libopenblas-dev"
