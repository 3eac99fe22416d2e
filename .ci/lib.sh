# Functions that .ci/run and .ci/release share.

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

# step NAME: starts a step. print_times prints the seconds of each step.
step() {
	stop_clock
	step_name=$* step_start=$SECONDS
	printf '\n== %s\n' "$*"
}
stop_clock() {
	[ -z "${step_name:-}" ] ||
		printf '%5d s  %s\n' "$((SECONDS - step_start))" "$step_name" >>"$scratch/times"
}
print_times() {
	stop_clock
	step_name=
	printf '\n== Seconds of each step\n'
	cat "$scratch/times"
	printf '%5d s  total\n' "$SECONDS"
}
fail() { printf 'FAIL: %s\n' "$*" >&2; exit 1; }

# count_code FILE...: prints the number of code lines of each Go file, without
# comments and blank lines, and the total.
count_code() {
	awk 'FNR == 1 { if (file) print n, file; n = 0; file = FILENAME; comment = 0 }
		{ line = $0; sub(/^[ \t]+/, "", line) }
		comment { if (line ~ /\*\//) comment = 0; next }
		line ~ /^\/\*/ { comment = line !~ /\*\//; next }
		line == "" || line ~ /^\/\// { next }
		{ n++; total++ }
		END { print n, file; print total, "total" }' "$@"
}

# install_packages: installs the Debian packages that the tests need.
install_packages() {
	local packages=() program
	command -v cc >/dev/null || command -v gcc >/dev/null || packages+=(gcc libc6-dev)
	command -v npm >/dev/null || packages+=(nodejs npm)
	command -v python3 >/dev/null || packages+=(python3)
	command -v curl >/dev/null || packages+=(curl ca-certificates)
	command -v openssl >/dev/null || packages+=(openssl)
	PATH=$PATH:/usr/sbin command -v clamd >/dev/null || packages+=(clamav-daemon)
	command -v chromium >/dev/null || command -v google-chrome >/dev/null || packages+=(chromium)
	python3 -c 'import requests' 2>/dev/null || packages+=(python3-requests)
	for program in ceph ceph-mon ceph-osd radosgw; do
		command -v "$program" >/dev/null && continue
		packages+=(ceph-mon ceph-osd radosgw ceph-common)
		break
	done
	for program in swift-proxy-server swift-account-server swift-container-server \
		swift-object-server memcached; do
		command -v "$program" >/dev/null && continue
		packages+=(swift-proxy swift-account swift-container swift-object memcached)
		break
	done
	# rclone needs no package, because the tests build it from its Go module.
	[ ${#packages[@]} -gt 0 ] || return 0
	install_debian "${packages[@]}"
}

# install_debian PACKAGE...: installs packages of Debian or Ubuntu.
install_debian() {
	local as_root=()
	[ "$(id -u)" = 0 ] || as_root=(sudo)
	"${as_root[@]}" apt-get update -qq
	DEBIAN_FRONTEND=noninteractive "${as_root[@]}" apt-get install -y -qq \
		--no-install-recommends "$@" >/dev/null
}

# install_moto: installs moto, which simulates SQS, for the tests of the worker.
install_moto() {
	command -v moto_server >/dev/null && return
	python3 -c 'import venv, ensurepip' 2>/dev/null || install_debian python3-venv
	python3 -m venv "$scratch/moto"
	"$scratch/moto/bin/pip" install -q 'moto[server]==5.2.1'
	export PATH=$scratch/moto/bin:$PATH
}

# run_fuzz SECONDS: runs each fuzz target of the root module in turn.
run_fuzz() {
	local package target
	go list ./... | while read -r package; do
		for target in $(go test -list '^Fuzz' "$package" | grep '^Fuzz' || true); do
			printf '%s %s: ' "${package#github.com/s3presign/presign/}" "$target"
			fuzz_target "$1" "$package" "$target" ||
				{ timed_out && fuzz_target "$1" "$package" "$target"; } ||
				{ cat "$scratch/fuzz"; fail "$target"; }
			# On a busy machine, the time can be over before the seeds are.
			grep -o 'execs: [0-9]*' "$scratch/fuzz" | tail -n 1 | grep . || echo "seeds only"
		done
	done
}
fuzz_target() { go test -run '^$' -fuzz "^$3\$" -fuzztime "$1s" "$2" >"$scratch/fuzz" 2>&1; }
# timed_out: succeeds if no input has failed, but Go has reported the end of the
# fuzzing time as a failure. Go does so at random.
timed_out() {
	grep -q '^    context deadline exceeded$' "$scratch/fuzz" &&
		! grep -q 'Failing input' "$scratch/fuzz"
}
