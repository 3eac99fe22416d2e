#!/bin/sh
# Uploads a file of any size to a service that mounts a presign.Handler, with
# curl and the POSIX utilities:
#
#	upload.sh [-u user:password] [-b cookies] [-H header] [-t type] service file
#
#	UPLOAD_USER=demo:demo upload.sh http://127.0.0.1:8080/uploads film.mp4
#
# A file of up to 16 MiB is sent in one request. A larger file is sent as a
# multipart upload, and a failed part is sent again. If the script is
# interrupted, the next run continues the upload if the file and its type are
# the same. The state is in a file under $XDG_STATE_HOME or ~/.local/state: the
# ID of the upload and the ETags of the acknowledged parts. The script prints
# the JSON of the completed upload. If the file is rejected, it prints the
# reason and exits with status 1.
#
# The options -u, -b and -H are options of curl for requests to the service. The
# option -t sets the media type of the file. All users of a machine can read
# arguments in the list of processes. Pass a secret in the environment as
# UPLOAD_USER, or in a file: -H @file, -b file.
set -eu
LC_ALL=C # The tools must process bytes.
export LC_ALL
umask 077

large=16777216 # bytes
attempts=5     # for each request
newline='
'

# strip_controls removes the control characters of terminals.
strip_controls() { tr -d '\000-\010\013-\037\177' | sed "s/$(printf '\302[\200-\237]')//g"; }

usage() {
	printf 'usage: %s [-u user:password] [-b cookies] [-H header] [-t type] service file\n' \
		"${0##*/}" >&2
	exit 2
}

fail() {
	printf '%s: %s\n' "${0##*/}" "$*" | strip_controls >&2
	exit 1
}

# print_progress TEXT prints the progress. On a terminal it rewrites one line.
print_progress() {
	if [ -t 2 ]; then printf '\r\033[K%s' "$1" >&2; else printf '%s\n' "$1" >&2; fi
}

# quote TEXT escapes a text for quotation marks, in JSON and in an option file
# of curl. An option file has one option in each line.
quote() {
	case $1 in *"$newline"*) fail "arguments must not contain a line break" ;; esac
	printf '%s' "$1" | sed 's/[\\"]/\\&/g'
}

# flatten prints the response of the service on one line. JSON strings contain
# no control characters.
flatten() { tr -d '\000-\037\177' <"$work/response"; }

# member NAME prints the escaped value of a string member of the response. The
# pattern does not match text within a string, because quotation marks are
# escaped there.
member() { flatten | sed -nE 's/.*"'"$1"'":"(([^"\\]|\\.)*)".*/\1/p'; }

# number NAME prints the value of a number member of the response.
number() { flatten | sed -nE 's/.*"'"$1"'":([0-9]+).*/\1/p'; }

# send_with_retries FILE CURL-OPTIONS sends the request in $work/request. It
# repeats the request if it failed for a temporary reason. It writes the
# response to FILE and sets $status. It ignores .curlrc.
send_with_retries() {
	response=$1
	shift
	attempt=0
	until
		: >"$response" # curl does not create the file for an empty response.
		status=$(curl -q -gsS --proto =http,https --connect-timeout 30 "$@" \
			-K "$work/request" -o "$response" -w '%{http_code}' 2>"$work/error") || status=000
		case $status in 000 | 408 | 409 | 429 | 5??) false ;; esac
	do
		attempt=$((attempt + 1))
		[ "$attempt" -lt "$attempts" ] || return 0
		reason="status $status"
		[ "$status" != 000 ] || reason="no response"
		[ "$attempt" -gt 1 ] || print_progress "$reason, trying again"
		sleep "$((1 << (attempt - 1)))"
	done
}

# ask METHOD PATH [JSON] sends a request to the service. The response is in
# $work/response.
ask() {
	url=$(quote "$service$2")
	body=$(quote "${3-}")
	{
		printf 'request = "%s"\nurl = "%s"\n' "$1" "$url"
		[ $# -lt 3 ] ||
			printf 'header = "Content-Type: application/json"\ndata-raw = "%s"\n' "$body"
	} >"$work/request"
	send_with_retries "$work/response" -m 360 -K "$work/session"
}

# fail_with_response ends the script with the error of the service.
fail_with_response() {
	[ "$status" != 000 ] || fail "the service does not respond: $(cat "$work/error")"
	message=$(member message | sed 's/\\\(["\\/]\)/\1/g')
	fail "${message:-the service returned status $status}"
}

# put URL FILE uploads FILE to URL with the headers of the grant.
put() {
	case $1 in
	*\\[!/]*) fail "the response of the service is invalid" ;;
	http://* | https://*) ;;
	*) fail "the response of the service must have the URL of a store" ;;
	esac
	{
		printf 'url = "%s"\nheader = "Expect:"\n' "$1"
		flatten | sed -nE 's/.*"headers":\{((,?"[A-Za-z0-9-]+":"([^"\\]|\\["\\/])*")*)\}.*/\1/p' |
			sed -E 's/,?"([A-Za-z0-9-]+)":"(([^"\\]|\\.)*)"/header = "\1: \2"\
/g'
	} >"$work/request"
	send_with_retries "$work/stored" --speed-limit 1 --speed-time 60 -D "$work/head" -T "$2"
}

# base64 converts hexadecimal digits to base64.
base64() {
	awk '{
		digits = "0123456789abcdef"
		letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
		for (i = 1; i <= length($1); i++) {
			value = value * 16 + index(digits, substr($1, i, 1)) - 1
			bits += 4
			if (bits >= 6) {
				bits -= 6
				letter = int(value / 2 ^ bits)
				text = text substr(letters, letter + 1, 1)
				value -= letter * 2 ^ bits
			}
		}
		if (bits > 0) text = text substr(letters, value * 2 ^ (6 - bits) + 1, 1)
		while (length(text) % 4 > 0) text = text "="
		print text
	}'
}

# checksum prints the checksum of the file by $algorithm, or nothing if the
# machine has no program for it. The output of gzip ends with the CRC32 in
# little-endian order and the size. Most systems lack a program for CRC32C.
checksum() {
	case $algorithm in
	CRC32) gzip -1 <"$file" | tail -c 8 | od -An -v -tx1 | awk '{ print $4 $3 $2 $1 }' ;;
	SHA256) { sha256sum || shasum -a 256 || openssl dgst -sha256 -r; } <"$file" ;;
	esac 2>"$work/error" | base64
}

# add_checksum requests the policy of the service and adds the required checksum
# to $about.
add_checksum() {
	ask GET /
	[ "$status" = 200 ] || fail_with_response
	algorithm=$(member checksum)
	[ -n "$algorithm" ] || return 0
	sum=$(checksum)
	[ -n "$sum" ] ||
		fail "the service requires a checksum that this script cannot compute: $algorithm"
	about="$about,\"checksum\":\"$sum\""
}

# print_version prints the size and the time of the file as exactly as the
# system supports.
print_version() {
	stat -L -c '%s %y' "$file" 2>/dev/null ||
		stat -L -f '%z %Fm' "$file" 2>/dev/null ||
		ls -Lln "$file"
}

# require_unchanged ends the script if the file has changed since the start.
require_unchanged() {
	[ "$(print_version)" = "$version" ] ||
		fail "the file must not change during the upload; run the same command again"
}

# is_valid reports whether $id and $part_size are valid. They come from the
# service or from the state.
is_valid() {
	case $id in '' | *[!A-Za-z0-9_-]*) return 1 ;; esac
	case $part_size in '' | 0* | *[!0-9]* | ???????????*) return 1 ;; esac
	count=$(((size + part_size - 1) / part_size))
	[ "$count" -le 10000 ]
}

# list_arrived prints the numbers of the parts that the service lists with the
# ETags in $state. Other listed parts are sent again, because some stores list
# parts of interrupted requests.
list_arrived() {
	flatten | tr '{' '\n' |
		sed -nE 's/.*"number":([0-9]+).*"etag":"(\\")?([A-Za-z0-9-]+).*/\1 \3/p' |
		sort >"$work/listed"
	tail -n +4 "$state" | sort -u | comm -12 - "$work/listed" | sed 's/ .*//' | tr '\n' ' '
}

# send_parts sends the parts that are not in $arrived.
send_parts() {
	part=0
	while [ "$part" -lt "$count" ]; do
		part=$((part + 1))
		case " $arrived " in *" $part "*) continue ;; esac
		tail -c "+$(((part - 1) * part_size + 1))" "$file" | head -c "$part_size" >"$work/part"
		require_unchanged
		turn=0
		while :; do # A second try uses a new URL, because the first might have expired.
			ask POST /parts/sign "{\"id\":\"$id\",\"first\":$part,\"last\":$part}"
			[ "$status" = 200 ] || fail_with_response
			put "$(flatten | sed -nE 's/.*"urls":\["(([^"\\]|\\.)*)".*/\1/p')" "$work/part"
			[ "$status" != 200 ] || break
			turn=$((turn + 1))
			[ "$turn" -lt 2 ] || fail "part $part of $count: the store returned status $status;" \
				"run the same command to continue"
		done
		sed -nE 's/^[Ee][Tt][Aa][Gg]: *"([A-Za-z0-9-]+)".*/'"$part"' \1/p' "$work/head" >>"$state"
		print_progress "$((100 * part / count)) %, part $part of $count"
	done
	[ ! -t 2 ] || echo >&2
}

# complete JSON requests the completion of the upload and waits as long as it
# is pending. If the response to an earlier request was lost, the service might
# return 404 while that request is running. Therefore complete sends its
# request again once after a 404.
complete() {
	missing=
	while :; do
		ask POST /complete "$1"
		case $status in
		404)
			[ -z "$missing" ] || return 0
			missing=1
			sleep 10
			;;
		409) flatten | grep -q '"code":"pending"' || return 0 ;;
		*) return 0 ;;
		esac
	done
}

# finish prints the result of the completion and ends the script.
finish() {
	# For these statuses, another try would have the same result.
	case $status in 200 | 404 | 410 | 413 | 422) rm -f "$state" ;; esac
	[ "$status" = 200 ] || fail_with_response
	printf '%s\n' "$(strip_controls <"$work/response")"
	exit
}

session=
type=
[ -z "${UPLOAD_USER-}" ] || session="user = \"$(quote "$UPLOAD_USER")\"$newline"
while getopts u:b:H:t: option; do
	case $option in
	u) session="${session}user = \"$(quote "$OPTARG")\"$newline" ;;
	b) session="${session}cookie = \"$(quote "$OPTARG")\"$newline" ;;
	H) session="${session}header = \"$(quote "$OPTARG")\"$newline" ;;
	t) type=$OPTARG ;;
	*) usage ;;
	esac
done
shift $((OPTIND - 1))
[ $# -eq 2 ] || usage
command -v curl >/dev/null || fail "curl must be installed"
service=${1%/}
file=$2
case $file in /*) ;; *) file=./$file ;; esac
[ -f "$file" ] || fail "$2 must be a file"
folder=$(cd "${file%/*}/" && pwd -P)
file=${folder%/}/${file##*/}
case $file in *"$newline"*) fail "the file name must not contain a line break" ;; esac
version=$(print_version)
size=$(($(wc -c <"$file")))

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 1' HUP INT TERM
printf '%s' "$session" >"$work/session"
state=$work/state

about="\"filename\":\"$(quote "${file##*/}")\""
[ -z "$type" ] || about="$about,\"type\":\"$(quote "$type")\""

id='' arrived=''
if [ "$size" -gt "$large" ]; then
	identity="$version $type $service $file"
	state=${XDG_STATE_HOME:-$HOME/.local/state}/presign-upload
	mkdir -p "$state"
	state=$state/$(printf '%s' "$service $file" | cksum | tr ' ' -)
	before='' part_size=''
	if [ -f "$state" ]; then
		{
			IFS= read -r before && IFS= read -r id && IFS= read -r part_size
		} <"$state" && is_valid || id=
	fi
	# The state might describe another version of the file.
	if [ -n "$id" ] && [ "$before" != "$identity" ]; then
		ask POST /abort "{\"id\":\"$id\"}"
		id=
	fi
	if [ -n "$id" ]; then
		ask POST /parts/list "{\"id\":\"$id\"}"
		case $status in
		200) arrived=$(list_arrived) ;;
		404 | 410) # The upload is complete, aborted or expired.
			complete "{\"id\":\"$id\"}"
			case $status in 404 | 410) id= ;; *) finish ;; esac
			;;
		*) fail_with_response ;;
		esac
	fi
fi
# A resumed multipart upload already has its checksum.
[ -n "$id" ] || add_checksum

# S3 does not support a SHA-256 of a whole multipart upload.
if [ -z "$id" ] && { [ "$size" -le "$large" ] || [ "$algorithm" = SHA256 ]; }; then
	ask POST / "{$about,\"size\":$size,\"method\":\"PUT\"}"
	[ "$status" = 201 ] || fail_with_response
	key=$(member key)
	put "$(member url)" "$file"
	require_unchanged
	case $status in
	2??) ;;
	412) ;; # The file is stored, but the response was lost.
	*)
		message=$(sed -nE 's/.*<Message>([^<]*)<.*/\1/p' "$work/stored")
		fail "the store returned status $status: $message$(cat "$work/error")"
		;;
	esac
	complete "{\"key\":\"$key\"}"
	finish
fi
if [ -z "$id" ]; then
	ask POST / "{$about,\"size\":$size,\"method\":\"multipart\"}"
	[ "$status" = 201 ] || fail_with_response
	id=$(member id)
	part_size=$(number part_size)
	is_valid || fail "the response of the service is invalid"
	rm -f "$state"
	# With noclobber, the shell does not follow links.
	(set -C && printf '%s\n' "$identity" "$id" "$part_size" >"$state")
fi
send_parts
require_unchanged
complete "{\"id\":\"$id\"}"
finish
